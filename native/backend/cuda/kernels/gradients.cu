// Sums down the rows of a batch, without atomics: a block sums a part of the rows, a second launch adds the parts in their order.
// How rows are cut depends on their number alone, so the same batch gives the same bits on every card.
#include "backend/cuda/kernels/gradients.h"

#include <algorithm>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "backend/cuda/kernels/reals.h"

namespace mlit::cuda {

namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int64_t kPartRows = 128, kMostParts = 512;

struct Parts {
  int64_t count, rows;  // of each
};

Parts partsOf(int64_t summed) {
  const int64_t wanted = std::clamp<int64_t>((summed + kPartRows - 1) / kPartRows, 1, kMostParts);
  const int64_t rows = std::max<int64_t>(1, (summed + wanted - 1) / wanted);
  return {std::max<int64_t>(1, (summed + rows - 1) / rows), rows};
}

// partial[part][column]: sum over the part's (row, head) of dy, or of dy * x * invRms where x is given. Lanes side by side in
// columns, warps take turns in rows.
template <int N, class Dy, class X>
__global__ void __launch_bounds__(kThreads) columnSumsKernel(const Dy* dy, int64_t lddy, const X* x, HeadRows s,
                                                             const float* invRms, int64_t partRows, float* partial) {
  using Room = float[kWarps][32 * N];
  SHARED(Room, room);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t column = (int64_t{blockIdx.y} * 32 + lane) * N;
  const int64_t first = int64_t{blockIdx.x} * partRows;
  const int64_t end = min(first + partRows, s.rows * s.heads);
  float sum[N] = {};
  if (column < s.dim) {
    for (int64_t group = first + warp; group < end; group += kWarps) {
      const int64_t row = static_cast<unsigned>(group) / static_cast<unsigned>(s.heads);
      const int64_t inRow = (group - row * s.heads) * s.dim + column;
      float g[N];
      loadFloats(g, dy + row * lddy + inRow);
      if (x != nullptr) {
        const float inverse = invRms[group];
        float v[N];
        loadFloats(v, x + row * s.ld + inRow);
        UNROLL
        for (int j = 0; j < N; ++j) g[j] *= v[j] * inverse;
      }
      UNROLL
      for (int j = 0; j < N; ++j) sum[j] += g[j];
    }
  }
  UNROLL
  for (int j = 0; j < N; ++j) room[warp][j * 32 + lane] = sum[j];
  __syncthreads();
  // Thread t adds up what lane t % 32 summed of its column t / 32.
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t own = (int64_t{blockIdx.y} * 32 + lane) * N + warp;
  if (thread < 32 * N && own < s.dim) {
    float total = 0;
    UNROLL
    for (int w = 0; w < kWarps; ++w) total += room[w][thread];
    partial[int64_t{blockIdx.x} * s.dim + own] = total;
  }
}

// sums[column] += the parts, in double: there may be hundreds.
__global__ void __launch_bounds__(kThreads)
    addPartsKernel(const float* partial, int64_t parts, int64_t columns, float* sums) {
  using Room = double[kWarps][32];
  SHARED(Room, room);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t column = int64_t{blockIdx.x} * 32 + lane;
  double sum = 0;
  if (column < columns) {
    for (int64_t part = warp; part < parts; part += kWarps)
      sum += static_cast<double>(partial[part * columns + column]);
  }
  room[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < columns) {
    double total = static_cast<double>(sums[column]);
    UNROLL
    for (int w = 0; w < kWarps; ++w) total += room[w][lane];
    sums[column] = static_cast<float>(total);
  }
}

template <class Dy, class X>
void columnSums(const char* name, const Dy* dy, int64_t lddy, const X* x, const HeadRows& rows, const float* invRms,
                float* sums, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream) {
  const int64_t summed = rows.rows * rows.heads;
  if (summed == 0 || rows.dim == 0) return;
  if (summed > UINT32_MAX) throw Error(ErrorCode::kInternal, name + (" of " + std::to_string(summed)) + " rows");
  const size_t wanted = columnSumsWorkspaceBytes(summed, rows.dim);
  if (workspaceBytes < wanted) {
    throw Error(ErrorCode::kInternal, std::string(name) + " wants a workspace of " + std::to_string(wanted) +
                                          " bytes, not " + std::to_string(workspaceBytes));
  }
  const Parts parts = partsOf(summed);
  float* const partial = workspace.as<float>().raw();
  const bool four = rows.dim % 4 == 0 && atOnce<4>(dy, lddy) && atOnce<4>(x, x == nullptr ? 0 : rows.ld);
  const int64_t blockColumns = four ? 128 : 32;
  launch(four ? columnSumsKernel<4, Dy, X> : columnSumsKernel<1, Dy, X>, name,
         {static_cast<unsigned>(parts.count), static_cast<unsigned>((rows.dim + blockColumns - 1) / blockColumns)},
         {kThreads}, 0, stream, dy, lddy, x, rows, invRms, parts.rows, partial);
  launch(addPartsKernel, "addParts", {static_cast<unsigned>((rows.dim + 31) / 32)}, {kThreads}, 0, stream, partial,
         parts.count, rows.dim, sums);
}

// The block of an id's first occurrence adds all of its rows, in their order; the others end. A block owns kThreads * kOwn * N
// columns, which it keeps in registers meanwhile.
constexpr int kOwn = 4;

template <int N>
__global__ void __launch_bounds__(kThreads)
    gatherGradientKernel(const float* dy, const int32_t* ids, int n, int d, float scale, float* table) {
  using Room = unsigned[kWarps];
  SHARED(Room, matches);
  const int thread = static_cast<int>(threadIdx.x);
  const int own = static_cast<int>(blockIdx.x);
  const int32_t id = ids[own];
  int seen = 0;
  for (int tile = 0; tile < own && seen == 0; tile += kThreads) {
    const int i = tile + thread;
    seen = __syncthreads_or(static_cast<int>(i < own && ids[i] == id));
  }
  if (seen != 0) return;

  const int firstColumn = (static_cast<int>(blockIdx.y) * kOwn * kThreads + thread) * N;
  const auto column = [&](int k) { return firstColumn + k * kThreads * N; };
  float* const row = table + int64_t{id} * d;
  float sum[kOwn][N] = {};
  UNROLL
  for (int k = 0; k < kOwn; ++k) {
    if (column(k) < d) loadFloats(sum[k], row + column(k));
  }
  for (int tile = own; tile < n; tile += kThreads) {
    const int i = tile + thread;
    const unsigned mine = __ballot_sync(kAllLanes, static_cast<int>(i < n && ids[i] == id));
    if (thread % 32 == 0) matches[thread / 32] = mine;
    __syncthreads();
    for (int warp = 0; warp < kWarps; ++warp) {
      for (unsigned left = matches[warp]; left != 0; left &= left - 1) {
        const float* const from = dy + int64_t{tile + warp * 32 + __ffs(static_cast<int>(left)) - 1} * d;
        UNROLL
        for (int k = 0; k < kOwn; ++k) {
          if (column(k) >= d) continue;
          float more[N];
          loadFloats(more, from + column(k));
          UNROLL
          for (int j = 0; j < N; ++j) sum[k][j] = __fmaf_rn(more[j], scale, sum[k][j]);
        }
      }
    }
    __syncthreads();
  }
  UNROLL
  for (int k = 0; k < kOwn; ++k) {
    if (column(k) < d) storeFloats(row + column(k), sum[k]);
  }
}

}  // namespace

