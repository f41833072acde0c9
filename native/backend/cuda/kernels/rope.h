// Rotary embedding on the device: backend.h's function of the same name.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

void rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction, Stream& stream);

}  // namespace mlit::cuda
