// The register tile that every matrix product ends in. It is worth a file of its own because two things decide its
// speed and neither is visible in the formula: that all accumulators stay in registers (every loop over them is
// unrolled), and that the next panel is on its way while this one is multiplied.
#include "backend/cpu/kernels/gemm.h"

#include <hwy/highway.h>

#include "backend/cpu/kernels/ahead.h"

namespace mlit::MLIT_ISA_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3
constexpr int64_t kLanes = 16;
constexpr int kMaxVectors = 4;  // 6 x 4 accumulators of 32 registers
#elif HWY_TARGET <= HWY_AVX2
constexpr int64_t kLanes = 8;
constexpr int kMaxVectors = 2;  // 6 x 2 of 16
#else
constexpr int64_t kLanes = 4;
constexpr int kMaxVectors = 4;  // 6 x 4 of 32
#endif
using Floats = hn::FixedTag<float, kLanes>;
using Vector = hn::Vec<Floats>;
constexpr int64_t kTileColumns = kLanes * kMaxVectors;
constexpr int64_t kUnit = 16;  // widths are padded to this
constexpr int64_t kPanel = kGemmPanel;
constexpr int kMaxRows = static_cast<int>(kGemmRows);
static_assert(kTileColumns % kUnit == 0);

#define MLIT_UNROLL _Pragma("GCC unroll 16")
#define MLIT_INLINE inline __attribute__((always_inline))

struct Tile {
  int64_t k;
  const float* a;
  int64_t aRow;
  int64_t aK;
  const float* b;
  int64_t ldb;
  const uint16_t* narrow;
  float* c;
  int64_t ldc;
  bool add;
  AheadOfTile ahead;  // a slot every kPrefetchSteps steps along k
};

constexpr int64_t kPrefetchSteps = 4;
constexpr int64_t kTouchSteps = 64;  // so many steps before its end a tile calls its output into L1

// How b is stored: rows of floats anywhere, rows of a float panel, or those of a bfloat16 panel, from an even unit of 16 columns
// or from an odd one.
enum class From { kFloats, kFloatPanel, kNarrowEven, kNarrowOdd };

// Columns [16 unit + offset, + kLanes) of a row of a bfloat16 panel.
template <bool kOdd>
MLIT_INLINE Vector widen(const uint16_t* row, int64_t unit, int64_t offset) {
  const hn::RebindToUnsigned<Floats> words;
  const auto pair = hn::LoadU(words, reinterpret_cast<const uint32_t*>(row) + unit / 2 * kUnit + offset);
  return hn::BitCast(Floats(), kOdd ? hn::And(pair, hn::Set(words, 0xFFFF0000u)) : hn::ShiftLeft<16>(pair));
}

template <int kRows, int kVectors, bool kUnitK, From kFrom>
void multiply(const Tile& t) {
  constexpr bool kNarrow = kFrom == From::kNarrowEven || kFrom == From::kNarrowOdd;
  constexpr bool kPanelB = kFrom != From::kFloats;
  const Floats d;
  Vector sum[kRows][kVectors];
  MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
    MLIT_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  // One pointer a row where rows are far apart; where k is, one pointer serves all rows.
  const float* a[kUnitK ? kRows : 1];
  MLIT_UNROLL for (int r = 0; r < (kUnitK ? kRows : 1); ++r) a[r] = t.a + r * t.aRow;
  const float* b = t.b;
  const uint16_t* narrow = t.narrow;
  const int64_t ldb = kPanelB ? kPanel : t.ldb;
  const auto step = [&](int64_t i) __attribute__((always_inline)) {
    Vector row[kVectors];
    if constexpr (kNarrow) {
      const uint16_t* from = narrow + i * kPanel;
      // Which half of a word a vector is in is known here, and has to be: the unrolled index is a constant.
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        const int64_t unit = v * kLanes / kUnit;
        const bool odd = (unit % 2 == 1) != (kFrom == From::kNarrowOdd);
        row[v] = odd ? widen<true>(from, unit, v * kLanes % kUnit) : widen<false>(from, unit, v * kLanes % kUnit);
      }
    } else {
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) row[v] = hn::LoadU(d, b + (kPanelB ? i * kPanel : 0) + v * kLanes);
    }
    MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
      const Vector x = hn::Set(d, kUnitK ? a[r][i] : a[0][r]);
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(x, row[v], sum[r][v]);
    }
    if constexpr (!kPanelB) b += ldb;
    if constexpr (!kUnitK) a[0] += t.aK;
  };
  const auto advance = [&](int64_t steps) __attribute__((always_inline)) {
    if constexpr (kNarrow) {
      narrow += steps * kPanel;
    } else if constexpr (kPanelB) {
      b += steps * kPanel;
    }
    if constexpr (kUnitK) {
      MLIT_UNROLL for (int r = 0; r < kRows; ++r) a[r] += steps;
    }
  };
  const char* ahead = t.ahead.from;
  const int64_t aheadLines = t.ahead.lines, aheadStep = t.ahead.step;
  const int64_t touchAt = t.k < kTouchSteps ? t.k : kTouchSteps;
  int64_t left = t.k;
  for (; left >= kPrefetchSteps; left -= kPrefetchSteps) {
    for (int64_t i = 0; i < aheadLines; ++i) __builtin_prefetch(ahead + i * kLine, 0, 2);
    ahead += aheadStep;
    if (left - touchAt < kPrefetchSteps && left >= touchAt) {
      MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
        MLIT_UNROLL for (int64_t i = 0; i < kVectors * kLanes; i += kLine / 4)
            __builtin_prefetch(t.c + r * t.ldc + i, 1, 3);
      }
    }
    MLIT_UNROLL for (int64_t i = 0; i < kPrefetchSteps; ++i) step(i);
    advance(kPrefetchSteps);
  }
  for (; left > 0; --left) {
    step(0);
    advance(1);
  }
  MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
    MLIT_UNROLL for (int v = 0; v < kVectors; ++v) {
      float* at = t.c + r * t.ldc + v * kLanes;
      hn::StoreU(t.add ? hn::Add(hn::LoadU(d, at), sum[r][v]) : sum[r][v], d, at);
    }
  }
}