size_t columnSumsWorkspaceBytes(int64_t summed, int64_t columns) {
  return static_cast<size_t>(partsOf(summed).count * columns) * sizeof(float);
}

void rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 invRms,
                           DevF32 dWeight, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream) {
  withReals(dy, [&](const auto* gradient) {
    withReals(x, [&](const auto* from) {
      columnSums("rmsNormWeightGradient", gradient, lddy, from, xRows, invRms.raw(), dWeight.raw(), workspace,
                 workspaceBytes, stream);
    });
  });
}

void biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias, DevicePtr<std::byte> workspace,
                  size_t workspaceBytes, Stream& stream) {
  withReals(dy, [&]<class Dy>(const Dy* gradient) {
    columnSums<Dy, Dy>("biasGradient", gradient, lddy, nullptr, {rows, lddy, 1, static_cast<int32_t>(n)}, nullptr,
                       dBias.raw(), workspace, workspaceBytes, stream);
  });
}

void gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable, Stream& stream) {
  if (n == 0 || d == 0) return;
  const bool four = d % 4 == 0 && atOnce<4>(dy.raw()) && atOnce<4>(dTable.raw());
  const int64_t columns = int64_t{kThreads} * kOwn * (four ? 4 : 1);
  launch(four ? gatherGradientKernel<4> : gatherGradientKernel<1>, "gatherGradient",
         {static_cast<unsigned>(n), static_cast<unsigned>((d + columns - 1) / columns)}, {kThreads}, 0, stream,
         dy.raw(), ids.raw(), n, d, scale, dTable.raw());
}

}  // namespace mlit::cuda
