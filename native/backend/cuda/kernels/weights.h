// Rows of weights between their formats, and rows of activations brought to where a product takes them.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// to[r, :] = from[r, :] for columns [0, width), rounded where `to` is bfloat16.
void convertRows(DevConstReal from, int64_t ldFrom, int64_t rows, int64_t width, DevReal to, int64_t ldTo,
                 Stream& stream);

// Symmetric int8 with one scale a row, as the CPU backend makes it: scale = largest / 127. from is [rows, width] packed;
// to has room for columns in eights.
void quantiseRows(DevConstF32 from, int64_t rows, int64_t width, int8_t* to, int64_t ldTo, float* scales,
                  Stream& stream);

// to[r, c] = bfloat16 of from[r, c] * scales[r]. Columns are taken eight at a time, so both have room for them: addresses and
// leading dimensions are multiples of 8 elements.
void dequantiseRows(const int8_t* from, int64_t ldFrom, const float* scales, int64_t rows, int64_t width, DevReal to,
                    int64_t ldTo, Stream& stream);

// out[i, :] = factor * row ids[i] of a weight [.., in] with leading dimension ld, a multiple of 16 bytes. scales: of quantised formats.
void gatherRowsOf(WeightFormat format, const std::byte* data, int64_t ld, const float* scales, int64_t in,
                  DevConstI32 ids, int64_t n, float factor, DevF32 out, Stream& stream);

}  // namespace mlit::cuda
