// The optimiser on the device: backend.h's functions of the same names.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// At most 16 KiB.
size_t sumSquaresWorkspaceBytes(int64_t n);
void sumSquares(DevConstF32 x, int64_t n, DevF32 out, DevicePtr<std::byte> workspace, size_t workspaceBytes,
                Stream& stream);
void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
           const AdamWParams& params, Stream& stream);

}  // namespace mlit::cuda
