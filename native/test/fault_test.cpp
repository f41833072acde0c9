// A whole small training, every allocation, read and write of which fails once: the error is the right one, files are whole
// or not there, nothing leaks, and the next attempt gives the bytes of an undisturbed run.
#include <filesystem>

#include "model_support.h"
#include "sample/engine.h"
#include "test/faults.h"
#include "test/support.h"
#include "test/tiny_model.h"

namespace mlit::test {
namespace {

namespace fs = std::filesystem;

const char* const kFiles[] = {"state.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"};

size_t openFiles() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class Fault : public ::testing::Test {
 protected:
  Fault() {
    const auto [header, data] = tinyWeights("llama");
    fs::create_directories(dir_.file("model"));
    writeFile(dir_.file("model/config.json"), tinyConfig("llama"));
    writeFile(dir_.file("model/model.safetensors"), safetensorsOf(header, data));
    const Faults counting(FaultKind::kNone, 0);
    train(dir_.file("whole"));
    allocations_ = Faults::allocations();
    calls_ = Faults::calls();
    reads_ = Faults::reads();
    for (const char* name : kFiles) whole_.push_back(readFile(dir_.file(std::string("whole/") + name)));
  }

  // From a model's files to an adapter's, by way of a saved state; then everything is read again and two tokens are sampled.
  void train(const std::string& out) const {
    const std::shared_ptr<Backend> backend = createCpuBackend(2);
    const auto model = Model::load(dir_.file("model"), backend, {});
    AdapterSpec spec;
    spec.rank = 2;
    const auto adapter = Adapter::create(model, spec, 7);
    TrainSession session(model, {adapter}, smallOptions(16, 4, 16));
    const BatchData batch({plainDocument({1, 2, 3, 4, 5}), plainDocument({6, 7, 8})});
    AdamWParams adamW;
    adamW.learningRate = 1e-2f;
    fs::create_directories(out);
    for (int step = 0; step < 2; ++step) {
      session.forwardBackward(batch.view());
      session.optimStep(0, adamW);
    }
    session.saveState(out + "/state.safetensors");
    adapter->save(out + "/adapter", "tiny");
    session.loadState(out + "/state.safetensors");
    const auto again = Adapter::load(model, out + "/adapter");
    SampleOptions few;
    few.maxRows = 1;
    few.cacheTokens = 16;
    few.prefillTokens = 4;
    SampleEngine engine(model, {again}, few);
    SampleRequest request;
    request.prompt = {1, 2};
    request.maxNewTokens = 2;
    request.adapter = 0;
    engine.submit(request);
    while (!engine.idle()) engine.step();
  }

  // What is in a run's folder is whole: of this run, or of the one before; and nothing else is there.
  void expectWhole(const std::string& out, const std::string& before, const std::string& where) const {
    size_t found = 0;
    for (size_t i = 0; i < whole_.size(); ++i) {
      if (!fs::exists(out + "/" + kFiles[i])) continue;
      ++found;
      const std::string bytes = readFile(out + "/" + kFiles[i]);
      EXPECT_TRUE(bytes == whole_[i] || (!before.empty() && bytes == before)) << where << ": " << kFiles[i];
    }
    for (const auto& entry : fs::recursive_directory_iterator(out))
      if (entry.is_regular_file()) --found;
    EXPECT_EQ(found, 0u) << where << ": something was left behind";
  }

  // Runs with the fault; true when nothing was thrown, else the error must be `expected`.
  bool runs(FaultKind kind, int64_t n, const std::string& out, ErrorCode expected) const {
    const Faults faults(kind, n);
    try {
      train(out);
      return true;
    } catch (const std::bad_alloc&) {
      EXPECT_EQ(expected, ErrorCode::kOutOfMemory);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), expected) << error.what();
    }
    return false;
  }

