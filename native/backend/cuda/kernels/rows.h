// Rows picked from a matrix and put back: backend.h's functions of the same names. Both operands are of one type.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out, Stream& stream);
void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx, bool accumulate,
                 Stream& stream);

}  // namespace mlit::cuda
