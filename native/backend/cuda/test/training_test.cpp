// What a training on the card promises beside right numbers: bytes that do not depend on how it was recomputed, interrupted or
// scheduled, memory as planned, and a host that waits at the end of a step and nowhere else.
#include "backend/cuda/cards.h"
#include "backend/cuda/test/model_on_card.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

class TrainingOnCard : public OnCardAlone {};

std::vector<float> gradientsOf(const std::shared_ptr<Model>& model, const TrainOptions& options,
                               const BatchData& batch) {
  TrainSession session(model, {smallAdapter(model)}, options);
  session.forwardBackward(batch.view());
  return session.gradientsToHost(0);
}

TEST_F(TrainingOnCard, RecomputingChangesNoBit) {
  const bench::Shape& shape = familyShape("qwen3");
  const BatchData batch(smallDocuments(shape));
  const auto model = onCard(shape);
  std::vector<float> first;
  for (const Recompute level : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
    TrainOptions options = trainOptions(*model);
    options.recompute = level;
    const std::vector<float> gradients = gradientsOf(model, options, batch);
    if (first.empty()) first = gradients;
    EXPECT_EQ(gradients, first) << static_cast<int>(level);
  }
}

TEST_F(TrainingOnCard, AResumedRunHasTheBytesOfOneThatWasNotInterrupted) {
  const bench::Shape& shape = familyShape("qwen2");
  const BatchData batch(smallDocuments(shape));
  const TempDir folder;
  const auto steps = [&](TrainSession& session, int count) {
    for (int i = 0; i < count; ++i) {
      const StepSums sums = session.forwardBackward(batch.view());
      session.optimStep(0, stepParams(3e-3, sums.weight[0]));
    }
  };
  const auto model = onCard(shape);
  TrainSession whole(model, {smallAdapter(model)}, trainOptions(*model));
  steps(whole, 3);
  whole.saveState((folder.path() / "middle").string());
  steps(whole, 3);
  whole.saveState((folder.path() / "whole").string());
  const auto again = onCard(shape);
  TrainSession resumed(again, {smallAdapter(again)}, trainOptions(*again));
  resumed.loadState((folder.path() / "middle").string());
  steps(resumed, 3);
  resumed.saveState((folder.path() / "resumed").string());
  EXPECT_EQ(readFile((folder.path() / "resumed").string()), readFile((folder.path() / "whole").string()));
  EXPECT_NE(readFile((folder.path() / "middle").string()), readFile((folder.path() / "whole").string()));
}

TEST_F(TrainingOnCard, ThreeAdaptersInOneBatchGetWhatEachGetsAlone) {
  const bench::Shape& shape = familyShape("llama3");
  const auto model = onCard(shape);
  const auto make = [&](uint64_t seed) {
    AdapterSpec spec = smallSpec();
    auto adapter = Adapter::create(model, spec, seed);
    return adapter;
  };
  const auto batchFor = [&](std::vector<int32_t> adapters) { return BatchData(smallDocuments(shape, adapters)); };
  std::vector<std::shared_ptr<Adapter>> adapters = {make(1), make(2), make(3)};
  TrainSession together(model, adapters, trainOptions(*model));
  const StepSums sums = together.forwardBackward(batchFor({0, 1, 2}).view());
  for (int32_t i = 0; i < 3; ++i) {
    TrainSession alone(model, {make(static_cast<uint64_t>(i) + 1)}, trainOptions(*model));
    std::vector<int32_t> only(3, -1);
    only[static_cast<size_t>(i)] = 0;
    const StepSums own = alone.forwardBackward(batchFor(only).view());
    EXPECT_NEAR(own.loss[0], sums.loss[static_cast<size_t>(i)], 1e-5 * std::abs(own.loss[0]));
    EXPECT_LE(l2Error(together.gradientsToHost(i), alone.gradientsToHost(0)), 1e-5) << i;
  }
}

TEST_F(TrainingOnCard, DropsWhatTheCpuDrops) {
  const bench::Shape& shape = familyShape("qwen3");
  BatchData batch(smallDocuments(shape));
  batch.records = {4, 1, 6};
  std::vector<float> gradients[2], undropped;
  int side = 0;
  for (const auto& model : {onCpu(shape), onCard(shape)}) {
    AdapterSpec spec = smallSpec();
    for (const double dropout : {0.0, 0.4}) {
      spec.dropout = dropout;
      TrainSession session(model, {Adapter::create(model, spec, 5)}, trainOptions(*model));
      for (int step = 0; step < 2; ++step) {
        const StepSums sums = session.forwardBackward(batch.view());
        if (step == 0) session.optimStep(0, stepParams(1e-2, sums.weight[0]));
      }
      (dropout > 0 ? gradients[side] : undropped) = session.gradientsToHost(0);
    }
    ++side;
  }
  EXPECT_LE(l2Error(gradients[1], gradients[0]), 0.1);
  EXPECT_GT(l2Error(undropped, gradients[0]), 0.3) << "masks make no difference: the comparison says nothing";
}

