// What adapters add to a product with the base's weight: launchers with the contract of backend.h's linearForward and linearBackward
// for the part behind the base's, which has been enqueued already. in: columns of x, and of every A.
//
// Groups are in ascending order of their rows and do not overlap, nor do the columns of a group's segments. p, u: bf16,
// [rows, the largest rankTotal of the groups]; they hold scale * x·Aᵀ and scale * dy·B, summed in float and rounded once.
// Dropout's own scale is applied in float, so that what is masked is exactly x.
//
// Launches: 2 forward; backward 3, and 2 more where x and dy differ in type (into the rank and over rows are launched for each). A launch
// into the rank or over rows that leaves partial sums is followed by one that adds them: few rows of a wide x, or few tiles
// under many rows. None depends on how many groups, segments or rows there are. Where the groups do not fit into a kernel's
// parameters, one upload lays them into the workspace.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/staging.h"

namespace mlit::cuda {

// Of device memory, for calls with at most so many groups and segments in all of them together. Aligned as allocate() does.
int64_t loraWorkspaceBytes(int64_t groups, int64_t segments);

// y[group rows, segment columns] += scale * (x·Aᵀ)·bT
void loraForward(DevConstReal x, int64_t ldx, int64_t rows, int64_t in, DevReal y, int64_t ldy,
                 std::span<const LoraGroup> groups, DevReal p, DevicePtr<std::byte> workspace, int64_t workspaceBytes,
                 Staging& staging, Stream& stream);
// dx += scale * (dy·B)·A (where dx is given), dA += scale * (dy·B)ᵀ·x, dbT += scale * (x·Aᵀ)ᵀ·dy
void loraBackward(DevConstReal x, int64_t ldx, int64_t rows, int64_t in, DevConstReal dy, int64_t lddy, DevReal dx,
                  int64_t lddx, std::span<const LoraGroup> groups, DevReal p, DevReal u, DevicePtr<std::byte> workspace,
                  int64_t workspaceBytes, Staging& staging, Stream& stream);

}  // namespace mlit::cuda
