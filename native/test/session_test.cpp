// Training against transformers + peft, and against itself: packed or not, in one batch or several, one adapter or two,
// kept or recomputed, in one call or two, interrupted or not.
#include "train/session.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "host_backend.h"
#include "model_backends.h"
#include "model_support.h"

namespace mlit::test {
namespace {

class SessionTest : public ::testing::TestWithParam<FamilyCase> {
 protected:
  SessionTest() : f(GetParam().name), model(loadFixture(f.path("model"), GetParam().backend)) {}
  std::shared_ptr<Adapter> adapter() const { return Adapter::load(model, f.path("adapter")); }
  std::shared_ptr<Adapter> rslora() const { return Adapter::load(model, f.path("adapter-rslora")); }
  std::unique_ptr<TrainSession> session(std::vector<std::shared_ptr<Adapter>> adapters,
                                        TrainOptions options = smallOptions()) const {
    return std::make_unique<TrainSession>(model, std::move(adapters), options);
  }

  Fixture f;
  std::shared_ptr<Model> model;
};

TEST_P(SessionTest, LossesAndGradientsAreThoseOfPeft) {
  for (const std::string name : {"adapter", "rslora"}) {
    SCOPED_TRACE(name);
    const auto trained = name == "adapter" ? adapter() : rslora();
    const auto s = session({trained});
    const BatchData batch(f.packedDocuments());
    std::vector<float> logprobs(batch.tokens.size(), NAN);
    const StepSums sums = s->forwardBackward(batch.view(), logprobs);
    const auto& expected = f.expected["packed"][name];
    const double total = f.expected["packed"]["totalWeight"].get<double>();
    EXPECT_NEAR(sums.weight[0], total, 1e-9 * total);
    EXPECT_NEAR(sums.loss[0] / total, expected["loss"].get<double>(), 1e-5);
    EXPECT_EQ(sums.loss[1], 0);
    const std::vector<float> gradients = s->gradientsToHost(0);
    EXPECT_NEAR(l2Norm(gradients) / total, expected["gradNorm"].get<double>(),
                1e-4 * expected["gradNorm"].get<double>());
    EXPECT_LE(
        worstFactorError(f, "packed." + name + ".grad.", trained->layout(), gradients, static_cast<float>(1 / total)),
        1e-4);
    for (size_t document = 0; document < 3; ++document) {
      std::vector<float> reference = f.tensor("packed." + name + ".logprobs." + std::to_string(document));
      std::vector<float> found(reference.size(), 0.0f);
      for (size_t i = 1; i < found.size(); ++i)
        found[i] = logprobs[static_cast<size_t>(batch.cuSeqlens[document]) + i - 1];
      reference[0] = 0;
      EXPECT_LE(maxError(found, reference), 1e-5) << "document " << document;
    }
  }
}

TEST_P(SessionTest, TwoAdaptersInOneBatchAreTwoRuns) {
  const auto first = adapter(), second = rslora();
  const auto s = session({first, second});
  const StepSums sums = s->forwardBackward(BatchData(f.packedDocuments({0, 1, 0})).view());
  const auto expected = f.expected["packed"]["mixed"]["nllSums"].get<std::vector<double>>();
  EXPECT_NEAR(sums.loss[0], expected[0] + expected[2], 1e-5 * (expected[0] + expected[2]));
  EXPECT_NEAR(sums.loss[1], expected[1], 1e-5 * expected[1]);
  EXPECT_LE(worstFactorError(f, "mixed.adapter.gradSum.", first->layout(), s->gradientsToHost(0), 1), 1e-4);
  EXPECT_LE(worstFactorError(f, "mixed.rslora.gradSum.", second->layout(), s->gradientsToHost(1), 1), 1e-4);
}

TEST_P(SessionTest, TwentyStepsFollowTheReference) {
  const auto& trajectory = f.expected["trajectory"];
  const auto trained = adapter();
  const auto s = session({trained}, smallOptions(128));
  for (const auto& step : trajectory["steps"]) {
    double loss = 0;
    for (const auto& micro : step["microBatches"]) {
      std::vector<Document> documents;
      for (const auto& document : micro) documents.push_back(documentOf(document));
      loss += s->forwardBackward(BatchData(documents).view()).loss[0];
    }
    AdamWParams params;
    params.learningRate = step["learningRate"].get<float>();
    params.weightDecay = trajectory["weightDecay"].get<float>();
    params.maxGradNorm = trajectory["maxGradNorm"].get<float>();
    const double total = step["totalWeight"].get<double>();
    params.gradScale = static_cast<float>(1 / total);
    const TrainSession::OptimResult result = s->optimStep(0, params);
    EXPECT_NEAR(loss / total, step["loss"].get<double>(), 5e-5) << "step " << step["step"];
    EXPECT_NEAR(result.gradNorm, step["gradNorm"].get<double>(), 1e-4 * step["gradNorm"].get<double>())
        << "step " << step["step"];
  }
  EXPECT_EQ(s->stepCount(0), 20);
  EXPECT_LE(worstFactorError(f, "trajectory.final.", trained->layout(), trained->toHost(), 1), 5e-4);
}

TEST_P(SessionTest, PackedIsUnpackedAndMicroBatchesAreOneBatch) {
  const auto s = session({adapter()});
  const std::vector<Document> documents = f.packedDocuments();
  std::vector<float> together(BatchData(documents).tokens.size());
  const double packed = sumOf(s->forwardBackward(BatchData(documents).view(), together).loss);
  const std::vector<float> gradients = s->gradientsToHost(0);
  s->zeroGradients();
  double alone = 0;
  std::vector<float> apart;
  for (const Document& document : documents) {
    const BatchData batch({document});
    std::vector<float> logprobs(batch.tokens.size());
    alone += sumOf(s->forwardBackward(batch.view(), logprobs).loss);
    apart.insert(apart.end(), logprobs.begin(), logprobs.end());
  }
  EXPECT_NEAR(alone, packed, 1e-6 * packed);
  EXPECT_LE(l2Error(s->gradientsToHost(0), gradients), 1e-5);
  EXPECT_EQ(apart, together) << "rows know each other";
}

TEST_P(SessionTest, ChunksOfLogitsChangeNothing) {
  const BatchData batch(f.packedDocuments());
  std::vector<std::vector<float>> gradients;
  for (const int64_t rows : {1, 5, 64}) {
    const auto s = session({adapter()}, smallOptions(64, rows, model->config().vocabulary));
    s->forwardBackward(batch.view());
    gradients.push_back(s->gradientsToHost(0));
  }
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_EQ(gradients[0], gradients[2]);
}

TEST_P(SessionTest, RecomputedActivationsGiveTheSameBytes) {
  const BatchData batch(f.packedDocuments({0, 1, -1}));
  TrainOptions options = smallOptions();
  const auto kept = session({adapter(), rslora()}, options);
  const std::vector<double> loss = kept->forwardBackward(batch.view()).loss;
  size_t bytes = totalBytes(kept->memory());
  for (const Recompute level : {Recompute::kActivations, Recompute::kLayer}) {
    options.recompute = level;
    const auto recomputed = session({adapter(), rslora()}, options);
    EXPECT_EQ(recomputed->forwardBackward(batch.view()).loss, loss);
    for (const int32_t i : {0, 1}) {
      const std::vector<float> gradients = kept->gradientsToHost(i);
      EXPECT_GT(l2Norm(gradients), 0);
      EXPECT_EQ(gradients, recomputed->gradientsToHost(i));
    }
    EXPECT_LT(totalBytes(recomputed->memory()), bytes);
    bytes = totalBytes(recomputed->memory());
  }
}

TEST_P(SessionTest, TwoCallsAreOneCall) {
  const auto s = session({adapter()});
  const BatchData batch(f.packedDocuments());
  std::vector<float> once(batch.tokens.size()), twice(batch.tokens.size()), scored(batch.tokens.size());
  s->forwardBackward(batch.view(), once);
  const std::vector<float> gradients = s->gradientsToHost(0);
  s->zeroGradients();
  s->forward(batch.view(), twice);
  EXPECT_FALSE(s->gradientsPending());
  std::vector<float> dLogprobs;
  for (const float weight : batch.weights) dLogprobs.push_back(-weight);
  s->backward(dLogprobs);
  EXPECT_TRUE(s->gradientsPending());
  EXPECT_EQ(s->gradientsToHost(0), gradients);
  EXPECT_EQ(once, twice);
  expectError(ErrorCode::kInvalidArgument, {"forward"}, [&] { s->backward(dLogprobs); });
  s->score(batch.view(), scored);
  EXPECT_EQ(scored, once);
  s->forward(batch.view(), twice);
  s->score(batch.view(), scored);
  expectError(ErrorCode::kInvalidArgument, {"forward"}, [&] { s->backward(dLogprobs); });
}

TEST_P(SessionTest, AScorerGivesTheSameWithLessMemory) {
  TrainOptions options = smallOptions();
  const auto trained = adapter();
  const auto trainer = session({trained}, options);
  options.training = false;
  const auto scorer = session({trained}, options);
  const BatchData batch(f.packedDocuments({0, -1, 0}));
  std::vector<float> a(batch.tokens.size()), b(batch.tokens.size());
  EXPECT_EQ(trainer->score(batch.view(), a).loss, scorer->score(batch.view(), b).loss);
  EXPECT_EQ(a, b);
  EXPECT_LT(totalBytes(scorer->memory()), totalBytes(trainer->memory()));
  expectError(ErrorCode::kInvalidArgument, {"training"}, [&] { scorer->forwardBackward(batch.view()); });
}

// Every subset of targets takes another way down: the backward must stop where nothing below is trained, and not before.
TEST_P(SessionTest, SubsetsOfTargetsHaveTheGradientsOfTheFullSet) {
  const auto full = adapter();
  const std::vector<float> parameters = full->toHost();
  const BatchData batch(f.packedDocuments());
  const auto reference = session({full});
  reference->forwardBackward(batch.view());
  for (int only = 0; only < kLayerProjections; ++only) {
    AdapterSpec spec = full->layout().spec();
    spec.targets.fill(false);
    spec.targets[static_cast<size_t>(only)] = true;
    SCOPED_TRACE(projectionName(static_cast<Projection>(only)));
    // The full adapter with every other projection's B at zero computes the same.
    std::vector<float> masked = parameters;
    for (const AdapterSlot& slot : full->layout().slots()) {
      if (static_cast<int>(slot.projection) == only) continue;
      std::fill_n(masked.begin() + slot.bOffset, int64_t{full->layout().spec().rank} * slot.out, 0.0f);
    }
    full->fromHost(masked);
    reference->zeroGradients();
    const double loss = reference->forwardBackward(batch.view()).loss[0];
    const std::vector<float> expected = reference->gradientsToHost(0);

    const auto subset = Adapter::create(model, spec, 1);
    std::vector<float> flat(static_cast<size_t>(subset->layout().parameterCount()));
    const auto copyFactors = [&](const std::vector<float>& from, std::vector<float>& to) {
      size_t at = 0;
      for (const AdapterSlot& slot : full->layout().slots()) {
        if (static_cast<int>(slot.projection) != only) continue;
        const AdapterSlot& own = subset->layout().slots()[at++];
        std::copy_n(from.begin() + slot.aOffset, int64_t{spec.rank} * slot.in, to.begin() + own.aOffset);
        std::copy_n(from.begin() + slot.bOffset, int64_t{spec.rank} * slot.out, to.begin() + own.bOffset);
      }
    };
    copyFactors(masked, flat);
    subset->fromHost(flat);
    const auto s = session({subset});
    EXPECT_NEAR(s->forwardBackward(batch.view()).loss[0], loss, 1e-6 * std::abs(loss));
    std::vector<float> wanted(flat.size());
    copyFactors(expected, wanted);
    EXPECT_LE(l2Error(s->gradientsToHost(0), wanted), 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SessionTest,
                         ::testing::ValuesIn(familyCases({"llama-tiny", "smol-tiny", "gemma3-tiny"})), familyCaseName);

class SessionEdges : public ::testing::Test {
 protected:
  SessionEdges() : f("llama-tiny"), model(loadFixture(f.path("model"), backendFactories().front())) {}
  std::shared_ptr<Adapter> adapter() const { return Adapter::load(model, f.path("adapter")); }
  Fixture f;
  std::shared_ptr<Model> model;
};

TEST_F(SessionEdges, PlanIsWhatIsAllocated) {
  for (const bool training : {true, false}) {
    for (const Recompute recompute : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
      TrainOptions options = smallOptions(48, 3);
      options.training = training;
      options.recompute = recompute;
      const auto a = adapter();
      const TrainSession s(model, {a}, options);
      const MemoryPlan plan =
          TrainSession::plan(model->config(), model->backend(), {a->layout().spec()}, options, WeightFormat::kF32);
      ASSERT_EQ(plan.size(), s.memory().size());
      for (size_t i = 0; i < plan.size(); ++i) {
        EXPECT_EQ(plan[i].name, s.memory()[i].name);
        EXPECT_EQ(plan[i].bytes, s.memory()[i].bytes) << plan[i].name;
      }
    }
  }
}

TEST_F(SessionEdges, AllMemoryIsTakenAtConstruction) {
  const auto backend = std::make_shared<HostBackend>(createCpuBackend(1));
  const auto hosted = Model::load(f.path("model"), backend, {});
  const auto a = Adapter::load(hosted, f.path("adapter"));
  const size_t before = backend->liveBytes();
  {
    TrainSession s(hosted, {a}, smallOptions());
    size_t planned = 0;
    for (const PlanItem& item : s.memory()) {
      if (item.name != "backend" && item.name != "base" && item.name != "adapter") planned += item.bytes;
    }
    EXPECT_EQ(backend->liveBytes() - before, planned);
    const uint64_t mark = backend->allocationMark();
    const BatchData batch(f.packedDocuments()), other({f.packedDocuments()[1]});
    std::atomic<bool> cancel = true;
    s.setCancelFlag(&cancel);
    expectError(ErrorCode::kCancelled, {"cancelled"}, [&] { s.forwardBackward(batch.view()); });
    cancel = false;
    std::vector<float> logprobs(other.tokens.size());
    s.score(other.view(), logprobs);
    s.forwardBackward(batch.view());
    s.optimStep(0, {});
    EXPECT_EQ(backend->allocationMark(), mark);
  }
  EXPECT_EQ(backend->pendingOps(), 0u) << "the step's end was still to come";
  EXPECT_EQ(backend->liveBytes(), before);
}

TEST_F(SessionEdges, TheBareBaseIsScoredWithoutGradients) {
  TrainSession s(model, {adapter()}, smallOptions());
  const StepSums sums = s.forwardBackward(BatchData(f.packedDocuments({-1, -1, -1})).view());
  EXPECT_GT(sums.loss[1], 0);
  EXPECT_EQ(sums.loss[0], 0);
  EXPECT_FALSE(s.gradientsPending());
  TrainSession none(model, {}, smallOptions());
  EXPECT_EQ(none.forwardBackward(BatchData(f.packedDocuments({-1, -1, -1})).view()).loss[0], sums.loss[1]);
}

TEST_F(SessionEdges, StateResumesByteForByte) {
  const TempDir folder;
  const BatchData batch(f.packedDocuments({0, 1, 0}));
  AdamWParams params;
  params.learningRate = 0.01f;
  const auto step = [&](TrainSession& s) {
    s.forwardBackward(batch.view());
    s.optimStep(0, params);
    s.optimStep(1, params);
  };
  const auto rslora = [&] { return Adapter::load(model, f.path("adapter-rslora")); };
  TrainSession straight(model, {adapter(), rslora()}, smallOptions());
  for (int i = 0; i < 4; ++i) step(straight);
  straight.saveState(folder.file("straight"));

  TrainSession before(model, {adapter(), rslora()}, smallOptions());
  for (int i = 0; i < 2; ++i) step(before);
  before.saveState(folder.file("half"));
  TrainSession after(model, {adapter(), rslora()}, smallOptions());
  step(after);  // state that must be overwritten
  after.forwardBackward(batch.view());
  after.loadState(folder.file("half"));
  EXPECT_FALSE(after.gradientsPending());
  EXPECT_EQ(after.stepCount(1), 2);
  for (int i = 0; i < 2; ++i) step(after);
  after.saveState(folder.file("resumed"));
  EXPECT_EQ(readFile(folder.file("straight")), readFile(folder.file("resumed")));

  after.forwardBackward(batch.view());
  expectError(ErrorCode::kGradientsPending, {"middle of a step"}, [&] { after.saveState(folder.file("no")); });
  TrainSession other(model, {adapter()}, smallOptions());
  expectError(ErrorCode::kStateMismatch, {"adapters", "expected 1"}, [&] { other.loadState(folder.file("half")); });
  TrainSession swapped(model, {rslora(), adapter()}, smallOptions());
  const std::vector<float> untouched = swapped.adapters()[0]->toHost();
  expectError(ErrorCode::kStateMismatch, {"adapter.0.layout", "rank=4", "rank=2"},
              [&] { swapped.loadState(folder.file("half")); });
  EXPECT_EQ(swapped.adapters()[0]->toHost(), untouched);
  expectError(ErrorCode::kStateMismatch, {"format"},
              [&] { other.loadState(f.path("adapter/adapter_model.safetensors")); });
}

TEST_F(SessionEdges, NothingSupervisedComputesNothing) {
  TrainSession s(model, {adapter()}, smallOptions());
  BatchData batch(f.packedDocuments());
  std::fill(batch.weights.begin(), batch.weights.end(), 0.0f);
  EXPECT_EQ(s.forwardBackward(batch.view()).weight, (std::vector<double>{0, 0}));
  EXPECT_FALSE(s.gradientsPending());
  EXPECT_EQ(maxAbs(s.gradientsToHost(0)), 0);
  std::vector<float> logprobs(batch.tokens.size(), NAN);
  EXPECT_EQ(s.forwardBackward(batch.view(), logprobs).loss, (std::vector<double>{0, 0}));
  EXPECT_GT(maxAbs(logprobs), 1) << "targets of weight 0 have log-probabilities too";
  EXPECT_FALSE(s.gradientsPending());
  std::fill(batch.targets.begin(), batch.targets.end(), -1);
  EXPECT_EQ(s.score(batch.view(), logprobs).loss, (std::vector<double>{0, 0}));
  EXPECT_EQ(maxAbs(logprobs), 0);
}

TEST_F(SessionEdges, ANumberThatIsNoneStopsTheStepAndChangesNothing) {
  const auto a = adapter();
  TrainSession s(model, {a}, smallOptions());
  const BatchData batch(f.packedDocuments());
  const std::vector<float> good = a->toHost();
  std::vector<float> bad = good;
  bad[0] = std::numeric_limits<float>::quiet_NaN();
  s.forwardBackward(batch.view());
  a->fromHost(bad);
  expectError(ErrorCode::kNotFinite, {"row"}, [&] { s.forwardBackward(batch.view()); });
  EXPECT_FALSE(s.gradientsPending());
  EXPECT_EQ(maxAbs(s.gradientsToHost(0)), 0);

  a->fromHost(good);
  std::vector<float> logprobs(batch.tokens.size()), huge(batch.tokens.size(), 1e38f);
  s.forward(batch.view(), logprobs);
  s.backward(huge);
  AdamWParams params;
  params.learningRate = 1;
  expectError(ErrorCode::kNotFinite, {"adapter 0"}, [&] { s.optimStep(0, params); });
  EXPECT_EQ(a->toHost(), good);
  EXPECT_EQ(s.stepCount(0), 0);
  EXPECT_EQ(maxAbs(s.gradientsToHost(0)), 0);
}

TEST_F(SessionEdges, CancellingDiscardsTheGradients) {
  TrainSession s(model, {adapter()}, smallOptions());
  const BatchData batch(f.packedDocuments());
  s.forwardBackward(batch.view());
  std::atomic<bool> cancel = true;
  s.setCancelFlag(&cancel);
  expectError(ErrorCode::kCancelled, {"cancelled"}, [&] { s.forwardBackward(batch.view()); });
  EXPECT_FALSE(s.gradientsPending());
  EXPECT_EQ(maxAbs(s.gradientsToHost(0)), 0);
  cancel = false;
  EXPECT_GT(s.forwardBackward(batch.view()).loss[0], 0);

  std::vector<float> logprobs(batch.tokens.size());
  s.score(batch.view(), logprobs);
  EXPECT_TRUE(s.gradientsPending()) << "a score leaves them alone";
  cancel = true;
  expectError(ErrorCode::kCancelled, {"cancelled"}, [&] { s.score(batch.view(), logprobs); });
  EXPECT_FALSE(s.gradientsPending());
  EXPECT_EQ(maxAbs(s.gradientsToHost(0)), 0);
}

TEST_F(SessionEdges, ImpossibleBatchesNameTheFieldAndTheIndex) {
  TrainSession s(model, {adapter()}, smallOptions(64));
  const auto refused = [&](const std::string& part, const std::function<void(BatchData&)>& change) {
    BatchData batch(f.packedDocuments());
    change(batch);
    expectError(ErrorCode::kInvalidArgument, {part}, [&] { s.forwardBackward(batch.view()); });
  };
  const int32_t vocabulary = model->config().vocabulary;
  refused("tokens[3]", [&](BatchData& b) { b.tokens[3] = vocabulary; });
  refused("tokens[0]", [](BatchData& b) { b.tokens[0] = -1; });
  refused("targets[5]", [&](BatchData& b) { b.targets[5] = vocabulary; });
  refused("positions[62]", [](BatchData& b) { b.positions[62] = 64; });
  refused("cuSeqlens[0]", [](BatchData& b) { b.cuSeqlens[0] = 1; });
  refused("cuSeqlens[2]", [](BatchData& b) { b.cuSeqlens[2] = b.cuSeqlens[1]; });
  refused("the last of cuSeqlens", [](BatchData& b) { b.cuSeqlens.back() -= 1; });
  refused("adapters[1]", [](BatchData& b) { b.adapters[1] = 1; });
  refused("the length of adapters", [](BatchData& b) { b.adapters.pop_back(); });
  refused("the length of weights", [](BatchData& b) { b.weights.pop_back(); });
  refused("weights[7]", [](BatchData& b) { b.weights[7] = INFINITY; });
  refused("weights[62]", [](BatchData& b) { b.weights[62] = 1; });
  refused("microTokens = 64", [](BatchData& b) {
    b.tokens.resize(70, 1), b.positions.resize(70, 0), b.targets.resize(70, -1), b.weights.resize(70, 0);
    b.cuSeqlens.back() = 70;
  });
  const BatchData batch(f.packedDocuments());
  std::vector<float> few(3);
  expectError(ErrorCode::kInvalidArgument, {"logprobs"}, [&] { s.forwardBackward(batch.view(), few); });
  expectError(ErrorCode::kInvalidArgument, {"adapter 1"}, [&] { s.optimStep(1, {}); });
  EXPECT_GT(s.forwardBackward(batch.view()).loss[0], 0) << "a refused batch leaves the session usable";
}

TEST_F(SessionEdges, RoomForTargetsAloneGivesTheSameBitsInLessMemory) {
  const BatchData batch(f.packedDocuments());
  const auto targets =
      std::count_if(batch.weights.begin(), batch.weights.end(), [](float weight) { return weight != 0; });
  for (const Recompute recompute : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
    TrainOptions roomy = smallOptions(), exact = smallOptions();
    roomy.recompute = exact.recompute = recompute;
    exact.maxTargets = targets;
    TrainSession a(model, {adapter()}, roomy), b(model, {adapter()}, exact);
    EXPECT_LT(totalBytes(b.memory()), totalBytes(a.memory()));
    EXPECT_EQ(a.forwardBackward(batch.view()).loss, b.forwardBackward(batch.view()).loss);
    EXPECT_EQ(a.gradientsToHost(0), b.gradientsToHost(0));
    exact.maxTargets = targets - 1;
    TrainSession tight(model, {adapter()}, exact);
    expectError(ErrorCode::kInvalidArgument, {"rows with a target", "maxTargets"},
                [&] { tight.forwardBackward(batch.view()); });
    exact.maxTargets = exact.maxTokens + 1;
    expectError(ErrorCode::kInvalidArgument, {"maxTargets"}, [&] { TrainSession(model, {adapter()}, exact); });
  }
}

TEST_F(SessionEdges, AdaptersOfAnotherModelAreRefused) {
  const auto other = loadFixture(f.path("model"), backendFactories().front());
  const auto a = adapter();
  expectError(ErrorCode::kInvalidArgument, {"adapters[0]", "another model"},
              [&] { TrainSession s(other, {a}, smallOptions()); });
  expectError(ErrorCode::kInvalidArgument, {"adapters[1]", "twice"}, [&] {
    TrainSession s(model, {a, a}, smallOptions());
  });
  expectError(ErrorCode::kInvalidArgument, {"adapters[0]", "null"},
              [&] { TrainSession s(model, {nullptr}, smallOptions()); });
}

}  // namespace
}  // namespace mlit::test
