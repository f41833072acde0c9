// Matrix products on one thread, as raw loops over panels. One shape of micro-kernel serves every product of the
// library: MR rows x up to 64 columns in registers, summed along K in order. Its two promises: an element's operations
// are the same whatever the number of rows, and the same on every instruction set (lane-wise FMA only).
#pragma once

#include <cstdint>

#include "backend/cpu/kernels.h"

namespace mlit {

// Memory that the caller will read soon, `count` runs of `bytes` bytes `stride` bytes apart: brought into L2 on the way.
struct GemmAhead {
  const void* from = nullptr;
  int64_t bytes = 0;
  int64_t stride = 0;
  int64_t count = 0;
};

inline constexpr int64_t kGemmPanel = 64;  // columns of a whole b
// Where column j of a row of a bfloat16 panel is stored: column 16 apart share a 32-bit word, so that one operation widens
// a vector of either (a shift, or a mask).
inline constexpr int64_t bf16Place(int64_t j) { return j / 32 * 32 + j % 16 * 2 + j % 32 / 16; }

// c[rows, columns] (+)= a[rows, k] · b[k, columns], columns <= 64.
struct GemmBlock {
  int64_t rows;
  int64_t columns;
  int64_t k;
  const float* a;  // element (r, i) at a[r * aRow + i * aK]; one of the strides is 1
  int64_t aRow;
  int64_t aK;
  const float* b;  // element (i, j) at b[i * ldb + j]
  int64_t ldb;
  bool padded;  // b may be read up to the next multiple of 16 columns
  float* c;
  int64_t ldc;
  bool add;  // c += sum; otherwise c = sum and c is never read
  GemmAhead ahead[2];
  const uint16_t* narrow = nullptr;  // instead of b: [k][kGemmPanel] bfloat16 in the order of bf16Place; a's aK is 1
};

struct GemmKernels {
  // scratch: gemmScratchFloats(k) floats, 64-byte aligned; used only where columns are not whole.
  void (*block)(const GemmBlock& block, float* scratch);
  // to[i * width + r] = from[r * ld + i] for r < rows, i < columns; zeros for rows <= r < width. width is a multiple of 16.
  void (*transpose)(const float* from, int64_t ld, int64_t rows, int64_t columns, float* to, int64_t width);
  void (*decodeBf16)(const uint16_t* from, int64_t rows, float* to);  // [rows][kGemmPanel], from the order of bf16Place
  // x[r, 0..columns) *= factor
  void (*scaleRows)(float* x, int64_t ld, int64_t rows, int64_t columns, float factor);
};

inline constexpr int64_t kGemmRows = 6;  // rows of a full register tile
inline constexpr int64_t gemmScratchFloats(int64_t k) { return (k + 64) * 16; }

}  // namespace mlit
