// Stopping in the middle: how soon an op that takes long alone is left, and that nothing is left behind wherever a step was
// stopped. The first is measured against the op's own time, so that a slow or busy machine says the same as a fast one.
#include <atomic>
#include <chrono>
#include <thread>

#include "core/thread_pool.h"
#include "host_backend.h"
#include "model_support.h"
#include "op_support.h"
#include "sample_support.h"

namespace mlit::test {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

TEST(CancelPool, TasksAreLeftUndoneAndTheNextRunIsWhole) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::atomic<bool> flag{false};
    pool.watch(&flag);
    std::atomic<int> done{0};
    expectError(ErrorCode::kCancelled, {"cancelled"}, [&] {
      pool.run(1000, [&](int64_t task, int) {
        if (task == 10) flag = true;
        ++done;
      });
    });
    EXPECT_GE(done, 12 - threads) << "what a thread has taken and not begun is left as well";
    EXPECT_LE(done, 10 + threads) << "one more for each that had begun";
    flag = false;
    done = 0;
    pool.run(1000, [&](int64_t, int) { ++done; });
    EXPECT_EQ(done, 1000);
    pool.run(3, [&](int64_t task, int) { flag = task == 2; });  // too late to leave anything undone
    flag = true;
    pool.watch(nullptr);
    pool.run(3, [&](int64_t, int) { ++done; });
    EXPECT_EQ(done, 1003);
  }
}

TEST(CancelPool, ATaskMayLeaveByItself) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::atomic<bool> flag{false};
    pool.watch(&flag);
    expectError(ErrorCode::kCancelled, {"cancelled"}, [&] {
      pool.run(1, [&](int64_t, int) {
        EXPECT_FALSE(pool.cancelled());
        flag = true;
        EXPECT_TRUE(pool.cancelled());
      });
    });
  }
}

// One op of which a single task would take long: few, deep products, or one long document.
struct LongOp {
  std::string name;
  std::function<std::function<void()>(Backend&, std::vector<std::unique_ptr<DeviceFloats>>&)> make;
};

class CancelOp : public ::testing::TestWithParam<LongOp> {};

TEST_P(CancelOp, IsLeftInAFractionOfItsOwnTime) {
  const std::unique_ptr<Backend> backend = createCpuBackend(1);
  std::vector<std::unique_ptr<DeviceFloats>> memory;
  const std::function<void()> op = GetParam().make(*backend, memory);
  op();
  const Clock::time_point begin = Clock::now();
  op();
  const double whole = secondsSince(begin);
  double best = whole;
  for (int attempt = 0; attempt < 5 && best > 0.15 * whole; ++attempt) {
    std::atomic<bool> flag{false};
    Clock::time_point asked;
    std::thread stopper([&] {
      std::this_thread::sleep_for(std::chrono::duration<double>(0.3 * whole));
      asked = Clock::now();
      flag = true;
    });
    bool stopped = false;
    try {
      const CancelScope scope(*backend, &flag);
      op();
    } catch (const Error& error) {
      stopped = error.code() == ErrorCode::kCancelled;
    }
    const Clock::time_point left = Clock::now();
    stopper.join();
    if (stopped) best = std::min(best, std::chrono::duration<double>(left - asked).count());
  }
  EXPECT_LE(best, 0.15 * whole) << "the whole op takes " << whole << " s";
  op();  // as if nothing had been
}

