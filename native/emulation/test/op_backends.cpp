// The backend of the shared tables (native/test/ops) in this binary: the CUDA backend on an emulated card that draws anew for each case,
// with no finding and nothing left behind.
#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/device_under_test.h"
#include "backend/cuda/test/seeds.h"
#include "emulation/emulator.h"
#include "test/backend_cases.h"

namespace mlit::test {

std::vector<BackendFactory> backendFactories() {
  BackendFactory card{"card", [] { return std::make_unique<cuda::CudaBackend>(0, device::cublasLt()); }};
  card.emulated = true;
  card.seeds = kSeeds;
  card.draw = [](uint64_t seed) { emulation::reseed(seed); };
  card.begin = [] { device::begin(1); };
  card.end = [] {
    device::expectNothingFound();
    EXPECT_EQ(device::hostCounts().liveBytes, 0u) << "device memory that nobody gave back";
  };
  return {card};
}

}  // namespace mlit::test
