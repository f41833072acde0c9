// Gated activations, sums and scalings: each element once, 16 bytes at a time where rows allow it. A gated activation's
// operands are of one type. What is added to float32 may be of either type, and float32 (a bias) is added to either.
#include "backend/cuda/kernels/elementwise.h"

#include <type_traits>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "backend/cuda/kernels/reals.h"
#include "backend/cuda/kernels/row_grid.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostLineBlocks = 4096;

struct Activated {
  float value, slope;
};

// Slopes multiply 1 - sigmoid by the gate: an approximate quotient, two units off, would be off by as many times more.
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

template <GatedActivation Act, int N, class T>
__global__ void __launch_bounds__(kRowThreads) gatedForwardKernel(const T* gateUp, int64_t rows, int64_t f, T* h) {
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
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

template <GatedActivation Act, int N, class T>
__global__ void __launch_bounds__(kRowThreads)
    gatedBackwardKernel(T* gateUp, int64_t rows, int64_t f, const T* dh, T* h) {
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  if (column >= f) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    T* gateAt = gateUp + row * 2 * f + column;
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
template <int N, class X>
__global__ void __launch_bounds__(kThreads) scaleAddKernel(float* y, float factor, const X* x, int64_t n) {
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N; i < n; i += int64_t{gridDim.x} * kThreads * N) {
    float sum[N], more[N] = {};
    loadFloats(sum, y + i);
    if (x != nullptr) loadFloats(more, x + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum[j] = sum[j] * factor + more[j];
    storeFloats(y + i, sum);
  }
}

template <int N, class Y>
__global__ void __launch_bounds__(kRowThreads)
    addToRowsKernel(Y* y, int64_t ldy, int64_t rows, const float* x, int64_t n) {
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
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

template <class X>
void scaleAdd(const char* name, float* y, float factor, const X* x, int64_t n, Stream& stream) {
  if (n == 0) return;
  const bool four = n % 4 == 0 && atOnce<4>(y) && atOnce<4>(x);
  const int64_t perBlock = int64_t{kThreads} * (four ? 4 : 1), blocks = (n + perBlock - 1) / perBlock;
  const Dim3 grid{static_cast<unsigned>(blocks < kMostLineBlocks ? blocks : kMostLineBlocks)};
  launch(four ? scaleAddKernel<4, X> : scaleAddKernel<1, X>, name, grid, {kThreads}, 0, stream, y, factor, x, n);
}

// run(activation) with the constant.
template <class Run>
void withActivation(GatedActivation act, Run run) {
  using std::integral_constant;
  if (act == GatedActivation::kSilu) {
    run(integral_constant<GatedActivation, GatedActivation::kSilu>{});
  } else {
    run(integral_constant<GatedActivation, GatedActivation::kGeluTanh>{});
  }
}

}  // namespace

void gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h, Stream& stream) {
  if (gateUp.type() != h.type()) refuseReals("gatedForward", {{"gateUp", gateUp.type()}, {"h", h.type()}});
  if (rows == 0 || f == 0) return;
  withReals(gateUp, [&]<class T>(const T* from) {
    constexpr int kMany = kAtOnce<T>;
    T* const to = realsOf<T>(h);
    const bool many = atOnce<kMany>(from, f) && atOnce<kMany>(to, f);
    const auto [grid, block] = rowGrid(rows, f, many ? kMany : 1);
    withActivation(act, [&, grid = grid, block = block](auto a) {
      launch(many ? gatedForwardKernel<decltype(a)::value, kMany, T> : gatedForwardKernel<decltype(a)::value, 1, T>,
             "gatedForward", grid, block, 0, stream, from, rows, f, to);
    });
  });
}

void gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h,
                   Stream& stream) {
  if (gateUp.type() != dh.type() || (h && gateUp.type() != h.type())) {
    refuseReals("gatedBackward", {{"gateUp", gateUp.type()}, {"dh", dh.type()}, {"h", h.type()}});
  }
  if (rows == 0 || f == 0) return;
  withReals(gateUp, [&]<class T>(T* at) {
    constexpr int kMany = kAtOnce<T>;
    const T* const gradient = realsOf<T>(dh);
    T* const to = realsOf<T>(h);
    const bool many = atOnce<kMany>(at, f) && atOnce<kMany>(gradient, f) && atOnce<kMany>(to, f);
    const auto [grid, block] = rowGrid(rows, f, many ? kMany : 1);
    withActivation(act, [&, grid = grid, block = block](auto a) {
      launch(many ? gatedBackwardKernel<decltype(a)::value, kMany, T> : gatedBackwardKernel<decltype(a)::value, 1, T>,
             "gatedBackward", grid, block, 0, stream, at, rows, f, gradient, to);
    });
  });
}

void add(DevF32 y, DevConstReal x, int64_t n, Stream& stream) {
  withReals(x, [&](const auto* from) { scaleAdd("add", y.raw(), 1, from, n, stream); });
}

void scale(DevF32 y, float factor, int64_t n, Stream& stream) {
  scaleAdd<float>("scale", y.raw(), factor, nullptr, n, stream);
}

void addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n, Stream& stream) {
  if (rows == 0 || n == 0) return;
  withReals(y, [&]<class Y>(Y* to) {
    constexpr int kMany = kAtOnce<Y>;
    const bool many = n % kMany == 0 && atOnce<kMany>(to, ldy) && atOnce<kMany>(x.raw());
    const auto [grid, block] = rowGrid(rows, n, many ? kMany : 1);
    launch(many ? addToRowsKernel<kMany, Y> : addToRowsKernel<1, Y>, "addToRows", grid, block, 0, stream, to, ldy, rows,
           x.raw(), n);
  });
}

}  // namespace mlit::cuda
