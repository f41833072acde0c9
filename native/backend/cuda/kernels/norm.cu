// RMSNorm forward and backward: memory-bound, so a row is read from memory once and again from the cache, and summed by one
// warp where it is short (heads of q and k), by a block where it is long. Four elements at a time whatever their type: 16 bytes
// of float32 meet 8 of bfloat16, and a head of 128 keeps its whole warp busy.
// Forward, either type may become either. Backward, dx is of x's type, and dy of either: that of a norm of the residual stream comes
// as bfloat16 from the product below it, that of a norm behind a projection as float32 from the residual stream.
#include "backend/cuda/kernels/norm.h"

#include <type_traits>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "backend/cuda/kernels/reals.h"

namespace mlit::cuda {

namespace {

constexpr int kLongThreads = 256, kShortRows = 4;  // rows of a block, a warp each
constexpr int kShortest = 512;                     // widths up to here take one warp

// groups: one for each (row, head); a division of 64 bits to tell them apart would be a call.
struct NormShape {
  unsigned groups, heads;
  int64_t ld;
  int dim;
  int filler = 0;  // parameters have no padding
};

// Where this thread's group stands: which (row, head), or none.
template <int Threads>
DEVICE unsigned normGroup() {
  return Threads == 32 ? blockIdx.x * kShortRows + threadIdx.x / 32 : unsigned{blockIdx.x};
}

template <int Threads>
DEVICE float groupSum(float value) {
  if constexpr (Threads == 32) {
    return warpSum(value);
  } else {
    using Room = float[Threads / 32];
    SHARED(Room, room);
    return blockSum<Threads>(value, room);
  }
}

template <int Threads, int N, class X, class Y>
__global__ void __launch_bounds__(Threads == 32 ? 32 * kShortRows : Threads)
    rmsNormForwardKernel(const X* x, NormShape s, const float* weight, float eps, Y* y, int64_t ldy, const float* addTo,
                         float* invRms) {
  const unsigned group = normGroup<Threads>();
  if (group >= s.groups) return;  // whole warps
  const int lane = static_cast<int>(threadIdx.x) % Threads;
  const int64_t row = group / s.heads, head = group % s.heads;
  const X* from = x + row * s.ld + head * s.dim;
  const int64_t to = row * ldy + head * s.dim;

  float squares = 0;
  for (int i = lane * N; i < s.dim; i += Threads * N) {
    float v[N];
    loadFloats(v, from + i);
    UNROLL
    for (int j = 0; j < N; ++j) squares += v[j] * v[j];
  }
  const float inverse = rsqrtf(groupSum<Threads>(squares) / static_cast<float>(s.dim) + eps);
  if (invRms != nullptr && lane == 0) invRms[group] = inverse;

  for (int i = lane * N; i < s.dim; i += Threads * N) {
    float v[N], w[N], sum[N] = {};
    loadFloats(v, from + i);
    loadFloats(w, weight + i);
    if (addTo != nullptr) loadFloats(sum, addTo + to + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum[j] += v[j] * inverse * w[j];
    storeFloats(y + to + i, sum);
  }
}

// dx = r (w dy - x r² mean(dy w x)), r = invRms.
template <int Threads, int N, class Dy, class X, class Dx>
__global__ void __launch_bounds__(Threads == 32 ? 32 * kShortRows : Threads)
    rmsNormBackwardKernel(const Dy* dy, int64_t lddy, const X* x, NormShape s, const float* weight, const float* invRms,
                          Dx* dx, int64_t lddx, bool accumulate) {
  const unsigned group = normGroup<Threads>();
  if (group >= s.groups) return;
  const int lane = static_cast<int>(threadIdx.x) % Threads;
  const int64_t row = group / s.heads, head = group % s.heads;
  const X* values = x + row * s.ld + head * s.dim;
  const Dy* gradient = dy + row * lddy + head * s.dim;
  Dx* to = dx + row * lddx + head * s.dim;

  float dot = 0;
  for (int i = lane * N; i < s.dim; i += Threads * N) {
    float v[N], g[N], w[N];
    loadFloats(v, values + i);
    loadFloats(g, gradient + i);
    loadFloats(w, weight + i);
    UNROLL
    for (int j = 0; j < N; ++j) dot += g[j] * w[j] * v[j];
  }
  const float inverse = invRms[group];
  const float pull = groupSum<Threads>(dot) / static_cast<float>(s.dim) * inverse * inverse;

  for (int i = lane * N; i < s.dim; i += Threads * N) {
    float v[N], g[N], w[N], sum[N] = {};
    loadFloats(v, values + i);
    loadFloats(g, gradient + i);
    loadFloats(w, weight + i);
    if (accumulate) loadFloats(sum, to + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum[j] += inverse * (g[j] * w[j] - v[j] * pull);
    storeFloats(to + i, sum);
  }
}

NormShape shapeOf(const HeadRows& rows) {
  const int64_t groups = rows.rows * rows.heads;
  if (groups > INT32_MAX) throw Error(ErrorCode::kInternal, "RMSNorm of " + std::to_string(groups) + " rows and heads");
  return {static_cast<unsigned>(groups), static_cast<unsigned>(rows.heads), rows.ld, rows.dim};
}

// run(threads, N) with the constants that fit the rows.
template <class Run>
void chooseGroup(const HeadRows& rows, bool four, Run run) {
  using std::integral_constant;
  const int64_t groups = rows.rows * rows.heads;
  if (groups == 0 || rows.dim == 0) return;
  const auto with = [&](auto threads) {
    const bool isShort = threads == 32;
    const int64_t blocks = isShort ? (groups + kShortRows - 1) / kShortRows : groups;
    const Dim3 grid{static_cast<unsigned>(blocks)}, block{static_cast<unsigned>(isShort ? 32 * kShortRows : threads)};
    if (four) {
      run(threads, integral_constant<int, 4>{}, grid, block);
    } else {
      run(threads, integral_constant<int, 1>{}, grid, block);
    }
  };
  if (rows.dim <= kShortest) {
    with(integral_constant<int, 32>{});
  } else {
    with(integral_constant<int, kLongThreads>{});
  }
}

template <class Dy, class X, class Dx>
void launchBackward(const Dy* dy, int64_t lddy, const X* x, const HeadRows& rows, const float* weight,
                    const float* invRms, Dx* dx, int64_t lddx, bool accumulate, Stream& stream) {
  const NormShape shape = shapeOf(rows);
  const bool four =
      rows.dim % 4 == 0 && atOnce<4>(x, rows.ld) && atOnce<4>(dy, lddy) && atOnce<4>(dx, lddx) && atOnce<4>(weight);
  chooseGroup(rows, four, [&](auto threads, auto n, Dim3 grid, Dim3 block) {
    launch(rmsNormBackwardKernel<decltype(threads)::value, decltype(n)::value, Dy, X, Dx>, "rmsNormBackward", grid,
           block, 0, stream, dy, lddy, x, shape, weight, invRms, dx, lddx, accumulate);
  });
}

}  // namespace

void rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                    DevConstF32 addTo, DevF32 invRms, Stream& stream) {
  const NormShape shape = shapeOf(xRows);
  withReals(x, [&]<class X>(const X* from) {
    withReals(y, [&]<class Y>(Y* to) {
      const bool four = xRows.dim % 4 == 0 && atOnce<4>(from, xRows.ld) && atOnce<4>(to, ldy) &&
                        atOnce<4>(weight.raw()) && atOnce<4>(addTo.raw(), addTo ? ldy : 0);
      chooseGroup(xRows, four, [&](auto threads, auto n, Dim3 grid, Dim3 block) {
        launch(rmsNormForwardKernel<decltype(threads)::value, decltype(n)::value, X, Y>, "rmsNormForward", grid, block,
               0, stream, from, shape, weight.raw(), eps, to, ldy, addTo.raw(), invRms.raw());
      });
    });
  });
}

void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                     DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate, Stream& stream) {
  withReals(dy, [&]<class Dy>(const Dy* gradient) {
    withReals(x, [&]<class X>(const X* from) {
      withReals(dx, [&]<class Dx>(Dx* to) {
        if constexpr (std::is_same_v<X, Dx>) {
          launchBackward(gradient, lddy, from, xRows, weight.raw(), invRms.raw(), to, lddx, accumulate, stream);
        } else {
          refuseReals("rmsNormBackward", {{"dy", dy.type()}, {"x", x.type()}, {"dx", dx.type()}});
        }
      });
    });
  });
}

}  // namespace mlit::cuda
