// Block formats of GGUF turned into float32, bit by bit as ggml defines them.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace mlit {

// Elements per block and bytes per block of a stored dtype (1 and size for plain types).
struct BlockShape {
  int64_t elements;
  int64_t bytes;
};
BlockShape blockShape(DType dtype);

// src holds n / blockShape(dtype).elements whole blocks.
void dequantize(DType dtype, const uint8_t* src, int64_t n, float* out);

}  // namespace mlit