  void failEach(FaultKind kind, int64_t count, ErrorCode expected) const {
    const size_t files = openFiles();
    int64_t failed = 0;
    for (int64_t n = 1; n <= count && !HasFailure(); ++n) {
      const std::string out = dir_.file("run"), where = "failure " + std::to_string(n);
      fs::create_directories(out);
      if (!runs(kind, n, out, expected)) ++failed;
      expectWhole(out, "", where);
      EXPECT_EQ(openFiles(), files) << where;
      fs::remove_all(out);
    }
    EXPECT_GT(failed, count * 9 / 10) << "most failures must be seen";
    ASSERT_TRUE(runs(FaultKind::kNone, 0, dir_.file("run"), ErrorCode::kInternal));
    for (size_t i = 0; i < whole_.size(); ++i) EXPECT_EQ(readFile(dir_.file("run/") + kFiles[i]), whole_[i]);
  }

  TempDir dir_;
  std::vector<std::string> whole_;
  int64_t allocations_ = 0, calls_ = 0, reads_ = 0;
};

TEST_F(Fault, EachAllocationFailedInTurnIsOutOfMemory) {
  RecordProperty("allocations", std::to_string(allocations_));
  failEach(FaultKind::kAllocation, allocations_, ErrorCode::kOutOfMemory);
}

TEST_F(Fault, EachFailedReadIsAnErrorOfItsFile) {
  ASSERT_GT(reads_, 20);
  failEach(FaultKind::kRead, reads_, ErrorCode::kFileIo);
}

TEST_F(Fault, AFileCutBeforeAnyOfItsReadsIsSaidToHaveChanged) {
  failEach(FaultKind::kCutFile, reads_, ErrorCode::kFileDamaged);
}

TEST_F(Fault, ShortReadsGoOn) {
  for (int64_t n = 1; n <= reads_; ++n) {
    const std::string out = dir_.file("run");
    ASSERT_TRUE(runs(FaultKind::kShortRead, n, out, ErrorCode::kInternal)) << n;
    for (size_t i = 0; i < whole_.size(); ++i) ASSERT_EQ(readFile(out + "/" + kFiles[i]), whole_[i]) << n;
    fs::remove_all(out);
  }
}

TEST_F(Fault, EachFailedWriteNamesItsFileAndLeavesWhatWasThere) {
  ASSERT_GT(calls_, 20);
  const std::string before = "what a run before left";
  for (int64_t n = 1; n <= calls_; ++n) {
    const std::string out = dir_.file("run"), where = "call " + std::to_string(n);
    fs::create_directories(out + "/adapter");
    for (const char* name : kFiles) writeFile(out + "/" + name, before);
    const size_t files = openFiles();
    try {
      const Faults faults(FaultKind::kCall, n);
      train(out);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kFileIo) << where << ": " << error.what();
      EXPECT_NE(std::string(error.what()).find("disk is full"), std::string::npos) << error.what();
      EXPECT_TRUE(fieldOf(error, "file").starts_with(dir_.path().string())) << where;
    }
    EXPECT_EQ(openFiles(), files) << where;
    expectWhole(out, before, where);
    ASSERT_TRUE(runs(FaultKind::kNone, 0, out, ErrorCode::kInternal)) << where;
    for (size_t i = 0; i < whole_.size(); ++i) ASSERT_EQ(readFile(out + "/" + kFiles[i]), whole_[i]) << where;
    fs::remove_all(out);
  }
}

TEST_F(Fault, ShortAndInterruptedWritesGoOn) {
  for (const FaultKind kind : {FaultKind::kShortWrite, FaultKind::kInterrupt}) {
    for (int64_t n = 1; n <= calls_; ++n) {
      const std::string out = dir_.file("run");
      ASSERT_TRUE(runs(kind, n, out, ErrorCode::kInternal)) << n;
      for (size_t i = 0; i < whole_.size(); ++i) ASSERT_EQ(readFile(out + "/" + kFiles[i]), whole_[i]) << n;
      fs::remove_all(out);
    }
  }
}

}  // namespace
}  // namespace mlit::test
