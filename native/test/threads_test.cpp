// Threads as the addon has them: one that computes, with training and sampling taking turns on it, one that stops them, and
// another that loads a model meanwhile. Says little by itself; `npm run ci:full -- tsan` runs it under ThreadSanitizer.
#include <atomic>
#include <thread>

#include "model_support.h"
#include "sample/engine.h"
#include "test/tiny_model.h"

namespace mlit::test {
namespace {

TEST(Threads, TrainingAndSamplingTakeTurnsWhileOthersStopThemAndLoad) {
  const Fixture f("llama-tiny");
  const std::shared_ptr<Backend> backend = createCpuBackend(4);
  const auto model = Model::load(f.path("model"), backend, {});
  const auto adapter = Adapter::load(model, f.path("adapter"));
  std::atomic<bool> stopTraining{false}, stopSampling{false}, over{false};
  std::atomic<int> steps{0}, tokens{0}, stops{0}, loads{0};
  std::exception_ptr failure;

  std::thread compute([&] {
    try {
      TrainSession session(model, {adapter}, smallOptions());
      session.setCancelFlag(&stopTraining);
      SampleOptions options;
      options.maxRows = 2;
      options.cacheTokens = 128;
      SampleEngine engine(model, {adapter}, options);
      engine.setCancelFlag(&stopSampling);
      const BatchData batch(f.packedDocuments());
      const auto unlessStopped = [&](const auto& work) {
        try {
          work();
        } catch (const Error& error) {
          if (error.code() != ErrorCode::kCancelled) throw;
          ++stops;
        }
      };
      while (!over) {
        unlessStopped([&] {
          session.forwardBackward(batch.view());
          session.optimStep(0, {});
          ++steps;
        });
        if (engine.idle()) {
          SampleRequest request;
          request.prompt = {1, 2, 3};
          request.maxNewTokens = 8;
          request.adapter = 0;
          engine.submit(request);
        }
        unlessStopped([&] { tokens += static_cast<int>(engine.step().size()); });
      }
    } catch (...) {
      failure = std::current_exception();
      over = true;
    }
  });
  std::thread loader([&] {
    while (!over) {
      const auto other = Model::load(f.path("model.gguf"), std::shared_ptr<Backend>(createCpuBackend(2)), {});
      Adapter::load(other, f.path("adapter"));
      ++loads;
    }
  });
  const auto enough = [&] { return steps >= 6 && tokens >= 12 && stops >= 2 && loads >= 2; };
  for (int i = 0; i < 60'000 && !over && !enough(); ++i) {
    const bool stop = i % 50 == 49;
    stopTraining = stop && i % 100 == 99;
    stopSampling = stop && i % 100 == 49;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const bool finished = enough();
  over = true;
  compute.join();
  loader.join();
  if (failure) std::rethrow_exception(failure);
  EXPECT_TRUE(finished) << steps << " steps, " << tokens << " tokens, " << stops << " stops, " << loads << " loads";
}

}  // namespace
}  // namespace mlit::test
