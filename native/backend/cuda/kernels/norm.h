// RMSNorm on the device: launchers with the contract of backend.h's functions of the same names.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// y = (addTo or 0) + x * invRms * weight. y may be x; addTo may be y; invRms and addTo may be null.
void rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                    DevConstF32 addTo, DevF32 invRms, Stream& stream);
// dx may be dy when not accumulating.
void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                     DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate, Stream& stream);

}  // namespace mlit::cuda
