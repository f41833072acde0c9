// Decoding is bound by reading the weights. So a lane loads 16 bytes of a weight's row and holds, in whatever format they are, exactly
// the numbers that it owes the tensor core: which columns a product of 16 takes is free as long as both operands agree, so lane t of
// four takes columns that lie side by side, for the weight and for x. Nothing goes through shared memory but the warps' partial sums.
//
// A step is what four lanes load of a row. Warp w of a block takes steps w, w + 8, ..., and the eight partial sums are added in the
// order of warps: an order that neither the number of rows nor the block's share of them (kM, kN) has a part in.
#include "backend/cuda/kernels/few_rows.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/nf4.cuh"
#include "backend/cuda/kernels/reals.h"
#include "backend/cuda/sizes.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kSumsLd = 20;  // 16 outputs; lanes of a fragment then find banks of their own

// kGroups: a lane's 16 bytes are so many groups of eight neighbours.
template <WeightFormat kFormat>
struct Lanes;
template <>
struct Lanes<WeightFormat::kBF16> {
  static constexpr int kGroups = 1;
  DEVICE static uint4 group(uint4 raw, int, float, const Nf4Levels&) { return raw; }
};
template <>
struct Lanes<WeightFormat::kI8Channel> {
  static constexpr int kGroups = 2;
  // Without their scale: bfloat16 holds these integers exactly, and the row's scale can wait for the sum.
  DEVICE static uint4 group(uint4 raw, int i, float, const Nf4Levels&) {
    const unsigned low = i == 0 ? raw.x : raw.z, high = i == 0 ? raw.y : raw.w;
    return make_uint4(pair(low), pair(low >> 16), pair(high), pair(high >> 16));
  }
  DEVICE static unsigned pair(unsigned bytes) {
    return packBf16(static_cast<float>(static_cast<int8_t>(bytes & 0xFFu)),
                    static_cast<float>(static_cast<int8_t>(bytes >> 8 & 0xFFu)));
  }
};
template <>
struct Lanes<WeightFormat::kNF4> {
  static constexpr int kGroups = 4;
  // The bfloat16 numbers that training multiplies as well.
  DEVICE static uint4 group(uint4 raw, int i, float scale, const Nf4Levels& levels) {
    const unsigned codes = i == 0 ? raw.x : i == 1 ? raw.y : i == 2 ? raw.z : raw.w;
    float v[8];
    decodeNf4(v, codes, scale, levels);
    return make_uint4(packBf16(v[0], v[1]), packBf16(v[2], v[3]), packBf16(v[4], v[5]), packBf16(v[6], v[7]));
  }
};

// Eight columns of a row of x, zeros beyond its end.
DEVICE uint4 loadColumns(const __nv_bfloat16* row, int64_t column, int64_t in, bool there) {
  if (!there || column >= in) return make_uint4(0, 0, 0, 0);
  if (column + 8 <= in) return load16(row + column);
  const auto one = [&](int i) {
    return column + i < in ? static_cast<unsigned>(__bfloat16_as_ushort(row[column + i])) : 0u;
  };
  const auto two = [&](int i) { return one(i) | one(i + 1) << 16; };
  return make_uint4(two(0), two(2), two(4), two(6));
}

// Without padding: a recorded launch is told from another by every byte of its arguments.
struct Matrix {
  const std::byte* data;
  const float* scales;
  int64_t out, in;
};
struct Rows {
  const __nv_bfloat16* x;
  int64_t ldx, rows;
  void* y;
  int64_t ldy, floats;  // floats: y's type
};

