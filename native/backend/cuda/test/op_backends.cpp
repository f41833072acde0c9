// The backend of the shared tables (native/test/ops) in this binary: the CUDA backend on the device under test, with no finding and
// nothing left behind. An emulated card draws anew for each case.
#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/device_under_test.h"
#include "backend/cuda/test/seeds.h"
#include "test/backend_cases.h"

namespace mlit::test {

std::vector<BackendFactory> backendFactories() {
  BackendFactory card{"card", [] { return std::make_unique<cuda::CudaBackend>(0, device::cublasLt()); }};
  card.emulated = device::emulated();
  if (card.emulated) card.seeds = kSeeds;
  card.draw = device::redraw;
  card.begin = [] { device::begin(1); };
  card.end = [] {
    device::expectNothingFound();
    EXPECT_EQ(device::hostCounts().liveBytes, 0u) << "device memory that nobody gave back";
  };
  return {card};
}

}  // namespace mlit::test
