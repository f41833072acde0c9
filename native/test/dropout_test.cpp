// LoRA dropout: its masks are random enough and a function of what an element is alone; training with them
// against peft's dropout given the same masks, and against itself.
#include "core/dropout.h"

#include "host_backend.h"
#include "model_support.h"
#include "op_support.h"

namespace mlit::test {
namespace {

constexpr double kProbability = 0.25;

TEST(DropoutMasks, DropTheShareThatWasAskedForAndDoNotKnowEachOther) {
  constexpr uint32_t kRows = 100, kFeatures = 400;
  const double n = kRows * kFeatures;
  struct Who {
    uint64_t key;
    uint32_t module, record;
  };
  const uint64_t key = dropoutKey(3, 1);
  const Who one{key, 0, 0};
  const Who others[] = {{key, 1, 0}, {key, 0, 1}, {dropoutKey(3, 2), 0, 0}, {dropoutKey(4, 1), 0, 0}};
  const auto keeps = [](const Who& who, uint32_t row, uint32_t i, double p) {
    return dropoutKeeps(who.key, who.module, who.record, row, i, p);
  };
  for (const double p : {0.05, 0.5, 0.9}) {
    const double deviation = std::sqrt(n * p * (1 - p));
    double dropped = 0;
    for (uint32_t row = 0; row < kRows; ++row) {
      for (uint32_t i = 0; i < kFeatures; ++i) dropped += keeps(one, row, i, p) ? 0 : 1;
    }
    EXPECT_NEAR(dropped, n * p, 4 * deviation) << p;
    const double same = p * p + (1 - p) * (1 - p);
    const auto agreement = [&](const Who& other, uint32_t rowShift, uint32_t shift) {
      double agree = 0;
      for (uint32_t row = 0; row < kRows; ++row) {
        for (uint32_t i = 0; i < kFeatures; ++i)
          agree += keeps(one, row, i, p) == keeps(other, row + rowShift, i + shift, p) ? 1 : 0;
      }
      return (agree - n * same) / std::sqrt(n * same * (1 - same));
    };
    for (const Who& other : others) EXPECT_LT(std::abs(agreement(other, 0, 0)), 4) << p;
    EXPECT_LT(std::abs(agreement(one, 1, 0)), 4) << p;
    EXPECT_LT(std::abs(agreement(one, 0, 1)), 4) << p;
  }
}

// A batch whose documents have record numbers.
struct NumberedBatch : BatchData {
  std::vector<int32_t> records;
  NumberedBatch(const std::vector<Document>& documents, std::vector<int32_t> numbers)
      : BatchData(documents), records(std::move(numbers)) {}
  PackedBatch view() const {
    PackedBatch batch = BatchData::view();
    batch.records = records;
    return batch;
  }
};

class DropoutSession : public ::testing::TestWithParam<const char*> {
 protected:
  DropoutSession()
      : base(GetParam()),
        f(std::string("lora/") + GetParam()),
        backend(std::make_shared<HostBackend>(createCpuBackend(2))),
        model(Model::load(base.path("model"), backend, {})) {
    options.seed = f.expected["dropout"]["seed"].get<uint64_t>();
  }
  std::shared_ptr<Adapter> adapter() const { return Adapter::load(model, f.path("adapter")); }
  std::vector<int32_t> records() const { return f.expected["dropout"]["records"].get<std::vector<int32_t>>(); }
  NumberedBatch batch(const std::vector<int32_t>& adapterOf = {0, 0, 0}) const {
    return {base.packedDocuments(adapterOf), records()};
  }

