// Rows rounded to int8 for one product (numerics: int8 compute), in memory that the backend keeps from product to product.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/kernels/dot.h"

namespace mlit {

// Elements along K that share a scale: an outlier spoils no more than its own block.
inline constexpr int64_t kDotBlock = 128;
// From this width on a row's largest element is kept exact. Such rows are gradients of logits, and theirs is the label's.
inline constexpr int64_t kExactLargestWidth = 16 * 1024;

struct RoundedRows {
  int64_t width = 0;
  int8_t* data = nullptr;  // [rows][ld]
  int64_t ld = 0;
  int64_t blocks = 0;
  float* scales = nullptr;            // [rows][blocks]
  int32_t* starts = nullptr;          // [rows][blocks]
  LargestElement* largest = nullptr;  // [rows], or null
  // What of the product is in float32. Forward: x's kept columns, and its product with the mean row. Backward: the kept columns of
  // dx, and the sum of dy, which the mean row is to be multiplied by. Null where the weight keeps nothing.
  float* kept = nullptr;     // [rows][kept columns]
  float* offsets = nullptr;  // [rows]

  // What the product of rows from `row` on along K from `first` on, a multiple of kDotBlock, takes.
  void fill(DotBlock& block, int64_t row, int64_t first) const {
    block.block = kDotBlock;
    block.a = data + row * ld + first;
    block.aRow = ld;
    block.scales = scales + row * blocks + first / kDotBlock;
    block.starts = starts + row * blocks + first / kDotBlock;
    block.ldScales = blocks;
  }
};

// Bytes that so many rows take, and where they lie in them.
size_t roundedBytes(int64_t rows, int64_t width);
RoundedRows roundedRowsAt(std::byte* memory, int64_t rows, int64_t width);

}  // namespace mlit