using Multiply = void (*)(const Tile&);

template <int kVectors, bool kUnitK, From kFrom>
Multiply multiplyOf(int64_t rows) {
  constexpr Multiply kOf[] = {multiply<1, kVectors, kUnitK, kFrom>, multiply<2, kVectors, kUnitK, kFrom>,
                              multiply<3, kVectors, kUnitK, kFrom>, multiply<4, kVectors, kUnitK, kFrom>,
                              multiply<5, kVectors, kUnitK, kFrom>, multiply<6, kVectors, kUnitK, kFrom>};
  static_assert(sizeof(kOf) / sizeof(kOf[0]) == kMaxRows);
  return kOf[rows - 1];
}

template <bool kUnitK, From kFrom>
Multiply multiplyFor(int64_t rows, int64_t columns) {
  constexpr int kStep = static_cast<int>(kUnit / kLanes);  // vectors a unit of 16 columns
  if constexpr (kMaxVectors >= 4 * kStep) {
    if (columns == 4 * kUnit) return multiplyOf<4 * kStep, kUnitK, kFrom>(rows);
    if (columns == 3 * kUnit) return multiplyOf<3 * kStep, kUnitK, kFrom>(rows);
    if (columns == 2 * kUnit) return multiplyOf<2 * kStep, kUnitK, kFrom>(rows);
  }
  return multiplyOf<kStep, kUnitK, kFrom>(rows);
}

// b of a tile from some column on.
struct Source {
  const float* b;
  int64_t ldb;
  const uint16_t* narrow;
  int64_t unit;  // of 16 columns, from where narrow is read

  Source from(int64_t columns) const {
    return narrow == nullptr ? Source{b + columns, ldb, nullptr, 0}
                             : Source{nullptr, ldb, narrow, unit + columns / kUnit};
  }
};

// Whole units of 16 columns only. Rows are shared out evenly over the tiles, so that 7 rows are 4 + 3 and not 6 + 1.
void wholeColumns(const GemmBlock& g, const Source& source, float* c, int64_t ldc, int64_t columns, bool add) {
  const int64_t tiles = (g.rows + kMaxRows - 1) / kMaxRows;
  const int64_t small = g.rows / tiles;
  const int64_t large = g.rows % tiles;  // so many tiles have one row more
  const bool unitK = g.aK == 1;
  Ahead ahead(g.ahead, tiles * ((columns + kTileColumns - 1) / kTileColumns), g.k / kPrefetchSteps);
  int64_t row = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t rows = small + (tile < large ? 1 : 0);
    for (int64_t column = 0; column < columns; column += kTileColumns) {
      const int64_t width = columns - column < kTileColumns ? columns - column : kTileColumns;
      const Source at = source.from(column);
      const uint16_t* narrow = at.narrow == nullptr ? nullptr : at.narrow + at.unit / 2 * 2 * kUnit;
      Tile t{g.k,    g.a + row * g.aRow,     g.aRow, g.aK, at.b,        at.ldb,
             narrow, c + row * ldc + column, ldc,    add,  ahead.next()};
      const Multiply multiplyTile = narrow != nullptr  ? at.unit % 2 == 0
                                                             ? multiplyFor<true, From::kNarrowEven>(rows, width)
                                                             : multiplyFor<true, From::kNarrowOdd>(rows, width)
                                     : !unitK ? multiplyFor<false, From::kFloats>(rows, width)
                                    : at.ldb == kPanel ? multiplyFor<true, From::kFloatPanel>(rows, width)
                                                       : multiplyFor<true, From::kFloats>(rows, width);
      multiplyTile(t);
    }
    row += rows;
  }
}