std::vector<LongOp> longOps() {
  using Memory = std::vector<std::unique_ptr<DeviceFloats>>;
  const auto floats = [](Backend& backend, Memory& memory, int64_t count) {
    memory.push_back(std::make_unique<DeviceFloats>(backend, std::vector<float>(static_cast<size_t>(count), 0.01f)));
    return memory.back()->ptr();
  };
  constexpr int64_t kRows = 120, kOut = 128, kDeep = 32768;
  return {
      {"linear_forward",
       [floats](Backend& backend, Memory& memory) {
         const WeightId weight = backend.createWeight(kOut, kDeep, WeightFormat::kF32);
         const DevF32 x = floats(backend, memory, kRows * kDeep), y = floats(backend, memory, kRows * kOut);
         return [&backend, weight, x, y] { backend.linearForward(weight, x, kDeep, kRows, y, kOut, {}, {}); };
       }},
      {"linear_backward",
       [floats](Backend& backend, Memory& memory) {
         const WeightId weight = backend.createWeight(kDeep, kOut, WeightFormat::kF32);
         const DevF32 dy = floats(backend, memory, kRows * kDeep), dx = floats(backend, memory, kRows * kOut);
         return [&backend, weight, dy, dx] {
           backend.linearBackward(weight, dx, kOut, kRows, dy, kDeep, dx, kOut, false, {}, {}, {});
         };
       }},
      {"weight_gradient",
       [floats](Backend& backend, Memory& memory) {
         const DevF32 x = floats(backend, memory, kRows * 256), dy = floats(backend, memory, kRows * 16384);
         const DevF32 dW = floats(backend, memory, 256 * 16384);
         return [&backend, x, dy, dW] { backend.weightGradient(x, 256, kRows, dy, 16384, 16384, 256, dW); };
       }},
      {"adapter",
       [floats](Backend& backend, Memory& memory) {
         constexpr int32_t kRank = 64;
         const WeightId weight = backend.createWeight(64, kDeep, WeightFormat::kF32);
         const DevF32 x = floats(backend, memory, kRows * kDeep), y = floats(backend, memory, kRows * 64);
         const DevF32 a = floats(backend, memory, kRank * kDeep), b = floats(backend, memory, kRank * 64);
         const DevF32 p = floats(backend, memory, kRows * kRank);
         return [&backend, weight, x, y, a, b, p] {
           const std::vector<LoraSegment> segments = {{0, 64, kRank, 0, b, {}}};
           const std::vector<LoraGroup> groups = {{0, kRows, 1.0f, kRank, a, {}, segments}};
           backend.linearForward(weight, x, kDeep, kRows, y, 64, groups, p);
         };
       }},
      {"attention",
       [floats](Backend& backend, Memory& memory) {
         constexpr int32_t kTokens = 3072;
         const DevF32 q = floats(backend, memory, kTokens * 64), out = floats(backend, memory, kTokens * 64);
         const DevF32 lse = floats(backend, memory, kTokens);
         return [&backend, q, out, lse] {
           const std::vector<int32_t> lengths = {0, kTokens};
           backend.attentionForward({1, 1, 64, 0.125f, 0}, lengths, q, 64, q, q, 64, out, 64, lse);
         };
       }},
      {"attention_cached",
       [floats](Backend& backend, Memory& memory) {
         constexpr int32_t kPages = 1024, kQueries = 96;
         const DevF32 q = floats(backend, memory, kQueries * 64), out = floats(backend, memory, kQueries * 64);
         const DevF32 pool = floats(backend, memory, int64_t{kPages} * 2 * kKvPageTokens * 64);
         const DevI32 ints = floats(backend, memory, 2 * kQueries + kPages).as<int32_t>();
         std::vector<int32_t> values;
         for (int32_t r = 0; r < kQueries; ++r) values.push_back(kPages * kKvPageTokens - kQueries + r);
         values.resize(2 * kQueries, 0);
         for (int32_t page = 0; page < kPages; ++page) values.push_back(page);
         backend.upload(ints.as<std::byte>(), values.data(), values.size() * sizeof(int32_t));
         backend.synchronize();
         return [&backend, q, out, pool, ints] {
           backend.attentionCached({1, 1, 64, 0.125f, 0}, q, 64, kQueries, ints, ints + kQueries, ints + 2 * kQueries,
                                   kPages * kKvPageTokens - 1, pool, out, 64);
         };
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Ops, CancelOp, ::testing::ValuesIn(longOps()), [](const auto& op) { return op.param.name; });

// Wherever a step is stopped: no gradient is pending, no parameter has moved, and the next step is the same to the bit.
TEST(CancelSession, AStepThatIsStoppedAnywhereLeavesNothingBehind) {
  for (const bool full : {false, true}) {
    const Fixture base("gemma3-tiny"), f(full ? "gemma3-tiny" : "lora/gemma3-tiny");  // the latter's adapter has a head
    const auto backend = std::make_shared<HostBackend>(createCpuBackend(1));
    const auto model = Model::load(base.path("model"), backend, {});
    const auto adapters = full ? std::vector<std::shared_ptr<Adapter>>{}
                               : std::vector<std::shared_ptr<Adapter>>{Adapter::load(model, f.path("adapter"))};
    TrainOptions options = smallOptions();
    options.full = full;
    TrainSession session(model, adapters, options);
    BatchData batch(base.packedDocuments());
    batch.records = {0, 1, 2};
    const TempDir folder;
    session.forwardBackward(batch.view());
    session.optimStep(0, {});
    session.saveState(folder.file("before"));
    const int64_t opsBefore = backend->opsRun();
    session.forwardBackward(batch.view());
    const int64_t ops = backend->opsRun() - opsBefore;
    const std::vector<float> gradients = session.gradientsToHost(0);

    std::atomic<bool> flag{false};
    session.setCancelFlag(&flag);
    ASSERT_GT(ops, 100);
    int stopped = 0;
    for (int64_t at = 0; at < ops; at += full ? 17 : 7) {
      session.zeroGradients();
      backend->setAfter(at, &flag);
      const auto error = errorOf([&] { session.forwardBackward(batch.view()); });
      backend->setAfter(-1, nullptr);
      flag = false;
      if (!error) continue;  // the last few ops are copies, which end
      ++stopped;
      EXPECT_EQ(error->code(), ErrorCode::kCancelled);
      EXPECT_FALSE(session.gradientsPending());
      session.saveState(folder.file("after"));
      EXPECT_TRUE(readFile(folder.file("after")) == readFile(folder.file("before"))) << "stopped after op " << at;
      session.forwardBackward(batch.view());
      expectSameBytes(session.gradientsToHost(0), gradients, "gradients after a stop at op " + std::to_string(at));
    }
    EXPECT_GT(stopped, full ? 8 : 10);
  }
}

TEST(CancelSampler, APassThatIsStoppedAnywhereChangesNoLaterToken) {
  const auto backend = std::make_shared<HostBackend>(createCpuBackend(1));
  const auto model = Model::load(fixture("llama-tiny/model"), backend, {});
  SampleEngine engine(model, {}, {.maxRows = 2, .cacheTokens = 128});
  const auto submit = [&] {
    engine.submit(request(0, somePrompt(40, 1, 300), 6));
    engine.submit(request(1, somePrompt(5, 2, 300), 6));
  };
  submit();
  const int64_t opsBefore = backend->opsRun();
  const auto expected = runAll(engine);
  const int64_t ops = backend->opsRun() - opsBefore;
  std::atomic<bool> flag{false};
  engine.setCancelFlag(&flag);
  int stopped = 0;
  for (int64_t at = 0; at < ops; at += 23) {
    submit();
    backend->setAfter(at, &flag);
    const auto error = errorOf([&] { runAll(engine); });
    backend->setAfter(-1, nullptr);
    flag = false;
    EXPECT_TRUE(engine.idle());
    if (!error) continue;
    ++stopped;
    EXPECT_EQ(error->code(), ErrorCode::kCancelled);
    submit();
    EXPECT_TRUE(runAll(engine) == expected) << "stopped after op " << at;
  }
  EXPECT_GT(stopped, 5);
}

}  // namespace
}  // namespace mlit::test
