// Cross-entropy, a block a row: the logits are read once for maximum and sum together, and once more for the gradient, which
// takes their place. The gradient's elements are half as wide, so what is written trails what is read.
#include "backend/cuda/kernels/loss.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 512, kWarps = kThreads / 32, kEach = 8;
constexpr int64_t kTile = int64_t{kThreads} * kEach;
constexpr float kLowest = -3.402823466e38f;  // a row of -infinity has a sum of 0, not of NaN

// Sum of exp(x - max) over what has been seen.
struct Softmax {
  float max, sum;
};

DEVICE Softmax merge(Softmax a, Softmax b) {
  const float max = fmaxf(a.max, b.max);
  return {max, a.sum * expf(a.max - max) + b.sum * expf(b.max - max)};
}

// A thread's elements of a tile: side by side where rows are aligned, else kThreads apart.
template <bool Wide>
DEVICE int64_t elementOf(int64_t tile, int j) {
  const int thread = static_cast<int>(threadIdx.x);
  return tile + (Wide ? int64_t{thread} * kEach + j : int64_t{j} * kThreads + thread);
}

// How many of them the row has.
template <bool Wide>
DEVICE int countOf(int64_t tile, int64_t vocabulary) {
  const int64_t left = vocabulary - elementOf<Wide>(tile, 0);
  if constexpr (Wide) {
    return left > 0 ? kEach : 0;
  } else {
    return left <= 0 ? 0 : static_cast<int>(min((left + kThreads - 1) / kThreads, int64_t{kEach}));
  }
}

template <bool Wide>
DEVICE void loadTile(float (&v)[kEach], const float* row, int64_t tile, int count) {
  if constexpr (Wide) {
    if (count > 0) loadFloats(v, row + elementOf<true>(tile, 0));
  } else {
    UNROLL
    for (int j = 0; j < kEach; ++j) v[j] = j < count ? row[elementOf<false>(tile, j)] : 0.0f;
  }
}

// NaN is no maximum, but makes the sum NaN.
template <bool Wide>
DEVICE Softmax statistics(const float* row, int64_t vocabulary) {
  Softmax own{kLowest, 0};
  for (int64_t tile = 0; tile < vocabulary; tile += kTile) {
    const int count = countOf<Wide>(tile, vocabulary);
    float v[kEach];
    loadTile<Wide>(v, row, tile, count);
    float max = own.max;
    UNROLL
    for (int j = 0; j < kEach; ++j) {
      if (j < count) max = fmaxf(max, v[j]);
    }
    float sum = 0;
    UNROLL
    for (int j = 0; j < kEach; ++j) {
      if (j < count) sum += expf(v[j] - max);
    }
    own = {max, own.sum * expf(own.max - max) + sum};
  }
  UNROLL
  for (int distance = 16; distance > 0; distance /= 2) {
    const float max = __shfl_xor_sync(kAllLanes, own.max, distance);
    const float sum = __shfl_xor_sync(kAllLanes, own.sum, distance);
    own = merge(own, {max, sum});
  }
  using Room = float[2][kWarps];
  SHARED(Room, room);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) room[0][thread / 32] = own.max, room[1][thread / 32] = own.sum;
  __syncthreads();
  Softmax all{kLowest, 0};
  for (int warp = 0; warp < kWarps; ++warp) all = merge(all, {room[0][warp], room[1][warp]});
  return all;
}

// Element j's gradient lies where logit j / 2 lay. All threads have read the tiles up to b at a barrier there, so tiles up to
// 2 b + 1 may be written behind it: barriers at tiles 0, 2, 6, 14, ...
template <bool Wide>
DEVICE void writeGradient(float* row, int64_t vocabulary, Softmax s, int32_t target, float weight, float atTarget) {
  __nv_bfloat16* const gradient = reinterpret_cast<__nv_bfloat16*>(row);
  const float factor = weight / s.sum;
  int64_t barrier = 0;
  for (int64_t tile = 0; tile < vocabulary; tile += kTile) {
    const int count = countOf<Wide>(tile, vocabulary);
    float v[kEach];
    loadTile<Wide>(v, row, tile, count);
    if (tile == barrier) {
      __syncthreads();
      barrier = 2 * tile + 2 * kTile;
    }
    UNROLL
    for (int j = 0; j < kEach; ++j) {
      v[j] = elementOf<Wide>(tile, j) == target ? atTarget : expf(v[j] - s.max) * factor;
    }
    if constexpr (Wide) {
      if (count > 0) storeFloats(gradient + elementOf<true>(tile, 0), v);
    } else {
      UNROLL
      for (int j = 0; j < kEach; ++j) {
        if (j < count) gradient[elementOf<false>(tile, j)] = __float2bfloat16_rn(v[j]);
      }
    }
  }
}

template <bool Wide>
__global__ void __launch_bounds__(kThreads, 2)
    crossEntropyKernel(float* logits, int64_t vocabulary, const int32_t* targets, const float* weights,
                       float* logprobs) {
  float* const row = logits + int64_t{blockIdx.x} * vocabulary;
  const int32_t target = targets[blockIdx.x];
  const float logit = row[target];  // before the barrier behind which it may be written over
  const Softmax s = statistics<Wide>(row, vocabulary);
  // Taken from the maximum, not from the log-sum-exp: with logits of 1e4 the latter has lost three digits.
  const float logprob = (logit - s.max) - logf(s.sum);
  if (threadIdx.x == 0) logprobs[blockIdx.x] = logprob;
  if (weights == nullptr) return;
  const float weight = weights[blockIdx.x];
  writeGradient<Wide>(row, vocabulary, s, target, weight, weight * expm1f(logprob));  // p - 1 without cancellation
}

}  // namespace

void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                  DevF32 logprobs, Stream& stream) {
  if (n == 0) return;
  const bool wide = vocabulary % kEach == 0 && atOnce<kEach>(logits.raw());
  launch(wide ? crossEntropyKernel<true> : crossEntropyKernel<false>, "crossEntropy", {static_cast<unsigned>(n)},
         {kThreads}, 0, stream, logits.raw(), vocabulary, targets.raw(), weights.raw(), logprobs.raw());
}

}  // namespace mlit::cuda
