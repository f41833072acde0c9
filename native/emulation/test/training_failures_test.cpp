// A driver or a library that fails in the middle of a training, at each of its calls in turn: the run ends with the error's own
// name, the states on disk are those of an undisturbed run, and nothing is left behind.
#include <cstdlib>
#include <filesystem>
#include <map>

#include "backend/cuda/test/model_on_card.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

// All of the calls in `npm run ci:full -- failing-calls`, else a few that are spread over the run.
bool allCalls() { return std::getenv("MLIT_EVERY_CALL") != nullptr; }

class TrainingFailures : public OnCardAlone {
 protected:
  // A run as a trainer makes it: three steps, and the state after each.
  void train(const std::filesystem::path& folder) const {
    const auto model = onCard(fixture_);
    TrainSession session(model, {Adapter::load(model, fixture_.path("adapter"))}, trainOptions(*model));
    for (int step = 1; step <= kSteps; ++step) {
      const StepSums sums = session.forwardBackward(batch_.view());
      session.optimStep(0, stepParams(3e-3, sums.weight[0]));
      session.saveState((folder / ("step-" + std::to_string(step))).string());
    }
  }
  static std::map<std::string, std::string> filesIn(const std::filesystem::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      files[entry.path().filename().string()] = readFile(entry.path().string());
    }
    return files;
  }

  static constexpr int kSteps = 3;
  Fixture fixture_{"zoo/qwen2"};
  BatchData batch_{fixture_.packedDocuments()};
};

TEST_F(TrainingFailures, WhicheverCallFailsWhatIsOnDiskIsWhole) {
  const TempDir undisturbed;
  train(undisturbed.path());
  const auto whole = filesIn(undisturbed.path());
  ASSERT_EQ(whole.size(), static_cast<size_t>(kSteps));
  const uint64_t calls = emulation::callCount();
  ASSERT_GT(calls, 300u);
  std::map<size_t, int> reached;  // runs by the number of states that they left
  std::map<std::string, int> named;
  const uint64_t stride = allCalls() ? 1 : calls / 8;  // odd or even, library or runtime: as it comes
  for (const char* cuda : {"cudaErrorLaunchFailure", "cudaErrorMemoryAllocation"}) {
    const bool memory = std::string(cuda) == "cudaErrorMemoryAllocation";
    for (uint64_t nth = 1 + (memory ? stride / 2 : 0); nth <= calls; nth += stride) {
      device::begin(1);
      const TempDir folder;
      bool ended = false;
      emulation::failCall(nth, cuda);
      try {
        train(folder.path());
        ended = true;  // the call was one of cleaning up
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal) << error.what();
        std::string name;
        for (const auto& [field, value] : error.fields()) {
          if (field == "cuda" || field == "cublas") name = value;
        }
        EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
        ++named[name];
      }
      const auto left = filesIn(folder.path());
      if (ended) {
        EXPECT_EQ(left.size(), whole.size()) << "call " << nth << " did not fail";
        EXPECT_GT(nth, calls * 9 / 10) << "call " << nth << " did not fail";
      }
      ++reached[left.size()];
      for (const auto& [file, bytes] : left) {
        ASSERT_TRUE(whole.contains(file)) << file << " after call " << nth;
        EXPECT_TRUE(bytes == whole.at(file)) << file << " after call " << nth;
      }
      for (size_t step = 1; step <= left.size(); ++step) EXPECT_TRUE(left.contains("step-" + std::to_string(step)));
      EXPECT_EQ(emulation::stats().liveBytes, 0u) << "call " << nth;
      EXPECT_EQ(emulation::stats().livePinnedBytes, 0u) << "call " << nth;
      EXPECT_EQ(emulation::cublasLtObjects(), 0u) << "call " << nth;
      ASSERT_TRUE(emulation::findings().empty()) << "call " << nth << ": " << emulation::findings()[0].text;
    }
  }
  for (size_t states = 0; states < static_cast<size_t>(kSteps); ++states) {
    EXPECT_GT(reached[states], 0) << "no run failed behind state " << states;
  }
  for (const char* name : {"cudaErrorLaunchFailure", "cudaErrorMemoryAllocation"}) EXPECT_GT(named[name], 0) << name;
  if (!allCalls()) return;
  for (const char* name : {"CUBLAS_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"}) {
    EXPECT_GT(named[name], 0) << name;
  }
}

// Out of memory is the one error that a process survives: the next run in it is as good as the first.
TEST_F(TrainingFailures, AfterMemoryRanOutTheNextRunIsUndisturbed) {
  const TempDir first, second;
  train(first.path());
  const uint64_t calls = emulation::callCount();
  device::begin(1);
  emulation::failCall(calls / 2, "cudaErrorMemoryAllocation");
  EXPECT_THROW(train(second.path()), Error);
  train(second.path());
  EXPECT_TRUE(filesIn(second.path()) == filesIn(first.path()));
}

}  // namespace
}  // namespace mlit::test
