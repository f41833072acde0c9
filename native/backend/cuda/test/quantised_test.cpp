// Models whose weights are rounded: bases in int8 and NF4 against the CPU's, which keeps the same numbers, full tuning over a shadow in
// bfloat16, and a model that gives no numbers at all.
#include <cmath>
#include <limits>

#include "backend/cuda/test/model_on_card.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

// Of five steps, in nats: what bfloat16 activations leave after a few layers.
constexpr double kLossError = 0.03;

std::vector<double> fiveSteps(TrainSession& session, const BatchData& batch, double learningRate) {
  std::vector<double> losses;
  for (int step = 0; step < 5; ++step) {
    const StepSums sums = session.forwardBackward(batch.view());
    losses.push_back(sums.loss[0] / sums.weight[0]);
    session.optimStep(0, stepParams(learningRate, sums.weight[0]));
  }
  return losses;
}

size_t plannedBytes(const Model& model, const std::vector<AdapterSpec>& adapters, const TrainOptions& options) {
  return totalBytes(TrainSession::plan(model.config(), model.backend(), adapters, options, model.format()));
}

class Quantised : public OnCardWith<WeightFormat> {};

TEST_P(Quantised, FiveStepsLoseWhatTheCpuLosesInThePlannedMemory) {
  const bench::Shape& shape = familyShape("llama3");
  const BatchData batch(smallDocuments(shape));
  const auto steps = [&](const std::shared_ptr<Model>& model) {
    TrainSession session(model, {smallAdapter(model)}, trainOptions(*model));
    return fiveSteps(session, batch, 5e-3);
  };
  const std::vector<double> cpu = steps(onCpu(shape, GetParam()));
  const auto model = onCard(shape, GetParam());
  const std::vector<double> card = steps(model);
  EXPECT_LT(cpu.back(), cpu.front() - 0.05) << "nothing was learnt: the comparison says nothing";
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(card[i], cpu[i], kLossError) << i;
  EXPECT_EQ(device::hostCounts().peakBytes, plannedBytes(*model, {smallSpec()}, trainOptions(*model)));
}

TEST_P(Quantised, GreedyTextIsTheCpus) {
  const bench::Shape& shape = familyShape("gemma3");
  const auto text = [&](const std::shared_ptr<Model>& model) {
    SampleOptions options;
    options.maxRows = 2;
    options.cacheTokens = 256;
    options.prefillTokens = 7;
    SampleEngine engine(model, {smallAdapter(model)}, options);
    SampleRequest request;
    request.prompt = {5, 9, 14, 6, 11, 7, 30, 8, 21};
    request.maxNewTokens = 12;
    request.adapter = 0;
    for (request.id = 0; request.id < 2; ++request.id) engine.submit(request);
    std::vector<SampleEvent> events;
    while (!engine.idle()) {
      for (const SampleEvent& event : engine.step()) {
        if (event.id == 0) events.push_back(event);
      }
    }
    return events;
  };
  const auto cpu = text(onCpu(shape, GetParam())), card = text(onCard(shape, GetParam()));
  ASSERT_FALSE(cpu.empty());
  // Where two tokens are closer than bfloat16 can tell, the texts may part: until then they are the same.
  for (size_t i = 0; i < cpu.size() && i < card.size(); ++i) {
    EXPECT_NEAR(card[i].logprob, cpu[i].logprob, 0.1) << i;
    if (cpu[i].token != card[i].token) break;
  }
}

INSTANTIATE_TEST_SUITE_P(OnCard, Quantised, ::testing::Values(WeightFormat::kI8Channel, WeightFormat::kNF4),
                         [](const auto& tested) { return std::string(formatName(tested.param)); });

// The first AdamW step moves each weight by the learning rate, in the direction of its gradient's sign: where weights are rounded to 8 bits
// before each product, small gradients have other signs.
TEST_F(OnCardAlone, FullTuningOverAShadowInBf16LearnsWhatTheCpuLearns) {
  const bench::Shape& shape = familyShape("qwen2");
  const BatchData batch(smallDocuments(shape));
  const auto steps = [&](const std::shared_ptr<Model>& model, double learningRate) {
    TrainOptions options = trainOptions(*model);
    options.full = true;
    TrainSession session(model, {}, options);
    return fiveSteps(session, batch, learningRate);
  };
  const std::vector<double> cpu = steps(onCpu(shape, WeightFormat::kF32), 1e-3);
  const auto model = onCard(shape);
  const std::vector<double> card = steps(model, 1e-3);
  const double learnt = cpu.front() - cpu.back();
  EXPECT_GT(learnt, 0.05);
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(card[i], cpu[i], 0.03 + 0.1 * learnt) << i;
  TrainOptions options = trainOptions(*model);
  options.full = true;
  EXPECT_EQ(device::hostCounts().peakBytes, plannedBytes(*model, {}, options));
}

TEST_F(OnCardAlone, LogitsThatAreNoNumbersEndTheirRequest) {
  const auto model = onCard(familyShape("llama3"));
  const auto adapter = smallAdapter(model);
  std::vector<float> parameters = adapter->toHost();
  parameters[parameters.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  adapter->fromHost(parameters);
  SampleOptions options;
  options.maxRows = 1;
  options.cacheTokens = 64;
  SampleEngine engine(model, {adapter}, options);
  SampleRequest request;
  request.prompt = {5, 6, 7};
  request.maxNewTokens = 3;
  request.adapter = 0;
  engine.submit(request);
  const std::vector<SampleEvent> events = engine.step();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].finish, Finish::kNotFinite);
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace mlit::test
