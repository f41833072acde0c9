// The matrix products inside attention: small, register-blocked, on packed tiles that lie in a core's own cache. Every
// element is one chain of fused multiply-adds in the order of k, so that its bits do not depend on how rows and columns
// are blocked around it.
#pragma once

#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {

inline constexpr int kTileRows = 6;                       // rows of a register block
inline constexpr int kTileVectors = kLanes == 8 ? 2 : 4;  // vectors a row: 24 or 12 accumulators
inline constexpr int64_t kTileColumns = kTileVectors * kLanes;
inline constexpr int64_t kGranule = 16;  // packed widths are multiples of this

enum class TileMode { kStore, kAdd, kScale };  // c = a·b, c + a·b, rowScale[i]·c + a·b

// c[i][j] over kRows x (kVectors * kLanes): a at a[i * rowStride + p * stepStride], b at b[p * ldb + j].
template <int kRows, int kVectors, TileMode kMode>
HWY_INLINE void tile(const float* a, int64_t rowStride, int64_t stepStride, const float* b, int64_t ldb, int64_t steps,
                     float* c, int64_t ldc, const float* rowScale) {
  Floats sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      if constexpr (kMode == TileMode::kStore) {
        sum[i][j] = hn::Zero(kF);
      } else if constexpr (kMode == TileMode::kAdd) {
        sum[i][j] = load(c + i * ldc + j * kLanes);
      } else {
        sum[i][j] = hn::Mul(load(c + i * ldc + j * kLanes), set(rowScale[i]));
      }
    }
  }
  for (int64_t p = 0; p < steps; ++p) {
    Floats row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) row[j] = load(b + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Floats x = set(a[i * rowStride]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::MulAdd(x, row[j], sum[i][j]);
    }
    a += stepStride;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(sum[i][j], c + i * ldc + j * kLanes);
  }
}

template <int kVectors, TileMode kMode>
HWY_INLINE void tileOfRows(int64_t rows, const float* a, int64_t rowStride, int64_t stepStride, const float* b,
                           int64_t ldb, int64_t steps, float* c, int64_t ldc, const float* rowScale) {
  switch (rows) {
    case 1:
      return tile<1, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    case 2:
      return tile<2, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    case 3:
      return tile<3, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    case 4:
      return tile<4, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    case 5:
      return tile<5, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    default:
      return tile<6, kVectors, kMode>(a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
  }
}

// rows <= kTileRows, columns <= kTileColumns and a multiple of kGranule.
template <TileMode kMode>
void tileOf(int64_t rows, int64_t columns, const float* a, int64_t rowStride, int64_t stepStride, const float* b,
            int64_t ldb, int64_t steps, float* c, int64_t ldc, const float* rowScale) {
  if constexpr (kLanes == 16) {
    if (columns == 16) return tileOfRows<1, kMode>(rows, a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    if (columns == 32) return tileOfRows<2, kMode>(rows, a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
    if (columns == 48) return tileOfRows<3, kMode>(rows, a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
  }
  tileOfRows<kTileVectors, kMode>(rows, a, rowStride, stepStride, b, ldb, steps, c, ldc, rowScale);
}

// Four sums over all lanes at once: {sum a, sum b, sum c, sum d}.
HWY_INLINE auto sumLanesOfFour(Floats a, Floats b, Floats c, Floats d) {
  const hn::Repartition<double, FloatTag> pairs;
  const Floats ab = hn::Add(hn::InterleaveLower(kF, a, b), hn::InterleaveUpper(kF, a, b));
  const Floats cd = hn::Add(hn::InterleaveLower(kF, c, d), hn::InterleaveUpper(kF, c, d));
  const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, cd));
  const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, cd));
  const Floats sums = hn::Add(hn::BitCast(kF, low), hn::BitCast(kF, high));
  if constexpr (kLanes == 16) {
    const hn::Half<FloatTag> half;
    const hn::Half<hn::Half<FloatTag>> quarter;
    const auto eight = hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums));
    return hn::Add(hn::LowerHalf(quarter, eight), hn::UpperHalf(quarter, eight));
  } else if constexpr (kLanes == 8) {
    const hn::Half<FloatTag> half;
    return hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums));
  } else {
    return sums;
  }
}

// s[i * lds + j] = q[i] · k[j] for kRows rows and 4 keys that lie as rows: lanes run along the head's dimension, so
// that keys need no transposition (measured: as fast as the tile above, which would pay 15 % for one). q is padded with
// zeros to whole vectors. Where fewer than 4 keys are left the last one is taken again and its columns mean nothing.
template <int kRows>
HWY_INLINE void dotTile(const float* q, int64_t ldq, const float* k, int64_t ldk, int64_t left, int64_t dim, float* s,
                        int64_t lds) {
  const float* k1 = k + (left > 1 ? ldk : 0);
  const float* k2 = k1 + (left > 2 ? ldk : 0);
  const float* k3 = k2 + (left > 3 ? ldk : 0);
  Floats sum[kRows][4];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sum[i][j] = hn::Zero(kF);
  }
  const auto step = [&](int64_t p, const Floats* keys) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const Floats x = load(q + i * ldq + p);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[i][j] = hn::MulAdd(x, keys[j], sum[i][j]);
    }
  };
  int64_t p = 0;
  for (; p + kLanes <= dim; p += kLanes) {
    const Floats keys[4] = {load(k + p), load(k1 + p), load(k2 + p), load(k3 + p)};
    step(p, keys);
  }
  if (p < dim) {
    const int64_t n = dim - p;
    const Floats keys[4] = {loadFirst(k + p, n), loadFirst(k1 + p, n), loadFirst(k2 + p, n), loadFirst(k3 + p, n)};
    step(p, keys);
  }
  const hn::FixedTag<float, 4> four;
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
    hn::StoreU(sumLanesOfFour(sum[i][0], sum[i][1], sum[i][2], sum[i][3]), four, s + i * lds);
}

inline constexpr int64_t kDotRows = kLanes == 8 ? 2 : 4;  // what the registers of the instruction set hold with 4 keys

// Scores of rows (<= kDotRows) against keys [begin, end) of a block of count, in steps of 4 from a multiple of 4.
HWY_INLINE void dotRows(int64_t rows, const float* q, int64_t ldq, const float* k, int64_t ldk, int64_t begin,
                        int64_t end, int64_t count, int64_t dim, float* s, int64_t lds) {
  for (int64_t j = begin / 4 * 4; j < end; j += 4) {
    const float* key = k + j * ldk;
    if (rows == kDotRows) {
      dotTile<kDotRows>(q, ldq, key, ldk, count - j, dim, s + j, lds);
      continue;
    }
    for (int64_t i = 0; i < rows; ++i) dotTile<1>(q + i * ldq, ldq, key, ldk, count - j, dim, s + i * lds + j, lds);
  }
}

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