TEST_F(TrainingOnCard, FullTuningLosesWhatTheCpuLoses) {
  const bench::Shape& shape = familyShape("qwen2");
  const BatchData batch(smallDocuments(shape));
  std::vector<double> losses[2];
  int side = 0;
  for (const bool card : {false, true}) {
    const auto model = card ? onCard(shape, WeightFormat::kF32) : onCpu(shape, WeightFormat::kF32);
    TrainOptions options = trainOptions(*model);
    options.full = true;
    TrainSession session(model, {}, options);
    for (int step = 0; step < 5; ++step) {
      const StepSums sums = session.forwardBackward(batch.view());
      losses[side].push_back(sums.loss[0] / sums.weight[0]);
      session.optimStep(0, stepParams(1e-3, sums.weight[0]));
    }
    ++side;
  }
  EXPECT_LT(losses[0].back(), losses[0].front() - 0.05);
  for (size_t i = 0; i < losses[0].size(); ++i) EXPECT_NEAR(losses[1][i], losses[0][i], 0.02) << i;
}

TEST_F(TrainingOnCard, MemoryIsWhatWasPlanned) {
  const bench::Shape& shape = familyShape("gemma3");
  const auto model = onCard(shape);
  const auto adapter = smallAdapter(model);
  const TrainOptions options = trainOptions(*model);
  size_t planned = 0;
  for (const PlanItem& item :
       TrainSession::plan(model->config(), model->backend(), {smallSpec()}, options, WeightFormat::kBF16)) {
    planned += item.bytes;
  }
  TrainSession session(model, {adapter}, options);
  session.forwardBackward(BatchData(smallDocuments(shape)).view());
  session.optimStep(0, stepParams(1e-3, 1));
  EXPECT_EQ(device::hostCounts().peakBytes, planned);
}

TEST_F(TrainingOnCard, ACardsNameIsPlannedAsTheCardItself) {
  const bench::Shape& shape = familyShape("gemma3");
  const cuda::CudaBackend there(0, device::cublasLt());
  const cuda::Card& card = *cuda::findCard("h100-80gb");
  const auto named = cuda::createCudaSizes(card);
  const ModelConfig config = bench::configOf(shape);
  const AdapterSpec spec = smallSpec();
  const auto expectSame = [](const MemoryPlan& plan, const MemoryPlan& expected) {
    ASSERT_EQ(plan.size(), expected.size());
    for (size_t i = 0; i < plan.size(); ++i) {
      EXPECT_EQ(plan[i].name, expected[i].name);
      EXPECT_EQ(plan[i].bytes, expected[i].bytes) << plan[i].name;
    }
  };
  TrainOptions options = smallOptions(128, 7, config.vocabulary);
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel}) {
    expectSame(TrainSession::plan(config, *named, {spec}, options, format),
               TrainSession::plan(config, there, {spec}, options, format));
  }
  options.full = true;
  expectSame(TrainSession::plan(config, *named, {}, options, WeightFormat::kBF16),
             TrainSession::plan(config, there, {}, options, WeightFormat::kBF16));
  expectSame(SampleEngine::plan(config, *named, {}, 4), SampleEngine::plan(config, there, {}, 4));
  EXPECT_EQ(named->deviceBytes(), (card.memoryMiB << 20) - cuda::kContextBytes);
}

TEST_F(TrainingOnCard, AStepAllocatesNothingAndWaitsTwice) {
  const bench::Shape& shape = familyShape("llama3");
  const auto model = onCard(shape);
  TrainSession session(model, {smallAdapter(model)}, trainOptions(*model));
  const BatchData batch(smallDocuments(shape));
  const auto step = [&] {
    const StepSums sums = session.forwardBackward(batch.view());
    session.optimStep(0, stepParams(1e-3, sums.weight[0]));
  };
  step();
  const device::HostCounts before = device::hostCounts();
  step();
  const device::HostCounts after = device::hostCounts();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_LE(after.waits - before.waits, 2u) << "the losses, and the gradient's norm";
}

}  // namespace
}  // namespace mlit::test