// A block's share: 16 kM outputs (y of the grid) of 8 kN rows (x of the grid, so that blocks of one weight's part run together).
template <WeightFormat kFormat, int kM, int kN>
__global__ void __launch_bounds__(kThreads) fewRowsKernel(Matrix weight, int64_t rowBytes, Rows io) {
  using Format = Lanes<kFormat>;
  using Partial = float[kWarps][8 * kN][kSumsLd];
  constexpr int kGroups = Format::kGroups, kPerLane = 8 * kGroups, kStep = 4 * kPerLane;
  SHARED(Partial, partial);
  SHARED(Nf4Levels, levels);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, g = thread % 32 / 4, t = thread % 4;
  if constexpr (kFormat == WeightFormat::kNF4) {
    fillLevels(levels);
    __syncthreads();
  }
  const int64_t firstRow = int64_t{blockIdx.x} * 8 * kN;
  const int64_t firstOut = int64_t{blockIdx.y} * 16 * kM, in = weight.in, blocks = nf4Blocks(in);

  float sums[kM][kN][4] = {};
  const int64_t steps = (in + kStep - 1) / kStep;
  for (int64_t step = warp; step < steps; step += kWarps) {
    const int64_t column = step * kStep + t * kPerLane;
    uint4 raw[kM][2];
    float scales[kM][2];
    UNROLL
    for (int m = 0; m < kM; ++m) {
      UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t o = firstOut + 16 * m + 8 * half + g;
        const bool there = o < weight.out && column < in;
        raw[m][half] = there ? load16(weight.data + o * rowBytes + column / kPerLane * 16) : make_uint4(0, 0, 0, 0);
        if constexpr (kFormat == WeightFormat::kNF4) {
          scales[m][half] = there ? weight.scales[o * blocks + column / kNf4Block] : 0.0f;
        } else {
          scales[m][half] = 1;
        }
      }
    }
    UNROLL
    for (int i = 0; i < kGroups; ++i) {
      uint4 w[kM][2];
      UNROLL
      for (int m = 0; m < kM; ++m) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
          w[m][half] = Format::group(raw[m][half], i, scales[m][half], levels);
        }
      }
      UNROLL
      for (int n = 0; n < kN; ++n) {
        const int64_t row = firstRow + 8 * n + g;
        const uint4 x = loadColumns(io.x + row * io.ldx, column + 8 * i, in, row < io.rows);
        const unsigned first[2] = {x.x, x.y}, second[2] = {x.z, x.w};
        UNROLL
        for (int m = 0; m < kM; ++m) {
          const unsigned low[4] = {w[m][0].x, w[m][1].x, w[m][0].y, w[m][1].y};
          const unsigned high[4] = {w[m][0].z, w[m][1].z, w[m][0].w, w[m][1].w};
          mmaM16N8K16(sums[m][n], low, first);
          mmaM16N8K16(sums[m][n], high, second);
        }
      }
    }
  }

  UNROLL
  for (int m = 0; m < kM; ++m) {
    if (m > 0) __syncthreads();
    UNROLL
    for (int n = 0; n < kN; ++n) {
      UNROLL
      for (int i = 0; i < 4; ++i) partial[warp][8 * n + 2 * t + i % 2][g + i / 2 * 8] = sums[m][n][i];
    }
    __syncthreads();
    for (int i = thread; i < 16 * 8 * kN; i += kThreads) {
      const int64_t row = firstRow + i / 16;
      const int64_t o = firstOut + 16 * m + i % 16;
      if (row >= io.rows || o >= weight.out) continue;
      float sum = partial[0][i / 16][i % 16];
      UNROLL
      for (int from = 1; from < kWarps; ++from) sum += partial[from][i / 16][i % 16];
      if constexpr (kFormat == WeightFormat::kI8Channel) sum *= weight.scales[o];
      if (io.floats != 0) {
        static_cast<float*>(io.y)[row * io.ldy + o] = sum;
      } else {
        static_cast<__nv_bfloat16*>(io.y)[row * io.ldy + o] = __float2bfloat16_rn(sum);
      }
    }
  }
}

template <WeightFormat kFormat, int kM, int kN>
void start(const NarrowWeight& weight, const Rows& io, Stream& stream) {
  const Dim3 grid{static_cast<unsigned>((io.rows + 8 * kN - 1) / (8 * kN)),
                  static_cast<unsigned>((weight.out + 16 * kM - 1) / (16 * kM))};
  launch(fewRowsKernel<kFormat, kM, kN>, "fewRows", grid, {kThreads}, 0, stream,
         Matrix{weight.data, weight.scales, weight.out, weight.in}, rowBytes(weight.in, kFormat), io);
}

// The share of a block decides speed alone. Decoded numbers want registers as well.
template <WeightFormat kFormat>
void startFor(const NarrowWeight& weight, const Rows& io, Stream& stream) {
  if (io.rows <= 8) return start<kFormat, 1, 1>(weight, io, stream);
  if (io.rows <= 16) return start<kFormat, 1, 2>(weight, io, stream);
  if (io.rows <= 32) return start<kFormat, 1, 4>(weight, io, stream);
  start<kFormat, kFormat == WeightFormat::kBF16 ? 4 : 2, 8>(weight, io, stream);
}

}  // namespace

bool takesRows(DevConstReal x, int64_t ldx) {
  return x.type() == ElementType::kBF16 && reinterpret_cast<uintptr_t>(x.bytes().raw()) % 16 == 0 && ldx % 8 == 0;
}

void fewRows(const NarrowWeight& weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
             Stream& stream) {
  if (rows == 0) return;
  const Rows io{realsOf<__nv_bfloat16>(x), ldx, static_cast<int>(rows),
                y.bytes().raw(),           ldy, y.type() == ElementType::kF32};
  switch (weight.format) {
    case WeightFormat::kBF16:
      return startFor<WeightFormat::kBF16>(weight, io, stream);
    case WeightFormat::kI8Channel:
      return startFor<WeightFormat::kI8Channel>(weight, io, stream);
    case WeightFormat::kNF4:
      return startFor<WeightFormat::kNF4>(weight, io, stream);
    case WeightFormat::kF32:
      break;
  }
  refuseReals("fewRows", {{"weight", ElementType::kF32}});
}

}  // namespace mlit::cuda
