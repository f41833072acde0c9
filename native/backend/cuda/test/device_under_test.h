// The device that the CUDA backend's tests run on: an emulated card, which knows more of a run than a card tells, or a card. One
// source for both, chosen by linking as runtime.h is: native/emulation/test/emulated_device.cpp or card/counts.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "backend/cuda/cublaslt_api.h"

namespace mlit::test::device {

// A fresh emulated card of that architecture, whose order of everything comes from the seed. A card stays what it is.
void begin(uint64_t seed, int architecture = 80);
bool emulated();
// From here on the emulated card draws from another seed. A card has none.
void redraw(uint64_t seed);

// Fails the running test for whatever was found since begin(): on the emulator each mistake of a kernel, on a card an error that
// a call left behind.
void expectNothingFound();

// Memory whose contents a kernel must not depend on: unwritten on the emulator, NaN on a card.
void poison(void* at, size_t bytes);

// What the host's side asked of the runtime since begin(): waits for the device, allocations, and bytes of those.
struct HostCounts {
  uint64_t waits = 0, allocations = 0, liveBytes = 0, peakBytes = 0;
};
HostCounts hostCounts();

// What kernels did since begin(). A card does not tell: nothing.
struct KernelCounts {
  std::map<std::string, uint64_t> launches;  // by name
  uint64_t matrixRows = 0, matrixConflicts = 0;
  uint64_t accesses = 0;  // loads and stores of device memory, however wide

  uint64_t total() const {
    uint64_t sum = 0;
    for (const auto& [name, count] : launches) sum += count;
    return sum;
  }
  uint64_t of(const std::string& name) const { return launches.contains(name) ? launches.at(name) : 0; }
};
std::optional<KernelCounts> kernelCounts();

const cuda::CublasLtApi& cublasLt();

}  // namespace mlit::test::device
