// Products of a sampler's rows with a weight as it lies, widened nowhere but in registers. The order of a row's sums is a function of
// the weight alone, whatever the number of rows: so a pass of one row and one of hundreds give a row the same bits.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// A weight's rows as CudaWeights keeps them, in any format but float32.
struct NarrowWeight {
  WeightFormat format = WeightFormat::kBF16;
  const std::byte* data = nullptr;
  const float* scales = nullptr;  // of quantised formats
  int64_t out = 0, in = 0;
};

// Whether rows of x may be read where they lie: bfloat16, in whole aligned pieces of 16 bytes.
bool takesRows(DevConstReal x, int64_t ldx);

// y [rows, out] = x [rows, in] · Wᵀ; takesRows(x, ldx). Sums in float32, rounded once.
void fewRows(const NarrowWeight& weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
             Stream& stream);

}  // namespace mlit::cuda
