// Rows of NF4 weights (core/nf4.h) in device memory: codes two a byte, the even column's in the low half, rows of whole blocks of 64
// columns one after the other; scales [rows][blocks of a row].
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// from: [rows, width] packed. What lies beyond the width becomes 0.
void quantiseNf4(DevConstF32 from, int64_t rows, int64_t width, std::byte* to, float* scales, Stream& stream);

// to[r, c] = bfloat16 of level * scale, as bitsandbytes gives it. Columns are taken eight at a time: to's address and leading
// dimension are multiples of 8 elements.
void dequantiseNf4(const std::byte* from, const float* scales, int64_t rows, int64_t width, DevReal to, int64_t ldTo,
                   Stream& stream);

// out[i, :] = factor * row ids[i], in float32.
void gatherNf4(const std::byte* from, const float* scales, int64_t width, DevConstI32 ids, int64_t n, float factor,
               DevF32 out, Stream& stream);

}  // namespace mlit::cuda
