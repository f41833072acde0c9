// Gated activations, sums and scalings: each element once, 16 bytes at a time where rows allow it.
#include "backend/cuda/kernels/elementwise.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostRowBlocks = 4096, kMostLineBlocks = 4096;

struct Activated {
  float value, slope;
};

template <GatedActivation Act>
DEVICE Activated activate(float g) {
  if constexpr (Act == GatedActivation::kSilu) {
    const float sigmoid = 1.0f / (1.0f + expf(-g));
    return {g * sigmoid, sigmoid * (1.0f + g * (1.0f - sigmoid))};
  } else {
    constexpr float kRootTwoOverPi = 0.7978845608028654f, kCubic = 0.044715f;
    const float inner = kRootTwoOverPi * (1.0f + 3.0f * kCubic * g * g);
    // (1 + tanh u) / 2 as a sigmoid of 2u: no cancellation where it is small.
    const float half = 1.0f / (1.0f + expf(-2.0f * kRootTwoOverPi * (g + kCubic * g * g * g)));
    return {g * half, half + 2.0f * g * half * (1.0f - half) * inner};
  }
}

// Rows in y, columns in x; more rows than kMostRowBlocks take turns.
template <GatedActivation Act, int N>
__global__ void __launch_bounds__(kThreads) gatedForwardKernel(const float* gateUp, int64_t rows, int64_t f, float* h) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (column >= f) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float gate[N], up[N], out[N];
    loadFloats(gate, gateUp + row * 2 * f + column);
    loadFloats(up, gateUp + row * 2 * f + f + column);
    UNROLL
    for (int j = 0; j < N; ++j) out[j] = activate<Act>(gate[j]).value * up[j];
    storeFloats(h + row * f + column, out);
  }
}

template <GatedActivation Act, int N>
__global__ void __launch_bounds__(kThreads)
    gatedBackwardKernel(float* gateUp, int64_t rows, int64_t f, const float* dh, float* h) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (column >= f) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float* gateAt = gateUp + row * 2 * f + column;
    float gate[N], up[N], gradient[N], out[N];
    loadFloats(gate, gateAt);
    loadFloats(up, gateAt + f);
    loadFloats(gradient, dh + row * f + column);
    UNROLL
    for (int j = 0; j < N; ++j) {
      const Activated a = activate<Act>(gate[j]);
      out[j] = a.value * up[j];
      gate[j] = gradient[j] * up[j] * a.slope;
      up[j] = gradient[j] * a.value;
    }
    storeFloats(gateAt, gate);
    storeFloats(gateAt + f, up);
    if (h != nullptr) storeFloats(h + row * f + column, out);
  }
}

// y = y * factor + (x or 0)
template <int N>
__global__ void __launch_bounds__(kThreads) scaleAddKernel(float* y, float factor, const float* x, int64_t n) {
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N; i < n; i += int64_t{gridDim.x} * kThreads * N) {
    float sum[N], more[N] = {};
    loadFloats(sum, y + i);
    if (x != nullptr) loadFloats(more, x + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum[j] = sum[j] * factor + more[j];
    storeFloats(y + i, sum);
  }
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    addToRowsKernel(float* y, int64_t ldy, int64_t rows, const float* x, int64_t n) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (column >= n) return;
  float more[N];
  loadFloats(more, x + column);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float sum[N];
    loadFloats(sum, y + row * ldy + column);
    UNROLL
    for (int j = 0; j < N; ++j) sum[j] += more[j];
    storeFloats(y + row * ldy + column, sum);
  }
}

Dim3 rowGrid(int64_t rows, int64_t columns, int n) {
  const int64_t perBlock = int64_t{kThreads} * n;
  return {static_cast<unsigned>((columns + perBlock - 1) / perBlock),
          static_cast<unsigned>(rows < kMostRowBlocks ? rows : kMostRowBlocks)};
}

void scaleAdd(const char* name, float* y, float factor, const float* x, int64_t n, Stream& stream) {
  if (n == 0) return;
  const bool four = n % 4 == 0 && fourAtOnce(y, 0) && fourAtOnce(x, 0);
  const int64_t perBlock = int64_t{kThreads} * (four ? 4 : 1), blocks = (n + perBlock - 1) / perBlock;
  const Dim3 grid{static_cast<unsigned>(blocks < kMostLineBlocks ? blocks : kMostLineBlocks)};
  launch(four ? scaleAddKernel<4> : scaleAddKernel<1>, name, grid, {kThreads}, 0, stream, y, factor, x, n);
}

}  // namespace

void gatedForward(GatedActivation act, const float* gateUp, int64_t rows, int64_t f, float* h, Stream& stream) {
  if (rows == 0 || f == 0) return;
  const bool four = fourAtOnce(gateUp, f) && fourAtOnce(h, f), silu = act == GatedActivation::kSilu;
  const auto kernel =
      silu   ? four ? gatedForwardKernel<GatedActivation::kSilu, 4> : gatedForwardKernel<GatedActivation::kSilu, 1>
        : four ? gatedForwardKernel<GatedActivation::kGeluTanh, 4>
             : gatedForwardKernel<GatedActivation::kGeluTanh, 1>;
  launch(kernel, "gatedForward", rowGrid(rows, f, four ? 4 : 1), {kThreads}, 0, stream, gateUp, rows, f, h);
}

void gatedBackward(GatedActivation act, float* gateUp, int64_t rows, int64_t f, const float* dh, float* h,
                   Stream& stream) {
  if (rows == 0 || f == 0) return;
  const bool four = fourAtOnce(gateUp, f) && fourAtOnce(dh, f) && fourAtOnce(h, f);
  const bool silu = act == GatedActivation::kSilu;
  const auto kernel =
      silu   ? four ? gatedBackwardKernel<GatedActivation::kSilu, 4> : gatedBackwardKernel<GatedActivation::kSilu, 1>
        : four ? gatedBackwardKernel<GatedActivation::kGeluTanh, 4>
             : gatedBackwardKernel<GatedActivation::kGeluTanh, 1>;
  launch(kernel, "gatedBackward", rowGrid(rows, f, four ? 4 : 1), {kThreads}, 0, stream, gateUp, rows, f, dh, h);
}

void add(float* y, const float* x, int64_t n, Stream& stream) { scaleAdd("add", y, 1, x, n, stream); }
void scale(float* y, float factor, int64_t n, Stream& stream) { scaleAdd("scale", y, factor, nullptr, n, stream); }

void addToRows(float* y, int64_t ldy, int64_t rows, const float* x, int64_t n, Stream& stream) {
  if (rows == 0 || n == 0) return;
  const bool four = n % 4 == 0 && fourAtOnce(y, ldy) && fourAtOnce(x, 0);
  launch(four ? addToRowsKernel<4> : addToRowsKernel<1>, "addToRows", rowGrid(rows, n, four ? 4 : 1), {kThreads}, 0,
         stream, y, ldy, rows, x, n);
}

}  // namespace mlit::cuda
