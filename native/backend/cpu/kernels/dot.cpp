// Products of bytes in register tiles. The instruction sets differ in how four pairs of bytes become one sum; the sum itself is
// an integer that all of them get exactly, and what is done to it in floats is the same lane by lane.
#include "backend/cpu/kernels/dot.h"

#include <cstring>
#include <limits>

#include "backend/cpu/kernels/ahead.h"
#include "backend/cpu/kernels/dot_write.h"
#include "backend/cpu/kernels/math.h"

namespace mlit::MLIT_ISA_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3
constexpr int kMaxRows = 6;
constexpr int kVectors = 4;  // 6 x 4 sums of 32 registers
#elif defined(__AVXVNNI__)
constexpr int kMaxRows = 6;
constexpr int kVectors = 2;  // 6 x 2 of 16
#elif HWY_TARGET <= HWY_AVX2
constexpr int kMaxRows = 4;
constexpr int kVectors = 2;  // 4 x 2 of 16: a product of bytes takes some on the way
#else
constexpr int kMaxRows = 4;
constexpr int kVectors = 4;
#endif
constexpr int64_t kPanel = kGemmPanel;
constexpr int64_t kTileColumns = kVectors * kLanes;
constexpr int64_t kStepBytes = kPanel * kDotSteps;  // of a panel: four inputs
constexpr int64_t kPrefetchSteps = 4;
static_assert(kPanel % kTileColumns == 0);

#define MLIT_UNROLL _Pragma("GCC unroll 16")
#define MLIT_INLINE inline __attribute__((always_inline))

