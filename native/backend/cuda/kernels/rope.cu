// Rotary embedding in place: a thread turns a few neighbouring pairs of one head, so nobody else touches what it writes.
#include "backend/cuda/kernels/rope.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "backend/cuda/kernels/reals.h"
#include "backend/cuda/kernels/row_grid.h"

namespace mlit::cuda {

namespace {

// sign: +1 turns forward, -1 back.
template <int N, class T>
__global__ void __launch_bounds__(kRowThreads)
    ropeKernel(T* x, HeadRows s, const int32_t* positions, const float* table, float sign) {
  const int half = s.dim / 2, perHead = half / N;
  const int unit = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (unit >= s.heads * perHead) return;
  const int first = unit % perHead * N;
  T* const inRow = x + int64_t{unit / perHead} * s.dim + first;
  for (int64_t row = blockIdx.y; row < s.rows; row += gridDim.y) {
    const float* cosines = table + int64_t{positions[row]} * s.dim + first;
    T* const at = inRow + row * s.ld;
    float c[N], sine[N], a[N], b[N];
    loadFloats(c, cosines);
    loadFloats(sine, cosines + half);
    loadFloats(a, at);
    loadFloats(b, at + half);
    UNROLL
    for (int j = 0; j < N; ++j) {
      const float u = a[j], v = b[j], turned = sine[j] * sign;
      a[j] = u * c[j] - v * turned;
      b[j] = v * c[j] + u * turned;
    }
    storeFloats(at, a);
    storeFloats(at + half, b);
  }
}

}  // namespace

void rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction, Stream& stream) {
  const int half = rows.dim / 2;
  if (rows.rows == 0 || rows.heads == 0 || half == 0) return;
  withReals(x, [&]<class T>(T* at) {
    constexpr int kMany = kAtOnce<T>;
    const bool many = rows.dim % (2 * kMany) == 0 && atOnce<kMany>(at, rows.ld) && atOnce<kMany>(table.raw());
    const auto [grid, block] = rowGrid(rows.rows, int64_t{rows.heads} * half, many ? kMany : 1);
    launch(many ? ropeKernel<kMany, T> : ropeKernel<1, T>, "rope", grid, block, 0, stream, at, rows, positions.raw(),
           table.raw(), direction < 0 ? -1.0f : 1.0f);
  });
}

}  // namespace mlit::cuda
