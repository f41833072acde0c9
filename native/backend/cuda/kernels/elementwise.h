// Element-wise ops on the device: launchers with the contract of backend.h's functions of the same names.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

void gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h, Stream& stream);
void gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h,
                   Stream& stream);
void add(DevF32 y, DevConstReal x, int64_t n, Stream& stream);
void addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n, Stream& stream);
void scale(DevF32 y, float factor, int64_t n, Stream& stream);

}  // namespace mlit::cuda