// Four weights (int8 + 128) for each of kLanes columns, and one row's four values for all of them.
#if HWY_TARGET <= HWY_AVX3
struct Weights {
  __m512i bytes;
};
struct Values {
  __m512i bytes;
};
MLIT_INLINE Weights weightsAt(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
MLIT_INLINE Values valuesAt(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  return {_mm512_set1_epi32(four)};
}
MLIT_INLINE Ints startOf(int32_t start) { return hn::Set(kI, start); }
MLIT_INLINE void addProducts(Ints& sum, const Weights& w, const Values& v) {
  // Not the intrinsic: g++ 12 copies sums from register to register around it, a third of the speed.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.bytes), "v"(v.bytes));
}
#elif defined(__AVXVNNI__)
struct Weights {
  __m256i bytes;
};
struct Values {
  __m256i bytes;
};
MLIT_INLINE Weights weightsAt(const uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
MLIT_INLINE Values valuesAt(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  return {_mm256_set1_epi32(four)};
}
MLIT_INLINE Ints startOf(int32_t start) { return hn::Set(kI, start); }
MLIT_INLINE void addProducts(Ints& sum, const Weights& w, const Values& v) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(w.bytes), "x"(v.bytes));
}
#elif HWY_TARGET <= HWY_AVX2
// Even and odd bytes as 16 bits: pairs of their products are summed in 32, so that nothing saturates.
struct Weights {
  __m256i even, odd;
};
struct Values {
  __m256i even, odd;
};
MLIT_INLINE Weights weightsAt(const uint8_t* p) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(bytes, 8)};
}
MLIT_INLINE Values valuesAt(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  const __m256i bytes = _mm256_set1_epi32(four);
  return {_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
}
MLIT_INLINE Ints startOf(int32_t start) { return hn::Set(kI, start); }
MLIT_INLINE void addProducts(Ints& sum, const Weights& w, const Values& v) {
  const __m256i even = _mm256_madd_epi16(w.even, v.even), odd = _mm256_madd_epi16(w.odd, v.odd);
  sum.raw = _mm256_add_epi32(sum.raw, _mm256_add_epi32(even, odd));
}
#else
// Signed by signed: the 128 is taken from the weights here, and the start with it.
struct Weights {
  int8x16_t bytes;
};
struct Values {
  int8x16_t bytes;
};
MLIT_INLINE Weights weightsAt(const uint8_t* p) {
  return {vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)))};
}
MLIT_INLINE Values valuesAt(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  return {vreinterpretq_s8_s32(vdupq_n_s32(four))};
}
MLIT_INLINE Ints startOf(int32_t) { return hn::Zero(kI); }
MLIT_INLINE void addProducts(Ints& sum, const Weights& w, const Values& v) {
  const int16x8_t low = vmull_s8(vget_low_s8(w.bytes), vget_low_s8(v.bytes));
  const int16x8_t high = vmull_s8(vget_high_s8(w.bytes), vget_high_s8(v.bytes));
  sum.raw = vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#endif

// One tile of kRows rows and kTileColumns columns.
template <int kRows>
void multiply(const DotBlock& t, int64_t row, int64_t column, AheadOfTile ahead, float* tile) {
  const int8_t* a[kRows];
  MLIT_UNROLL for (int r = 0; r < kRows; ++r) a[r] = t.a + (row + r) * t.aRow;
  const uint8_t* b = t.b + column * kDotSteps;
  const float* const scales = t.scales + row * t.ldScales;
  const int32_t* const starts = t.starts + row * t.ldScales;
  Ints sum[kRows][kVectors];
  const auto step = [&](int64_t i) __attribute__((always_inline)) {
    Weights w[kVectors];
    MLIT_UNROLL for (int v = 0; v < kVectors; ++v) w[v] = weightsAt(b + i * kStepBytes + v * kLanes * kDotSteps);
    MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
      const Values value = valuesAt(a[r] + i * kDotSteps);
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) addProducts(sum[r][v], w[v], value);
    }
  };
  const auto advance = [&](int64_t steps) __attribute__((always_inline)) {
    b += steps * kStepBytes;
    MLIT_UNROLL for (int r = 0; r < kRows; ++r) a[r] += steps * kDotSteps;
  };
  for (int64_t k = 0, s = 0; k < t.k; k += t.block, ++s) {
    MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = startOf(starts[r * t.ldScales + s]);
    }
    int64_t steps = (t.k - k < t.block ? t.k - k : t.block) / kDotSteps;
    for (; steps >= kPrefetchSteps; steps -= kPrefetchSteps) {
      for (int64_t i = 0; i < ahead.lines; ++i) __builtin_prefetch(ahead.from + i * kLine, 0, 2);
      ahead.from += ahead.step;
      MLIT_UNROLL for (int64_t i = 0; i < kPrefetchSteps; ++i) step(i);
      advance(kPrefetchSteps);
    }
    for (; steps > 0; --steps) {
      step(0);
      advance(1);
    }
    MLIT_UNROLL for (int r = 0; r < kRows; ++r) {
      const Floats scale = set(scales[r * t.ldScales + s]);
      float* const to = tile + r * kPanel + column;
      MLIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        const Floats value = hn::ConvertTo(kF, sum[r][v]);
        store(s == 0 ? hn::Mul(value, scale) : hn::MulAdd(value, scale, load(to + v * kLanes)), to + v * kLanes);
      }
    }
  }
}

using Multiply = void (*)(const DotBlock&, int64_t, int64_t, AheadOfTile, float*);
constexpr Multiply kMultiply[] = {
    multiply<1>, multiply<2>, multiply<3>, multiply<4>,
#if HWY_TARGET <= HWY_AVX3 || defined(__AVXVNNI__)
    multiply<5>, multiply<6>,
#endif
};
static_assert(sizeof(kMultiply) / sizeof(kMultiply[0]) == kMaxRows);

