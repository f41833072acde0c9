// The gradient of a weight that is trained in full: a launcher with the contract of backend.h's function of the same name.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// Bytes of device memory that a call may want for partial sums, whatever its shape.
int64_t weightGradientWorkspaceBytes();

// dW[out, in] += dyᵀ·x over rows. The order of the sums depends on the shape alone.
void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
                    DevF32 dW, DevicePtr<std::byte> workspace, int64_t workspaceBytes, Stream& stream);

}  // namespace mlit::cuda
