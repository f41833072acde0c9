// Gradients of norms, biases and the embedding table: backend.h's functions of the same names, which add to what is there. Sums
// over rows go through parts in a workspace, always the same ones: columnSumsWorkspaceBytes says how much of it.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// summed: rows, or rows times heads for a norm. At most 2 KiB a column, however many rows.
size_t columnSumsWorkspaceBytes(int64_t summed, int64_t columns);

void rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 invRms,
                           DevF32 dWeight, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream);
void biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias, DevicePtr<std::byte> workspace,
                  size_t workspaceBytes, Stream& stream);
void gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable, Stream& stream);

}  // namespace mlit::cuda