// Rows are shared out evenly over the tiles, so that 7 rows are 4 + 3 and not 6 + 1.
void dotBlock(const DotBlock& g) {
  if (g.rows <= 0 || g.columns <= 0) return;
  const int64_t tiles = (g.rows + kMaxRows - 1) / kMaxRows;
  const int64_t small = g.rows / tiles, large = g.rows % tiles;
  Ahead ahead(g.ahead, tiles * (kPanel / kTileColumns), g.k / (kPrefetchSteps * kDotSteps));
  alignas(64) float tile[kMaxRows * kPanel];
  for (int64_t i = 0, row = 0; i < tiles; ++i) {
    const int64_t rows = small + (i < large ? 1 : 0);
    for (int64_t column = 0; column < g.columns; column += kTileColumns) {
      kMultiply[rows - 1](g, row, column, ahead.next(), tile);
    }
    for (int64_t r = 0; r < rows; ++r) writeRow(g, row + r, tile + r * kPanel, g.c + (row + r) * g.ldc);
    row += rows;
  }
}

// The magnitude of a float as an integer: NaN above infinity above every number.
MLIT_INLINE Ints magnitude(Floats x) { return hn::And(hn::BitCast(kI, x), hn::Set(kI, 0x7FFFFFFF)); }

template <bool kFactors>
MLIT_INLINE Floats elementsAt(const RoundedRow& row, int64_t i) {
  return kFactors ? hn::Mul(load(row.x + i), load(row.factors + i)) : load(row.x + i);
}
template <bool kFactors>
MLIT_INLINE Floats elementsAt(const RoundedRow& row, int64_t i, int64_t n) {
  return kFactors ? hn::Mul(loadFirst(row.x + i, n), loadFirst(row.factors + i, n)) : loadFirst(row.x + i, n);
}

// The largest magnitude of [begin, end), as its bits.
template <bool kFactors>
int32_t largestOf(const RoundedRow& row, int64_t begin, int64_t end) {
  Ints most = hn::Zero(kI);
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) most = hn::Max(most, magnitude(elementsAt<kFactors>(row, i)));
  if (i < end) most = hn::Max(most, magnitude(elementsAt<kFactors>(row, i, end - i)));
  return hn::GetLane(hn::MaxOfLanes(kI, most));
}

int32_t bitsOf(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits & 0x7FFFFFFF;
}

float floatOf(int32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

float elementAt(const RoundedRow& row, int64_t i) {
  return row.factors == nullptr ? row.x[i] : row.x[i] * row.factors[i];
}

// The first element of the largest magnitude in [begin, end), and what is largest without it.
int64_t leaveOutLargest(const RoundedRow& row, int64_t begin, int64_t end, int32_t largest, int32_t* others) {
  int64_t index = begin;
  while (index + 1 < end && bitsOf(elementAt(row, index)) != largest) ++index;
  *others = 0;
  for (int64_t i = begin; i < end; ++i) {
    const int32_t bits = bitsOf(elementAt(row, i));
    if (i != index && bits > *others) *others = bits;
  }
  return index;
}

constexpr int32_t kInfinityBits = 0x7F800000;
constexpr int32_t kTinyBits = 0x0D800000;  // 2^-100: 127 / it is still a number; what is smaller counts as zero

template <bool kFactors>
void roundBlock(const RoundedRow& row, int64_t begin, int64_t end, int32_t largest, int64_t leftOut, float* scale,
                int32_t* start) {
  const hn::Rebind<int8_t, FloatTag> bytes;
  if (largest >= kInfinityBits || largest < kTinyBits) {
    *scale = largest >= kInfinityBits ? std::numeric_limits<float>::quiet_NaN() : 0;
    *start = 0;
    std::memset(row.to + begin, 0, static_cast<size_t>(end - begin));
    return;
  }
  *scale = floatOf(largest) / 127.0f;
  const Floats inverse = set(127.0f / floatOf(largest));
  // What is left out need not fit the others' scale: it is gone before it counts.
  const auto roundedAt = [&](Floats x, int64_t i) __attribute__((always_inline)) {
    const Ints q = hn::NearestInt(hn::Mul(x, inverse));
    if (leftOut < i || leftOut >= i + kLanes) return q;
    return hn::IfThenZeroElse(hn::Eq(hn::Iota(kI, 0), hn::Set(kI, static_cast<int32_t>(leftOut - i))), q);
  };
  Ints sum = hn::Zero(kI);
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    const Ints q = roundedAt(elementsAt<kFactors>(row, i), i);
    sum = hn::Add(sum, q);
    hn::StoreU(hn::DemoteTo(bytes, q), bytes, row.to + i);
  }
  if (i < end) {
    const Ints q = roundedAt(elementsAt<kFactors>(row, i, end - i), i);
    sum = hn::Add(sum, q);
    hn::StoreU(hn::DemoteTo(bytes, q), bytes,
               row.to + i);  // zeros behind, which are padding or the next block's to write
  }
  *start = -128 * hn::GetLane(hn::SumOfLanes(kI, sum));
}

