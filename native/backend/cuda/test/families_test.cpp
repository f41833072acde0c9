// Whole trainings and samples of each family on the CUDA backend against the same ones of the CPU backend. The base's bfloat16
// weights are the same numbers in both, so what differs is that one keeps its activations in bfloat16.
#include "backend/cuda/test/model_on_card.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

class Families : public OnCardWith<bench::Shape> {};

std::string familyName(const ::testing::TestParamInfo<bench::Shape>& info) { return info.param.name; }

// Of norms, relative: about what 8 bits leave after a few layers. Of losses, in nats.
constexpr double kLogitsError = 0.02, kGradientError = 0.08, kLossError = 0.03;

TEST_P(Families, LogitsAndGradientsAreTheCpusWithinBf16) {
  const bench::Shape& shape = GetParam();
  const auto cpu = onCpu(shape), card = onCard(shape);
  const BatchData batch(smallDocuments(shape));
  std::vector<float> logits[2], gradients[2];
  double loss[2] = {};
  int side = 0;
  for (const auto& model : {cpu, card}) {
    TrainSession session(model, {smallAdapter(model)}, trainOptions(*model));
    logits[side] = session.logitsToHost(batch.view());
    const StepSums sums = session.forwardBackward(batch.view());
    loss[side] = sums.loss[0] / sums.weight[0];
    gradients[side] = session.gradientsToHost(0);
    ++side;
  }
  EXPECT_LE(l2Error(logits[1], logits[0]), kLogitsError);
  EXPECT_LE(l2Error(gradients[1], gradients[0]), kGradientError);
  EXPECT_NEAR(loss[1], loss[0], kLossError);
}

class Trainings : public OnCardWith<bench::Shape> {};

TEST_P(Trainings, TwentyStepsLoseWhatTheCpuLoses) {
  const bench::Shape& shape = GetParam();
  const BatchData batch(smallDocuments(shape));
  std::vector<double> losses[2];
  int side = 0;
  for (const auto& model : {onCpu(shape), onCard(shape)}) {
    TrainSession session(model, {smallAdapter(model)}, trainOptions(*model));
    for (int step = 0; step < 20; ++step) {
      const StepSums sums = session.forwardBackward(batch.view());
      losses[side].push_back(sums.loss[0] / sums.weight[0]);
      session.optimStep(0, stepParams(5e-3, sums.weight[0]));
    }
    ++side;
  }
  EXPECT_LT(losses[0].back(), losses[0].front() - 0.05) << "nothing was learnt: the comparison says nothing";
  for (size_t i = 0; i < losses[0].size(); ++i) EXPECT_NEAR(losses[1][i], losses[0][i], kLossError) << i;
}

TEST_P(Families, GreedyTextIsTheCpus) {
  const bench::Shape& shape = GetParam();
  SampleRequest request;
  const std::vector<int32_t> sequence = smallDocuments(shape)[0].tokens;
  request.prompt.assign(sequence.begin(), sequence.begin() + std::min<ptrdiff_t>(9, std::ssize(sequence)));
  request.maxNewTokens = 12;
  request.adapter = 0;
  std::vector<int32_t> tokens[2];
  std::vector<float> logprobs[2];
  int side = 0;
  for (const auto& model : {onCpu(shape), onCard(shape)}) {
    SampleOptions options;
    options.maxRows = 2;
    options.cacheTokens = 256;
    options.prefillTokens = 7;
    SampleEngine engine(model, {smallAdapter(model)}, options);
    for (int64_t id = 0; id < 2; ++id) {
      request.id = id;
      engine.submit(request);
    }
    while (!engine.idle()) {
      for (const SampleEvent& event : engine.step()) {
        if (event.id != 0) continue;
        tokens[side].push_back(event.token);
        logprobs[side].push_back(event.logprob);
      }
    }
    ++side;
  }
  ASSERT_FALSE(tokens[0].empty());
  // Where two tokens are closer than bfloat16 can tell, the texts may part: until then they are the same.
  for (size_t i = 0; i < tokens[0].size() && i < tokens[1].size(); ++i) {
    EXPECT_NEAR(logprobs[1][i], logprobs[0][i], 0.1) << i;
    if (tokens[0][i] != tokens[1][i]) break;
  }
  EXPECT_EQ(tokens[1][0], tokens[0][0]);
}

INSTANTIATE_TEST_SUITE_P(OnCard, Families, ::testing::ValuesIn(kFamilies), familyName);
INSTANTIATE_TEST_SUITE_P(OnCard, Trainings, ::testing::ValuesIn(kFamilies), familyName);

}  // namespace
}  // namespace mlit::test
