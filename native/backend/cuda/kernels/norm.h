// RMSNorm on the device: launchers with the contract of backend.h's functions of the same names.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// y = (addTo or 0) + x * invRms * weight. y may be x; addTo may be y; invRms and addTo may be null.
void rmsNormForward(const float* x, HeadRows rows, const float* weight, float eps, float* y, int64_t ldy,
                    const float* addTo, float* invRms, Stream& stream);
// dx may be dy when not accumulating.
void rmsNormBackward(const float* dy, int64_t lddy, const float* x, HeadRows rows, const float* weight,
                     const float* invRms, float* dx, int64_t lddx, bool accumulate, Stream& stream);

}  // namespace mlit::cuda