template <bool kFactors>
void roundRowOf(const RoundedRow& row) {
  const int64_t blocks = (row.k + row.block - 1) / row.block;
  const auto endOf = [&](int64_t s) { return (s + 1) * row.block < row.k ? (s + 1) * row.block : row.k; };
  int64_t widest = 0;
  int32_t most = -1;
  for (int64_t s = 0; s < blocks; ++s) {
    const int32_t largest = largestOf<kFactors>(row, s * row.block, endOf(s));
    row.starts[s] = largest;  // on the way: replaced below
    if (largest > most) most = largest, widest = s;
  }
  int64_t leftOut = -1;
  if (row.largest != nullptr) {
    leftOut = leaveOutLargest(row, widest * row.block, endOf(widest), most, &row.starts[widest]);
    *row.largest = {leftOut, elementAt(row, leftOut)};
  }
  for (int64_t s = 0; s < blocks; ++s) {
    roundBlock<kFactors>(row, s * row.block, endOf(s), row.starts[s], leftOut, &row.scales[s], &row.starts[s]);
  }
  const int64_t padded = (row.k + kPanel - 1) / kPanel * kPanel;
  std::memset(row.to + row.k, 0, static_cast<size_t>(padded - row.k));
}

void roundRow(const RoundedRow& row) {
  if (row.factors == nullptr) {
    roundRowOf<false>(row);
  } else {
    roundRowOf<true>(row);
  }
}

float sumRow(const RowSum& row) {
  constexpr int kParts = 16 / kLanes;
  Floats sums[kParts];
  for (int p = 0; p < kParts; ++p) sums[p] = hn::Zero(kF);
  const auto add = [&](Floats& sum, Floats x, Floats y) {
    sum = row.y == nullptr ? hn::Add(sum, x) : hn::MulAdd(x, y, sum);
  };
  const int64_t whole = row.k / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) {
    MLIT_UNROLL for (int p = 0; p < kParts; ++p) {
      const int64_t at = i + p * kLanes;
      add(sums[p], load(row.x + at), row.y == nullptr ? hn::Zero(kF) : load(row.y + at));
    }
  }
  alignas(64) float lanes[16];
  for (int p = 0; p < kParts; ++p) store(sums[p], lanes + p * kLanes);
  for (int64_t i = whole; i < row.k; ++i) lanes[i - whole] += row.y == nullptr ? row.x[i] : row.x[i] * row.y[i];
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}

