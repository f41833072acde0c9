// Element-wise ops on the device: launchers with the contract of backend.h's functions of the same names.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

void gatedForward(GatedActivation act, const float* gateUp, int64_t rows, int64_t f, float* h, Stream& stream);
void gatedBackward(GatedActivation act, float* gateUp, int64_t rows, int64_t f, const float* dh, float* h,
                   Stream& stream);
void add(float* y, const float* x, int64_t n, Stream& stream);
void addToRows(float* y, int64_t ldy, int64_t rows, const float* x, int64_t n, Stream& stream);
void scale(float* y, float factor, int64_t n, Stream& stream);

}  // namespace mlit::cuda
