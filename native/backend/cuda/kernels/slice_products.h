// The three products of adapters' matrices (slices.h) as launches. Wide matrices are of the type that is given, thin ones bf16.
#pragma once

#include "backend/cuda/kernels/slices.h"
#include "backend/cuda/runtime.h"
#include "backend/device_pointer.h"

struct __nv_bfloat16;

namespace mlit::cuda {

// Partial sums of blocks that share an output, 64 x 64 floats each.
inline constexpr int32_t kSlots = 512;
inline constexpr int64_t kSlotBytes = int64_t{64} * 64 * 4;

using WideMatrices = Pair<std::byte>;
using ThinMatrices = Pair<__nv_bfloat16>;

void intoRank(const SliceBatch& batch, ElementType type, WideMatrices wide, ThinMatrices thin, float* slots,
              Stream& stream);
void outOfRank(const SliceBatch& batch, ElementType type, WideMatrices wide, ThinMatrices thin, Stream& stream);
void overRows(const SliceBatch& batch, const std::vector<RowRange>& ranges, const RowRange* uploadedRanges,
              ElementType type, WideMatrices wide, ThinMatrices thin, float* slots, Stream& stream);

}  // namespace mlit::cuda