// Blocks of 4 x 4 bytes, four of them side by side in a 128-bit vector's place.
void transpose(const uint8_t* from, uint8_t* to) {
  const hn::Full128<uint8_t> d;
  alignas(16) constexpr uint8_t kOrder[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  const auto order = hn::Load(d, kOrder);
  constexpr int64_t kGroups = kPanel / kDotSteps;
  for (int64_t q = 0; q < kGroups; ++q) {
    for (int64_t p = 0; p < kGroups; ++p) {
      const auto block = hn::LoadU(d, from + q * kStepBytes + p * 16);
      hn::StoreU(hn::TableLookupBytes(block, order), d, to + p * kStepBytes + q * 16);
    }
  }
}

float largestByte(const ByteRow& row) {
  const auto magnitudeAt = [&](auto at) __attribute__((always_inline)) {
    Floats x = at(row.x);
    if (row.mean != nullptr) x = hn::Sub(x, at(row.mean));
    return hn::Abs(row.mask == nullptr ? x : hn::Mul(x, at(row.mask)));
  };
  Floats most = hn::Zero(kF);
  forVectors(
      row.n, [&](int64_t i) { most = hn::Max(magnitudeAt([&](const float* p) { return load(p + i); }), most); },
      [&](int64_t i, int64_t n) {
        most = hn::Max(magnitudeAt([&](const float* p) { return loadFirst(p + i, n); }), most);
      });
  return maxLanes(most);
}

// Four inputs of a vector of outputs are one 32-bit word each.
void encode(const float* from, const float* mean, const float* scales, int64_t inputs, uint8_t* to) {
  const hn::RebindToUnsigned<FloatTag> words;
  for (int64_t i = 0; i < inputs; i += kDotSteps, to += kStepBytes) {
    for (int64_t j = 0; j < kPanel; j += kLanes) {
      const Floats scale = load(scales + j);
      auto four = hn::Set(words, 0x80808080u);
      for (int64_t t = 0; t < kDotSteps && i + t < inputs; ++t) {
        const Floats x = load(from + (i + t) * kPanel + j);
        const Floats value = hn::Div(mean == nullptr ? x : hn::Sub(x, set(mean[i + t])), scale);
        const Ints q =
            hn::NearestInt(hn::IfThenElseZero(hn::Gt(scale, hn::Zero(kF)), clamp(set(-127), value, set(127))));
        // + 128 is one bit more in eight: the sign's, turned.
        const auto byte = hn::And(hn::BitCast(words, q), hn::Set(words, 0xFFu));
        four = hn::Xor(four, hn::ShiftLeftSame(byte, static_cast<int>(8 * t)));
      }
      hn::StoreU(four, words, reinterpret_cast<uint32_t*>(to + j * kDotSteps));
    }
  }
}

void decode(const uint8_t* from, const float* scales, int64_t rows, float* to) {
  const hn::RebindToUnsigned<FloatTag> words;
  const auto rowOf = [&](const uint8_t* at, auto shift, float* out) __attribute__((always_inline)) {
    for (int64_t j = 0; j < kPanel; j += kLanes) {
      const auto four = hn::LoadU(words, reinterpret_cast<const uint32_t*>(at + j * kDotSteps));
      const auto byte = hn::And(hn::ShiftRight<decltype(shift)::value>(four), hn::Set(words, 0xFF));
      const Ints value = hn::Sub(hn::BitCast(kI, byte), hn::Set(kI, 128));
      store(hn::Mul(hn::ConvertTo(kF, value), load(scales + j)), out + j);
    }
  };
  for (int64_t i = 0; i < rows; ++i) {
    const uint8_t* at = from + i / kDotSteps * kStepBytes;
    float* out = to + i * kPanel;
    switch (i % kDotSteps) {
      case 0:
        rowOf(at, std::integral_constant<int, 0>(), out);
        break;
      case 1:
        rowOf(at, std::integral_constant<int, 8>(), out);
        break;
      case 2:
        rowOf(at, std::integral_constant<int, 16>(), out);
        break;
      default:
        rowOf(at, std::integral_constant<int, 24>(), out);
    }
  }
}

}  // namespace

#if HWY_TARGET <= HWY_AVX3
constexpr const char* kUnit = "AVX-512 VNNI";
#elif defined(__AVXVNNI__)
constexpr const char* kUnit = "AVX-VNNI";
#elif HWY_TARGET <= HWY_AVX2
constexpr const char* kUnit = "AVX2 in 16 bits";
#else
constexpr const char* kUnit = "NEON";
#endif

const DotKernels dotKernels = {kUnit, roundRow, dotBlock, sumRow, transpose, largestByte, encode, decode};

}  // namespace mlit::MLIT_ISA_NAMESPACE