  Fixture base, f;
  std::shared_ptr<HostBackend> backend;
  std::shared_ptr<Model> model;
  TrainOptions options = smallOptions();
};

TEST_P(DropoutSession, LossesAndGradientsAreThoseOfPeftWithTheSameMasks) {
  const auto trained = adapter();
  ASSERT_EQ(trained->layout().spec().dropout, kProbability);
  TrainSession s(model, {trained}, options);
  const NumberedBatch data = batch();
  std::vector<float> logprobs(data.tokens.size());
  const double total = base.expected["packed"]["totalWeight"].get<double>();
  const auto& expected = f.expected["dropout"]["packed"];
  EXPECT_NEAR(s.forwardBackward(data.view(), logprobs).loss[0] / total, expected["loss"].get<double>(), 1e-5);
  EXPECT_NEAR(l2Norm(s.gradientsToHost(0)) / total, expected["gradNorm"].get<double>(),
              1e-4 * expected["gradNorm"].get<double>());
  EXPECT_LE(
      worstFactorError(f, "dropout.grad.", trained->layout(), s.gradientsToHost(0), static_cast<float>(1 / total)),
      1e-4);
  for (size_t document = 0; document < 3; ++document) {
    const std::vector<float> reference = f.tensor("dropout.logprobs." + std::to_string(document));
    std::vector<float> found(reference.size(), 0.0f);
    for (size_t i = 1; i < found.size(); ++i)
      found[i] = logprobs[static_cast<size_t>(data.cuSeqlens[document]) + i - 1];
    EXPECT_LE(maxError(found, reference), 1e-5) << "document " << document;
  }
}

TEST_P(DropoutSession, LevelsOfRecomputeAndTwoCallsGiveTheSameBytesAndThePlanHolds) {
  const NumberedBatch data = batch({0, -1, 0});
  std::vector<float> gradients;
  for (const Recompute level : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
    options.recompute = level;
    const auto trained = adapter();
    const size_t before = backend->liveBytes();
    TrainSession s(model, {trained}, options);
    size_t planned = 0;
    for (const PlanItem& item :
         TrainSession::plan(model->config(), *backend, {trained->layout().spec()}, options, WeightFormat::kF32)) {
      if (item.name != "backend" && item.name != "base" && item.name != "adapter") planned += item.bytes;
    }
    EXPECT_EQ(backend->liveBytes() - before, planned);
    std::vector<float> logprobs(data.tokens.size()), dLogprobs;
    for (const float weight : data.weights) dLogprobs.push_back(-weight);
    s.forward(data.view(), logprobs);
    s.backward(dLogprobs);
    const std::vector<float> twoCalls = s.gradientsToHost(0);
    s.zeroGradients();
    s.forwardBackward(data.view(), logprobs);
    EXPECT_EQ(s.gradientsToHost(0), twoCalls);
    if (gradients.empty()) gradients = twoCalls;
    EXPECT_EQ(twoCalls, gradients);
  }
  EXPECT_GT(maxAbs(gradients), 0);
}

TEST_P(DropoutSession, PackingDoesNotChangeTheMasks) {
  const std::vector<Document> documents = base.packedDocuments();
  TrainSession s(model, {adapter()}, options);
  std::vector<float> together(batch().tokens.size());
  s.forwardBackward(batch().view(), together);
  const std::vector<float> gradients = s.gradientsToHost(0);
  s.zeroGradients();
  const std::vector<int32_t> cuSeqlens = batch().cuSeqlens;
  for (const std::vector<size_t>& members : {std::vector<size_t>{2, 0}, std::vector<size_t>{1}}) {
    std::vector<Document> chosen;
    std::vector<int32_t> numbers;
    std::vector<float> expected;
    for (const size_t member : members) {
      chosen.push_back(documents[member]);
      numbers.push_back(records()[member]);
      expected.insert(expected.end(), together.begin() + cuSeqlens[member], together.begin() + cuSeqlens[member + 1]);
    }
    const NumberedBatch part(chosen, numbers);
    std::vector<float> logprobs(part.tokens.size());
    s.forwardBackward(part.view(), logprobs);
    EXPECT_EQ(logprobs, expected);
  }
  EXPECT_LE(l2Error(s.gradientsToHost(0), gradients), 1e-5);
}

TEST_P(DropoutSession, MasksFollowSeedAndStepAndComeBackWithTheState) {
  const TempDir folder;
  AdamWParams still;
  still.learningRate = 0;
  TrainSession s(model, {adapter()}, options);
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) {
    losses.push_back(s.forwardBackward(batch().view()).loss[0]);
    s.optimStep(0, still);
    if (step == 0) s.saveState(folder.file("one"));
  }
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_NE(losses[1], losses[2]);
  TrainSession resumed(model, {adapter()}, options);
  resumed.loadState(folder.file("one"));
  EXPECT_EQ(resumed.forwardBackward(batch().view()).loss[0], losses[1]);
  TrainOptions other = options;
  other.seed += 1;
  TrainSession seeded(model, {adapter()}, other);
  EXPECT_NE(seeded.forwardBackward(batch().view()).loss[0], losses[0]);
}

TEST_P(DropoutSession, ScoresAreWithoutDropoutAndTrainingWantsRecords) {
  TrainSession s(model, {adapter()}, options);
  const BatchData plain(base.packedDocuments());
  const double total = base.expected["packed"]["totalWeight"].get<double>();
  std::vector<float> logprobs(plain.tokens.size());
  EXPECT_NEAR(s.score(plain.view(), logprobs).loss[0] / total, f.expected["plain"]["loss"].get<double>(), 1e-5);
  expectError(ErrorCode::kInvalidArgument, {"records"}, [&] { s.forwardBackward(plain.view()); });
  NumberedBatch wrong = batch();
  wrong.records[1] = -1;
  expectError(ErrorCode::kInvalidArgument, {"records[1]"}, [&] { s.forwardBackward(wrong.view()); });
  wrong.records.pop_back();
  expectError(ErrorCode::kInvalidArgument, {"the length of records"}, [&] { s.forwardBackward(wrong.view()); });
  AdapterSpec spec;
  spec.dropout = 1;
  expectError(ErrorCode::kInvalidArgument, {"dropout"}, [&] { Adapter::create(model, spec, 0); });
}

INSTANTIATE_TEST_SUITE_P(Families, DropoutSession, ::testing::Values("llama-tiny", "gemma3-tiny"),
                         [](const auto& family) { return std::string(family.param).substr(0, 5); });

}  // namespace
}  // namespace mlit::test