void gemmBlock(const GemmBlock& g, float* scratch) {
  if (g.rows <= 0 || g.columns <= 0) return;
  const int64_t whole = g.columns / kUnit * kUnit;
  const Source source{g.b, g.ldb, g.narrow, 0};
  if (whole > 0) wholeColumns(g, source, g.c, g.ldc, whole, g.add);
  const int64_t rest = g.columns - whole;
  if (rest == 0) return;

  // The last few columns: a padded copy of b where it may not be read past its end, and a tile beside c.
  Source last = source.from(whole);
  if (!g.padded) {
    float* copy = scratch + 64 * kUnit;
    for (int64_t i = 0; i < g.k; ++i) {
      for (int64_t j = 0; j < kUnit; ++j) copy[i * kUnit + j] = j < rest ? last.b[i * last.ldb + j] : 0.0f;
    }
    last = {copy, kUnit, nullptr, 0};
  }
  for (int64_t row = 0; row < g.rows; row += kMaxRows) {
    const int64_t rows = g.rows - row < kMaxRows ? g.rows - row : kMaxRows;
    GemmBlock part = g;
    part.rows = rows;
    part.a = g.a + row * g.aRow;
    part.ahead[0].count = part.ahead[1].count = 0;
    wholeColumns(part, last, scratch, kUnit, kUnit, false);
    for (int64_t r = 0; r < rows; ++r) {
      float* c = g.c + (row + r) * g.ldc + whole;
      for (int64_t j = 0; j < rest; ++j) c[j] = g.add ? c[j] + scratch[r * kUnit + j] : scratch[r * kUnit + j];
    }
  }
}

#if HWY_TARGET <= HWY_AVX3
// A 16 x 16 block through registers.
MLIT_INLINE void transpose16(const float* from, int64_t ld, float* to, int64_t width) {
  __m512 r[16];
  MLIT_UNROLL for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(from + i * ld);
  __m512 s[16];
  MLIT_UNROLL for (int i = 0; i < 16; i += 2) {
    s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  MLIT_UNROLL for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  // r[4 g + c] holds, in its 128-bit lane l, column 4 l + c of rows 4 g .. 4 g + 3.
  MLIT_UNROLL for (int c = 0; c < 4; ++c) {
    const __m512 low01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
    const __m512 high01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
    const __m512 low23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
    const __m512 high23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
    _mm512_storeu_ps(to + (0 + c) * width, _mm512_shuffle_f32x4(low01, low23, 0x88));
    _mm512_storeu_ps(to + (4 + c) * width, _mm512_shuffle_f32x4(high01, high23, 0x88));
    _mm512_storeu_ps(to + (8 + c) * width, _mm512_shuffle_f32x4(low01, low23, 0xdd));
    _mm512_storeu_ps(to + (12 + c) * width, _mm512_shuffle_f32x4(high01, high23, 0xdd));
  }
}
constexpr int64_t kTransposeUnit = 16;
MLIT_INLINE void transposeUnit(const float* from, int64_t ld, float* to, int64_t width) {
  transpose16(from, ld, to, width);
}
#else
// A 4 x 4 block through registers, with 128-bit vectors that every target has.
constexpr int64_t kTransposeUnit = 4;
MLIT_INLINE void transposeUnit(const float* from, int64_t ld, float* to, int64_t width) {
  const hn::Full128<float> d;
  const hn::Full128<double> pair;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + ld), r2 = hn::LoadU(d, from + 2 * ld),
             r3 = hn::LoadU(d, from + 3 * ld);
  const auto low01 = hn::BitCast(pair, hn::InterleaveLower(d, r0, r1)),
             high01 = hn::BitCast(pair, hn::InterleaveUpper(d, r0, r1));
  const auto low23 = hn::BitCast(pair, hn::InterleaveLower(d, r2, r3)),
             high23 = hn::BitCast(pair, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pair, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pair, low01, low23)), d, to + width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pair, high01, high23)), d, to + 2 * width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pair, high01, high23)), d, to + 3 * width);
}
#endif

void transpose(const float* from, int64_t ld, int64_t rows, int64_t columns, float* to, int64_t width) {
  constexpr int64_t kU = kTransposeUnit;
  const int64_t wholeRows = rows / kU * kU;
  const int64_t wholeColumns = columns / kU * kU;
  for (int64_t i = 0; i < wholeColumns; i += kU) {
    for (int64_t r = 0; r < wholeRows; r += kU) transposeUnit(from + r * ld + i, ld, to + i * width + r, width);
  }
  for (int64_t i = 0; i < columns; ++i) {
    for (int64_t r = i < wholeColumns ? wholeRows : 0; r < width; ++r)
      to[i * width + r] = r < rows ? from[r * ld + i] : 0.0f;
  }
}

void decodeBf16(const uint16_t* from, int64_t rows, float* to) {
  const Floats d;
  for (int64_t unit = 0; unit < rows * (kPanel / kUnit); unit += 2) {
    MLIT_UNROLL for (int64_t offset = 0; offset < kUnit; offset += kLanes) {
      hn::StoreU(widen<false>(from, unit, offset), d, to + unit * kUnit + offset);
      hn::StoreU(widen<true>(from, unit, offset), d, to + (unit + 1) * kUnit + offset);
    }
  }
}

void scaleRows(float* x, int64_t ld, int64_t rows, int64_t columns, float factor) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) x[r * ld + i] *= factor;
  }
}

}  // namespace

const GemmKernels gemmKernels = {gemmBlock, transpose, decodeBf16, scaleRows};

}  // namespace mlit::MLIT_ISA_NAMESPACE
