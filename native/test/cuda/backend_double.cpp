// What nvcc would have compiled, for the plug-in's real entry points in a build without nvcc.
#include "backend/cuda/cuda_backend.h"
#include "test/host_backend.h"

namespace mlit::cuda {

std::string imageReason(int) { return ""; }

std::unique_ptr<Backend> createCudaBackend(int, const CublasLt&) {
  return std::make_unique<test::HostBackend>(createCpuBackend(1));
}

const char* whyNoRanks() { return "the double reaches no other card"; }
void makeRanksId(std::byte*) {}
Exchange* joinRanks(Backend*, int32_t, const std::byte*, int32_t, int32_t) { return nullptr; }

}  // namespace mlit::cuda
