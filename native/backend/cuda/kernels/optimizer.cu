// The gradient's norm and AdamW. Squares are summed in parts that depend on the number of elements alone, in double; AdamW reads
// the norm where it lies, so that the host need not wait for it, and each of its four arrays once.
#include "backend/cuda/kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kPart = 16384, kMostParts = 2048, kMostBlocks = 4096;

// The block's sum, for thread 0.
DEVICE double blockSumDouble(double value) {
  using Room = double[kThreads / 32];
  SHARED(Room, room);
  UNROLL
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < kThreads / 32; ++warp) total += room[warp];
  }
  return total;
}

template <int N>
__global__ void __launch_bounds__(kThreads) sumSquaresKernel(const float* x, int64_t n, int64_t part, double* parts) {
  const int64_t first = int64_t{blockIdx.x} * part, end = min(first + part, n);
  double sum = 0;
  for (int64_t i = first + int64_t{threadIdx.x} * N; i < end; i += kThreads * N) {
    float v[N];
    loadFloats(v, x + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum += static_cast<double>(v[j]) * static_cast<double>(v[j]);
  }
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) sumPartsKernel(const double* parts, int64_t count, float* out) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += parts[i];
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) *out = static_cast<float>(sum);
}

// Elements of a part, a multiple of kThreads * 4.
int64_t partOf(int64_t n) {
  const int64_t even = (n + kMostParts - 1) / kMostParts, step = kThreads * 4;
  return std::max(kPart, (even + step - 1) / step * step);
}

// What of a step does not depend on the element.
struct AdamWFactors {
  double gradScale, maxGradNorm;
  float beta1, oneMinusBeta1;
  float beta2, oneMinusBeta2;
  float keep;              // 1 - learningRate * weightDecay
  float stepSize;          // learningRate / (1 - beta1^step)
  float inverseRootBias2;  // 1 / sqrt(1 - beta2^step)
  float epsilon;
};

template <int N>
__global__ void __launch_bounds__(kThreads) adamWKernel(float* parameters, const float* gradients, float* m, float* v,
                                                        int64_t n, const float* sumSquares, AdamWFactors f) {
  SHARED(float, shared);
  if (threadIdx.x == 0) {
    double factor = f.gradScale;
    if (f.maxGradNorm > 0) {
      const double norm = sqrt(static_cast<double>(*sumSquares)) * factor;
      factor *= min(1.0, f.maxGradNorm / (norm + 1e-6));
    }
    shared = static_cast<float>(factor);
  }
  __syncthreads();
  const float scale = shared;
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N; i < n; i += int64_t{gridDim.x} * kThreads * N) {
    float p[N], g[N], first[N], second[N];
    loadFloats(p, parameters + i);
    loadFloats(g, gradients + i);
    loadFloats(first, m + i);
    loadFloats(second, v + i);
    UNROLL
    for (int j = 0; j < N; ++j) {
      g[j] *= scale;
      first[j] = __fmaf_rn(g[j], f.oneMinusBeta1, first[j] * f.beta1);
      second[j] = __fmaf_rn(g[j] * g[j], f.oneMinusBeta2, second[j] * f.beta2);
      const float root = __fmaf_rn(__fsqrt_rn(second[j]), f.inverseRootBias2, f.epsilon);
      p[j] = __fmaf_rn(p[j], f.keep, -__fdiv_rn(first[j] * f.stepSize, root));
    }
    storeFloats(parameters + i, p);
    storeFloats(m + i, first);
    storeFloats(v + i, second);
  }
}

}  // namespace

size_t sumSquaresWorkspaceBytes(int64_t n) {
  const int64_t part = partOf(n);
  return static_cast<size_t>((n + part - 1) / part) * sizeof(double);
}

void sumSquares(DevConstF32 x, int64_t n, DevF32 out, DevicePtr<std::byte> workspace, size_t workspaceBytes,
                Stream& stream) {
  const size_t wanted = sumSquaresWorkspaceBytes(n);
  if (workspaceBytes < wanted) {
    throw Error(ErrorCode::kInternal, "sumSquares wants a workspace of " + std::to_string(wanted) + " bytes, not " +
                                          std::to_string(workspaceBytes));
  }
  const int64_t part = partOf(n), count = (n + part - 1) / part;
  double* const parts = workspace.as<double>().raw();
  if (count > 0) {
    const bool four = n % 4 == 0 && atOnce<4>(x.raw());
    launch(four ? sumSquaresKernel<4> : sumSquaresKernel<1>, "sumSquares", {static_cast<unsigned>(count)}, {kThreads},
           0, stream, x.raw(), n, part, parts);
  }
  launch(sumPartsKernel, "sumParts", {1}, {kThreads}, 0, stream, parts, count, out.raw());
}

void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
           const AdamWParams& params, Stream& stream) {
  if (n == 0) return;
  const auto beta1 = static_cast<double>(params.beta1), beta2 = static_cast<double>(params.beta2);
  const auto rate = static_cast<double>(params.learningRate), step = static_cast<double>(params.step);
  AdamWFactors factors;
  factors.gradScale = static_cast<double>(params.gradScale);
  factors.maxGradNorm = static_cast<double>(params.maxGradNorm);
  factors.beta1 = params.beta1;
  factors.oneMinusBeta1 = static_cast<float>(1.0 - beta1);
  factors.beta2 = params.beta2;
  factors.oneMinusBeta2 = static_cast<float>(1.0 - beta2);
  factors.keep = static_cast<float>(1.0 - rate * static_cast<double>(params.weightDecay));
  factors.stepSize = static_cast<float>(rate / (1.0 - std::pow(beta1, step)));
  factors.inverseRootBias2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step)));
  factors.epsilon = params.epsilon;
  const bool four = n % 4 == 0 && atOnce<4>(parameters.raw()) && atOnce<4>(gradients.raw()) && atOnce<4>(m.raw()) &&
                    atOnce<4>(v.raw());
  const int64_t perBlock = int64_t{kThreads} * (four ? 4 : 1), blocks = (n + perBlock - 1) / perBlock;
  launch(four ? adamWKernel<4> : adamWKernel<1>, "adamW", {static_cast<unsigned>(std::min(blocks, kMostBlocks))},
         {kThreads}, 0, stream, parameters.raw(), gradients.raw(), m.raw(), v.raw(), n, sumSquares.raw(), factors);
}

}  // namespace mlit::cuda
