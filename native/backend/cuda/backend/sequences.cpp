// Attention and sampling: the ops that tell a kernel more than numbers, sent ahead of it through the same stream.
#include <algorithm>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/sampling.h"
#include "core/error.h"

namespace mlit::cuda {

DevConstI32 CudaBackend::lengths(std::span<const int32_t> cuSeqlens) {
  const DevI32 there(reinterpret_cast<int32_t*>(lengthsRoom_.at()));
  if (std::ranges::equal(cuSeqlens, lengthsThere_)) return there;
  if (cuSeqlens.size_bytes() > lengthsRoom_.bytes()) {
    throw Error(ErrorCode::kInvalidArgument, std::to_string(cuSeqlens.size() - 1) +
                                                 " documents in one batch; expected at most " +
                                                 std::to_string(lengthsRoom_.bytes() / sizeof(int32_t) - 1));
  }
  lengthsThere_.clear();  // should the upload fail
  staging_.upload(there.raw(), cuSeqlens.data(), cuSeqlens.size_bytes(), next());
  lengthsThere_.assign(cuSeqlens.begin(), cuSeqlens.end());
  return there;
}

void CudaBackend::attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                   int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo,
                                   DevF32 lse) {
  const DevConstI32 there = lengths(cuSeqlens);
  cuda::attentionForward(shape, cuSeqlens, there, q, ldq, k, v, ldkv, out, ldo, lse, next());
}

void CudaBackend::attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                    int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                                    DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq,
                                    int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv) {
  const DevConstI32 there = lengths(cuSeqlens);
  cuda::attentionBackward(shape, cuSeqlens, there, q, ldq, k, v, ldkv, out, dout, ldo, lse, delta, dq, lddq, dk, dv,
                          lddkv, next());
}

void CudaBackend::kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
                          DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool) {
  cuda::kvStore(shape, k, v, ldkv, rows, rowPages, rowSlots, pool, next());
}

void CudaBackend::attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows,
                                  DevConstI32 positions, DevConstI32 rowTables, DevConstI32 pageTables,
                                  int32_t maxPosition, DevConstReal pool, DevReal out, int64_t ldo) {
  const size_t bytes = std::min(attentionCachedWorkspaceBytes(shape, rows, maxPosition), workspace_.bytes());
  cuda::attentionCached(shape, q, ldq, rows, positions, rowTables, pageTables, maxPosition, pool, out, ldo,
                        workspace(bytes), bytes, next());
}

void CudaBackend::sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable,
                             std::span<const SampleParams> params, DevI32 tokens, DevF32 logprobs) {
  if (n == 0) return;
  std::vector<SampleRow> rows;
  rows.reserve(params.size());
  for (const SampleParams& each : params) rows.push_back(sampleRow(each));
  const DevicePtr<const std::byte> there = sentAhead(rows.data(), rows.size() * sizeof(SampleRow));
  const size_t bytes = sampleWorkspaceBytes(n, vocabulary);
  cuda::sampleRows(logits, n, vocabulary, usable, there.as<const SampleRow>(), tokens, logprobs, workspace(bytes),
                   bytes, next());
}

}  // namespace mlit::cuda
