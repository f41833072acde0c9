// Quantising is a load's business and decoding a product's: the first reads floats once, eight to a lane, the other is bound by what
// it writes.
#include "backend/cuda/kernels/nf4.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/nf4.cuh"
#include "backend/cuda/kernels/row_grid.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kGroup = static_cast<int>(kNf4Block) / 8;  // lanes of a block of columns

// Eight lanes a block of columns: its largest magnitude, then four bytes of codes each.
__global__ void __launch_bounds__(kThreads)
    quantiseNf4Kernel(const float* from, int64_t rows, int64_t width, std::byte* to, float* scales) {
  const int64_t group = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kGroup, blocks = nf4Blocks(width);
  const int64_t row = group / blocks, column = group % blocks * kNf4Block + threadIdx.x % kGroup * 8;
  float values[8], largest = 0;
  UNROLL
  for (int i = 0; i < 8; ++i) {
    values[i] = row < rows && column + i < width ? from[row * width + column + i] : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
  UNROLL
  for (int distance = kGroup / 2; distance > 0; distance /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, distance));
  }
  if (row >= rows) return;
  const float inverse = largest > 0 ? __fdiv_rn(1.0f, largest) : 0.0f;
  unsigned codes = 0;
  UNROLL
  for (int i = 0; i < 8; ++i) codes |= nf4Code(__fmul_rn(values[i], inverse)) << (4 * i);
  *reinterpret_cast<unsigned*>(to + (row * blocks * kNf4Block + column) / 2) = codes;
  if (threadIdx.x % kGroup == 0) scales[group] = largest;
}

__global__ void __launch_bounds__(kRowThreads)
    dequantiseNf4Kernel(const std::byte* from, const float* scales, int64_t rows, int64_t width, __nv_bfloat16* to,
                        int64_t ldTo) {
  SHARED(Nf4Levels, levels);
  fillLevels(levels);
  __syncthreads();
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 8, blocks = nf4Blocks(width);
  if (column >= width) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float values[8];
    decodeNf4(values, *reinterpret_cast<const unsigned*>(from + (row * blocks * kNf4Block + column) / 2),
              scales[row * blocks + column / kNf4Block], levels);
    storeFloats(to + row * ldTo + column, values);
  }
}

__global__ void __launch_bounds__(kRowThreads)
    gatherNf4Kernel(const std::byte* from, const float* scales, int64_t width, const int32_t* ids, int64_t n,
                    float factor, float* out) {
  SHARED(Nf4Levels, levels);
  fillLevels(levels);
  __syncthreads();
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 8, blocks = nf4Blocks(width);
  if (column >= width) return;
  for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    const int64_t row = ids[i];
    float values[8];
    decodeNf4(values, *reinterpret_cast<const unsigned*>(from + (row * blocks * kNf4Block + column) / 2),
              scales[row * blocks + column / kNf4Block], levels);
    UNROLL
    for (int j = 0; j < 8; ++j) {
      if (column + j < width) out[i * width + column + j] = factor * values[j];
    }
  }
}

}  // namespace

void quantiseNf4(DevConstF32 from, int64_t rows, int64_t width, std::byte* to, float* scales, Stream& stream) {
  if (rows == 0) return;
  const int64_t threads = rows * nf4Blocks(width) * kGroup;
  launch(quantiseNf4Kernel, "quantiseNf4", {static_cast<unsigned>((threads + kThreads - 1) / kThreads)}, {kThreads}, 0,
         stream, from.raw(), rows, width, to, scales);
}

void dequantiseNf4(const std::byte* from, const float* scales, int64_t rows, int64_t width, DevReal to, int64_t ldTo,
                   Stream& stream) {
  const auto [grid, block] = rowGrid(rows, width, 8);
  launch(dequantiseNf4Kernel, "dequantiseNf4", grid, block, 0, stream, from, scales, rows, width,
         reinterpret_cast<__nv_bfloat16*>(to.bytes().raw()), ldTo);
}

void gatherNf4(const std::byte* from, const float* scales, int64_t width, DevConstI32 ids, int64_t n, float factor,
               DevF32 out, Stream& stream) {
  if (n == 0) return;
  const auto [grid, block] = rowGrid(n, width, 8);
  launch(gatherNf4Kernel, "gatherNf4", grid, block, 0, stream, from, scales, width, ids.raw(), n, factor, out.raw());
}

}  // namespace mlit::cuda
