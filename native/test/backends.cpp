// The backends of mlit_tests: the processor's with each instruction set, on one thread and on three, and the one that is as unlike it
// as the contract allows.
#include "test/backend_cases.h"
#include "test/host_backend.h"

namespace mlit::test {

std::vector<BackendFactory> backendFactories() {
  std::vector<BackendFactory> factories;
  for (const std::string& isa : availableIsas()) {
    for (const int threads : {1, 3}) {
      factories.push_back({isa + "_" + std::to_string(threads),
                           [isa, threads] { return createCpuBackend(threads, isa); },
                           [isa] { return createCpuBackend(2, isa); }});
    }
  }
  factories.push_back(
      {"host", [] { return std::make_unique<HostBackend>(createCpuBackend(2)); }, [] { return createCpuBackend(2); }});
  return factories;
}

}  // namespace mlit::test
