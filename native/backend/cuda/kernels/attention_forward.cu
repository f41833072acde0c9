// Causal attention over packed documents: a block takes 64 queries of one head and walks the tiles of keys that they see, with a
// running softmax. V's tile is brought while the scores are formed, the next K's while V is weighted.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/attention_tile.h"

namespace mlit::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kQueries = 16 * kWarps;

struct ForwardArguments {
  const Bf16 *q, *k, *v;
  Bf16* out;
  float* lse;
  const int* cuSeqlens;
  int64_t ldq, ldkv, ldo;
  int documents, total;
  int headsPerKv, headDim, window;
  float scale;
};

template <int Dim>
constexpr int kKeys = Dim > 128 ? 32 : 64;  // of a tile: registers for scores, and shared memory, set it

template <int Dim>
constexpr size_t kForwardBytes = size_t{2} * Dim*(kQueries + 2 * kKeys<Dim>);

template <int Dim, bool kWide>
__global__ void __launch_bounds__(kThreads) attentionForwardKernel(ForwardArguments g) {
  constexpr int kTile = kKeys<Dim>;
  DYN_SMEM(memory);
  unsigned char* const queries = memory;
  unsigned char* const keys = queries + kQueries * Dim * 2;
  unsigned char* const values = keys + kTile * Dim * 2;

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row = thread / 32 * 16;  // the warp's first
  const int slot = static_cast<int>(gridDim.x - 1 - blockIdx.x);  // the last tiles of a document are the dearest
  const DocumentTile at = findTile<kQueries>(g.cuSeqlens, g.documents, slot, lane);
  if (at.first >= at.length) return;
  const int head = static_cast<int>(blockIdx.y);
  const int64_t kvColumn = int64_t{head / g.headsPerKv} * g.headDim;
  const Bf16* const k = g.k + at.begin * g.ldkv + kvColumn;
  const Bf16* const v = g.v + at.begin * g.ldkv + kvColumn;
  const int rows = min(kQueries, at.length - at.first);

  const int lastKey = at.first + rows - 1;
  const int firstKey = g.window > 0 ? max(0, at.first - g.window + 1) / kTile * kTile : 0;
  const int warpFirst = at.first + row, warpLast = warpFirst + 15;

  loadTile<Dim, kQueries, kThreads, kWide>(queries, g.q + (at.begin + at.first) * g.ldq + int64_t{head} * g.headDim,
                                           g.ldq, rows, g.headDim, thread);
  loadTile<Dim, kTile, kThreads, kWide>(keys, k + firstKey * g.ldkv, g.ldkv, at.length - firstKey, g.headDim, thread);
  cpAsyncCommit();

  const float scale = g.scale * kLog2E;
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};  // of rows lane / 4 and 8 below
  Accumulators<Dim / 8> out;
  out.clear();

  for (int key = firstKey; key <= lastKey; key += kTile) {
    cpAsyncWait<0>();
    __syncthreads();  // keys are there, values are free
    loadTile<Dim, kTile, kThreads, kWide>(values, v + key * g.ldkv, g.ldkv, at.length - key, g.headDim, thread);
    cpAsyncCommit();

    const bool seen = key <= warpLast && (g.window <= 0 || key + kTile - 1 > warpFirst - g.window);
    Accumulators<kTile / 8> scores;
    if (seen) {
      multiplyRows<Dim>(scores, queries, row, keys, lane);
      const bool whole = key + kTile - 1 <= warpFirst && (g.window <= 0 || key > warpLast - g.window);
      if (!whole) {
        UNROLL
        for (int n = 0; n < kTile / 8; ++n) {
          UNROLL
          for (int i = 0; i < 4; ++i) {
            const int query = warpFirst + lane / 4 + i / 2 * 8, other = key + n * 8 + lane % 4 * 2 + i % 2;
            if (!sees(query, other, g.window)) scores.at[n][i] = -INFINITY;
          }
        }
      }
      softmaxStep(scores, scale, largest, sum, out);
    }
    cpAsyncWait<0>();
    __syncthreads();  // values are there, keys are free
    if (key + kTile <= lastKey) {
      loadTile<Dim, kTile, kThreads, kWide>(keys, k + (key + kTile) * g.ldkv, g.ldkv, at.length - key - kTile,
                                            g.headDim, thread);
    }
    cpAsyncCommit();
    if (seen) addWeightedRows<Dim>(out, scores, values, lane);
  }

  float factors[2];
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const float all = quadSum(sum[half]);
    factors[half] = 1 / all;
    const int query = warpFirst + lane / 4 + half * 8;
    if (query < at.length && lane % 4 == 0) {
      g.lse[int64_t{head} * g.total + at.begin + query] = largest[half] * g.scale + logf(all);
    }
  }
  writeRows<Dim, kWide>(out, factors, queries, row, g.out + (at.begin + warpFirst) * g.ldo + int64_t{head} * g.headDim,
                        g.ldo, rows - row, g.headDim, lane);
}

}  // namespace

void attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstI32 cuSeqlensDevice,
                      DevConstReal q, int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out,
                      int64_t ldo, DevF32 lse, Stream& stream) {
  checkAttention(shape);
  const int documents = documentsOf(cuSeqlens);
  if (cuSeqlens.back() == 0) return;
  const ForwardArguments arguments{bf16Of(q, "q"),
                                   bf16Of(k, "k"),
                                   bf16Of(v, "v"),
                                   bf16Of(out, "out"),
                                   lse.raw(),
                                   cuSeqlensDevice.raw(),
                                   ldq,
                                   ldkv,
                                   ldo,
                                   documents,
                                   cuSeqlens.back(),
                                   shape.heads / shape.kvHeads,
                                   shape.headDim,
                                   shape.window,
                                   shape.scale};
  const bool wide = wideRows(shape, arguments.q, ldq) && wideRows(shape, arguments.k, ldkv) &&
                    wideRows(shape, arguments.v, ldkv) && wideRows(shape, arguments.out, ldo);
  const Dim3 grid{tileSlots(cuSeqlens, kQueries), static_cast<unsigned>(shape.heads)};
  withHead(shape.headDim, wide, [&](auto dim, auto isWide) {
    constexpr int kDim = decltype(dim)::value;
    launch(attentionForwardKernel<kDim, decltype(isWide)::value>, "attentionForward", grid, {kThreads},
           kForwardBytes<kDim>, stream, arguments);
  });
}

}  // namespace mlit::cuda
