// Attention on the device: launchers with the contract of backend.h's functions of the same names. q, k, v, out, the pool and all
// gradients are bfloat16; float32 is refused. Heads of any size up to 256; multiples of 8 in aligned rows are the fast ones.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// One launch whatever the documents. cuSeqlensDevice: what cuSeqlens holds, on the device.
void attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstI32 cuSeqlensDevice,
                      DevConstReal q, int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out,
                      int64_t ldo, DevF32 lse, Stream& stream);
// Three launches. dq, dk, dv may share one buffer, but not with what is read.
void attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstI32 cuSeqlensDevice,
                       DevConstReal q, int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                       DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq, int64_t lddq,
                       DevReal dk, DevReal dv, int64_t lddkv, Stream& stream);

void kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
             DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool, Stream& stream);
// Two launches; one where every row sees few tokens. From 64 rows on another one, which takes what are rows of prompts: runs of
// rows of one sequence. A row's bits are the same whichever kernel takes it. The workspace, 16-byte aligned, holds parts of rows that see many: none where
// no row of the call does. In a smaller one, of 16 rows at least, the rows take turns.
size_t attentionCachedWorkspaceBytes(const AttentionShape& shape, int64_t rows, int32_t maxPosition);
void attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
                     DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool, DevReal out,
                     int64_t ldo, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream);

}  // namespace mlit::cuda
