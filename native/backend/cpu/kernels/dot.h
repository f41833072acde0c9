// Integer products on one thread: rows rounded to int8 against weights stored as int8 + 128. Vector units multiply four
// pairs of bytes where they multiply one pair of floats, and sums of integers are exact, so that every instruction set has
// the same bits.
#pragma once

#include <cstdint>

#include "backend/cpu/kernels/gemm.h"

namespace mlit {

inline constexpr int64_t kDotGroup = 32;  // rows that a kernel may take at once, where the last group may be short
inline constexpr int64_t kDotSteps = 4;   // neighbours along K that lie together
// Where element (i, j) of a panel [k][kGemmPanel] of stored weights is, in bytes.
inline constexpr int64_t dotPlace(int64_t i, int64_t j) {
  return (i / kDotSteps * kGemmPanel + j) * kDotSteps + i % kDotSteps;
}

// What a row's largest element, left out of its rounding, adds to a product: exact, where the others' rounding would have to
// follow its size.
struct LargestElement {
  int64_t index;
  float value;
};

// A row x becomes q[i] = round(x[i] * factors[i] / scale), scale = the largest magnitude of its block along k / 127.
// A block with a NaN or an infinity has scale NaN.
struct RoundedRow {
  int64_t k;
  int64_t block;  // a multiple of kDotSteps
  const float* x;
  const float* factors;  // [k], or null
  int8_t* to;            // [k padded to kGemmPanel], padded with zeros
  float* scales;         // [blocks]
  int32_t* starts;       // [blocks]: -128 times the sum of the block's q, where a sum over stored weights has to begin
  LargestElement* largest;  // null: every element is rounded
};

// The dot product of a row with another, and its sum, in sixteen interleaved sums: the same on every instruction set.
struct RowSum {
  int64_t k;
  const float* x;
  const float* y;  // null: the sum of x
};

// c[rows, columns] (+)= factors[column] * sum over blocks of scale * (sum of a * (b - 128)), columns <= 64.
struct DotBlock {
  int64_t rows;
  int64_t columns;
  int64_t k;  // a multiple of kDotSteps; of a and b there is more, up to the next multiple of kGemmPanel, zeros in a
  int64_t block;
  const int8_t* a;  // rows behind the last may be read, up to whole groups of kDotGroup
  int64_t aRow;
  const float* scales;  // of row r's block s: scales[r * ldScales + s]
  const int32_t* starts;
  int64_t ldScales;
  const uint8_t* b;      // [k / 4][kGemmPanel][4]
  const float* factors;  // [columns], or null: one
  const float* offsets;  // [rows]: what a sum that is not added begins with; null: nothing
  float* c;
  int64_t ldc;
  bool add;
  GemmAhead ahead[2];
};

// What of a weight's row [n] becomes bytes: x less the mean (null: nothing), where the mask (null: everywhere) is not 0.
struct ByteRow {
  int64_t n;
  const float* x;
  const float* mean;
  const float* mask;
};

struct DotKernels {
  const char* unit;  // what multiplies the bytes: "AVX-512 VNNI"
  void (*round)(const RoundedRow& row);
  void (*block)(const DotBlock& block);
  float (*sum)(const RowSum& row);
  // From inputs [first, first + 64) of a panel, [16][64 outputs][4 inputs], to [16][64 inputs][4 outputs].
  void (*transpose)(const uint8_t* from, uint8_t* to);
  float (*largest)(const ByteRow& row);  // magnitude; NaN ignored
  // A panel's inputs: to's element (i, j) = round((from[i * 64 + j] - mean[i]) / scales[j]) + 128, at most 127 from it; 128 where
  // scales[j] is 0. mean: null for none.
  void (*encode)(const float* from, const float* mean, const float* scales, int64_t inputs, uint8_t* to);
  // to[i * 64 + j] = (from's element (i, j) - 128) * scales[j]
  void (*decode)(const uint8_t* from, const float* scales, int64_t rows, float* to);
};

}  // namespace mlit
