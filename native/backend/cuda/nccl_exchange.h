// Exchanges between the memories of cards by NCCL: sends and receives alone, so that what is added up, and in which order, is ours and
// not the library's choice for the machine at hand.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cuda/nccl_api.h"
#include "backend/exchange.h"

namespace mlit::cuda {

// All ranks together, each on a card of its own, with one id. Throws kDeviceUnavailable with NCCL's reason. Of memory of the backend,
// which is on the device and lives longer.
std::unique_ptr<Exchange> joinByNccl(const NcclApi& api, const std::string& version, Backend& backend, int device,
                                     const NcclId& id, int32_t rank, int32_t size);

}  // namespace mlit::cuda
