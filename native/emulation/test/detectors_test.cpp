// Each mistake inside a kernel that the emulator claims to find is planted once and must be found with every seed; the program
// without it must pass with every seed.
#include <algorithm>
#include <numeric>

#include "backend/cuda/test/support.h"
#include "emulation/emulator.h"
#include "emulation/test/planted.h"

namespace mlit::test {
namespace {

using emulation::Kind;

std::vector<emulation::Finding> findingsOf(Planted bug) {
  DeviceArray<float> in(randomFloats(192, 1)), out(size_t{192});
  cuda::Stream stream;
  runPlanted(bug, in.get(), out.get(), 3, stream);
  stream.synchronize();
  return emulation::takeFindings();
}

class Detectors : public OnDevice {
 protected:
  void expectFound(Planted bug, Kind kind) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      begin(seed);
      const auto found = findingsOf(bug);
      const bool has = std::any_of(found.begin(), found.end(), [kind](const auto& f) { return f.kind == kind; });
      EXPECT_TRUE(has) << emulation::kindName(kind) << " not found with seed " << seed << " among " << found.size()
                       << (found.empty() ? "" : ": " + found[0].text);
      if (!has) return;
    }
  }
};

TEST_F(Detectors, LegalKernelsPass) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    for (const auto& finding : findingsOf(Planted::kNone)) ADD_FAILURE() << emulation::describe(finding);
  }
}

TEST_F(Detectors, RacesOfSharedMemory) {
  expectFound(Planted::kNoBarrier, Kind::kRace);
  expectFound(Planted::kNoTrailingBarrier, Kind::kRace);
  expectFound(Planted::kNoSyncwarp, Kind::kRace);
  expectFound(Planted::kNoBarrierAfterWait, Kind::kRace);
}

TEST_F(Detectors, RacesWithAtomics) {
  expectFound(Planted::kAtomicsTooEarly, Kind::kRace);
  expectFound(Planted::kAtomicsTooLate, Kind::kRace);
  expectFound(Planted::kAtomicOfDevice, Kind::kWild);
}

TEST_F(Detectors, RacesOfBlocks) {
  expectFound(Planted::kTwoBlocksOneWord, Kind::kRace);
  expectFound(Planted::kOtherBlocksWord, Kind::kRace);
  expectFound(Planted::kManyReadersThenWrite, Kind::kRace);
}

TEST_F(Detectors, AsynchronousCopiesInFlight) {
  expectFound(Planted::kNoCopyWait, Kind::kInFlight);
  expectFound(Planted::kWaitTooFew, Kind::kInFlight);
}

TEST_F(Detectors, AccessesOutside) {
  expectFound(Planted::kStaticOverflow, Kind::kOutOfBounds);
  expectFound(Planted::kDynamicOverflow, Kind::kOutOfBounds);
  expectFound(Planted::kReadBeyond, Kind::kOutOfBounds);
  expectFound(Planted::kWriteBeyond, Kind::kOutOfBounds);
  expectFound(Planted::kMisaligned, Kind::kMisaligned);
  expectFound(Planted::kUnalignedMatrix, Kind::kMisaligned);
  expectFound(Planted::kWildRead, Kind::kWild);
  expectFound(Planted::kWriteStatic, Kind::kWild);
}

TEST_F(Detectors, UnwrittenMemory) {
  expectFound(Planted::kUnwrittenShared, Kind::kUnwritten);
  expectFound(Planted::kUnwrittenGlobal, Kind::kUnwritten);
}

TEST_F(Detectors, DivergentBarriers) {
  expectFound(Planted::kBarrierInBranch, Kind::kBarrier);
  expectFound(Planted::kTwoBarriers, Kind::kBarrier);
  expectFound(Planted::kReturnBeforeBarrier, Kind::kBarrier);
}

TEST_F(Detectors, DivergentCollectives) {
  expectFound(Planted::kShuffleInBranch, Kind::kCollective);
  expectFound(Planted::kShuffleOfEnded, Kind::kCollective);
  expectFound(Planted::kShuffleOutsideMask, Kind::kCollective);
  expectFound(Planted::kShuffleFromOutside, Kind::kCollective);
  expectFound(Planted::kTwoCollectives, Kind::kCollective);
}

TEST_F(Detectors, OverrunOfAThreadsOwnArrayTraps) {
  if (emulation::runsTranslated()) {
    expectFound(Planted::kLocalOverflow, Kind::kOutOfBounds);
  } else {
    EXPECT_DEATH(findingsOf(Planted::kLocalOverflow), "");
  }
}

TEST_F(Detectors, AFindingNamesKernelBlockThreadAndLine) {
  const auto found = findingsOf(Planted::kWriteBeyond);
  ASSERT_EQ(found.size(), 1u);
  const std::string text = emulation::describe(found[0]);
  EXPECT_NE(text.find("write of 4 bytes of device memory in global block ("), std::string::npos) << text;
  EXPECT_NE(text.find("thread (0,0,0)"), std::string::npos) << text;
  EXPECT_NE(text.find("planted.cu:"), std::string::npos) << text;
}

TEST_F(Detectors, AnAllocationThatWasReleased) {
  cuda::Stream stream;
  DeviceArray<float> out(size_t{64});
  auto* in = static_cast<float*>(cuda::allocate(256));
  cuda::fill(in, 0, 256, stream);
  runIncrement(in, out.get(), 1, stream);
  cuda::release(in);  // waits: the launch before is legal
  EXPECT_TRUE(emulation::findings().empty());
  runIncrement(in, out.get(), 1, stream);
  stream.synchronize();
  const auto found = emulation::takeFindings();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].kind, Kind::kFreed);
  cuda::release(in);
  EXPECT_EQ(emulation::takeFindings().size(), 1u);
}

TEST_F(Detectors, TheHostCannotReachDeviceMemory) {
  DeviceArray<float> in(std::vector<float>(4, 1.0f));
  EXPECT_DEATH(
      {
        volatile float value = *in.get();
        static_cast<void>(value);
      },
      "host code touched device memory");
}

}  // namespace
}  // namespace mlit::test
