// The emulator as the device under test.
#include <gtest/gtest.h>

#include "backend/cuda/test/device_under_test.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"

namespace mlit::test::device {

void begin(uint64_t seed, int architecture) {
  emulation::Options options;
  options.seed = seed;
  options.architecture = architecture;
  emulation::reset(options);
}

bool emulated() { return true; }
void redraw(uint64_t seed) { emulation::reseed(seed); }

void expectNothingFound() {
  for (const emulation::Finding& finding : emulation::takeFindings()) ADD_FAILURE() << emulation::describe(finding);
  EXPECT_EQ(emulation::cublasLtObjects(), 0u) << "objects of cuBLASLt that nobody destroyed";
}

void poison(void*, size_t) {}

HostCounts hostCounts() {
  const emulation::Stats& stats = emulation::stats();
  return {stats.hostWaits, stats.allocations, stats.liveBytes, stats.peakBytes};
}

std::optional<KernelCounts> kernelCounts() {
  const emulation::Stats& stats = emulation::stats();
  uint64_t accesses = 0;
  for (const auto& [name, work] : stats.work) accesses += work.accesses;
  return KernelCounts{stats.launches, stats.matrixRows, stats.matrixConflicts, accesses};
}

const cuda::CublasLtApi& cublasLt() { return emulation::cublasLt(); }

}  // namespace mlit::test::device
