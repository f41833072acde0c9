// What the plug-in makes of its parts: a backend on a card, and the ranks of several.
#include <cstring>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/nccl_exchange.h"
#include "backend/plugin.h"
#include "core/error.h"

namespace mlit::cuda {

std::unique_ptr<Backend> createCudaBackend(int device, const CublasLt& cublasLt) {
  return std::make_unique<CudaBackend>(device, cublasLtApi(cublasLt.library));
}

const char* whyNoRanks() { return nccl().reason.c_str(); }

void makeRanksId(std::byte* id) {
  static_assert(sizeof(NcclId) == kRanksIdBytes);
  NcclId made{};
  if (const NcclResult result = nccl().api.getUniqueId(&made); result != NcclResult::kSuccess)
    throw Error(ErrorCode::kDeviceUnavailable,
                std::string("NCCL: ncclGetUniqueId failed: ") + nccl().api.getErrorString(result));
  std::memcpy(id, &made, sizeof made);
}

Exchange* joinRanks(Backend* backend, int32_t device, const std::byte* id, int32_t rank, int32_t size) {
  NcclId all{};
  std::memcpy(&all, id, sizeof all);
  return joinByNccl(nccl().api, nccl().version, *backend, device, all, rank, size).release();
}

}  // namespace mlit::cuda
