// NCCL on the emulator: the functions of nccl_api.h for ranks that are threads of one process. The emulator is one thread's at a time, so
// a rank holds cards() while it runs, and lends it to the others where NCCL would let it wait.
//
// It refuses what the library refuses, and reports a send whose receive has another length: there, it hangs or overwrites memory.
#pragma once

#include <mutex>

#include "backend/cuda/nccl_api.h"

namespace mlit::emulation {

const cuda::NcclApi& ncclApi();
std::unique_lock<std::mutex> cards();

// Communicators that were made and neither destroyed nor aborted.
size_t ncclCommunicators();

}  // namespace mlit::emulation
