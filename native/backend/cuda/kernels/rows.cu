// Rows are moved as they are, 16 bytes at a time where they are aligned; only adding looks at the numbers.
#include "backend/cuda/kernels/rows.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "backend/cuda/kernels/reals.h"
#include "backend/cuda/kernels/row_grid.h"

namespace mlit::cuda {

namespace {

enum class Move { kGather, kScatter, kScatterAdd };

// Row rows[i] of the wide matrix (leading dimension ld) and row i of the dense one [n, d].
template <Move Kind, int N, class T>
__global__ void __launch_bounds__(kRowThreads)
    moveRowsKernel(const T* from, T* to, const int32_t* rows, int64_t n, int64_t d, int64_t ld) {
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  if (column >= d) return;
  for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    const int64_t wide = rows[i] * ld + column, dense = i * d + column;
    const T* const source = from + (Kind == Move::kGather ? wide : dense);
    T* const target = to + (Kind == Move::kGather ? dense : wide);
    if constexpr (Kind == Move::kScatterAdd) {
      float sum[N], more[N];
      loadFloats(sum, target);
      loadFloats(more, source);
      UNROLL
      for (int j = 0; j < N; ++j) sum[j] += more[j];
      storeFloats(target, sum);
    } else if constexpr (N == 1) {
      *target = *source;
    } else {
      store16(target, load16(source));
    }
  }
}

template <Move Kind, class T>
void moveRows(const char* name, const T* from, T* to, DevConstI32 rows, int64_t n, int64_t d, int64_t ld,
              Stream& stream) {
  if (n == 0 || d == 0) return;
  constexpr int kMany = kAtOnce<T>;
  constexpr bool kGathers = Kind == Move::kGather;
  const bool many = atOnce<kMany>(from, kGathers ? ld : d) && atOnce<kMany>(to, kGathers ? d : ld);
  const auto [grid, block] = rowGrid(n, d, many ? kMany : 1);
  launch(many ? moveRowsKernel<Kind, kMany, T> : moveRowsKernel<Kind, 1, T>, name, grid, block, 0, stream, from, to,
         rows.raw(), n, d, ld);
}

}  // namespace

void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out, Stream& stream) {
  if (x.type() != out.type()) refuseReals("gatherRows", {{"x", x.type()}, {"out", out.type()}});
  withReals(out, [&]<class T>(T* to) {
    moveRows<Move::kGather, T>("gatherRows", realsOf<T>(x), to, rows, n, d, ldx, stream);
  });
}

void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx, bool accumulate,
                 Stream& stream) {
  if (in.type() != x.type()) refuseReals("scatterRows", {{"in", in.type()}, {"x", x.type()}});
  withReals(x, [&]<class T>(T* to) {
    if (accumulate) {
      moveRows<Move::kScatterAdd, T>("scatterRows", realsOf<T>(in), to, rows, n, d, ldx, stream);
    } else {
      moveRows<Move::kScatter, T>("scatterRows", realsOf<T>(in), to, rows, n, d, ldx, stream);
    }
  });
}

}  // namespace mlit::cuda
