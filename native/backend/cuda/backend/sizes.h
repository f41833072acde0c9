// What the backend holds for itself on any card, so that a plan can say it of one that is not there.
#pragma once

#include "backend/cuda/weights.h"

namespace mlit::cuda {

inline constexpr size_t kStagingBytes = size_t{8} << 20;  // page-locked memory of the host
inline constexpr size_t kLengthsBytes = size_t{1} << 20;  // of documents: 262,143 of them in one micro-batch

inline size_t cudaFixedBytes() { return WeightWorkspace{}.bytes() + kLengthsBytes; }

}  // namespace mlit::cuda
