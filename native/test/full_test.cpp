// Tuning the model itself, against transformers and against itself: packed or not, in one batch or several, recomputed or
// not, interrupted or not; and that the model and its session agree on what the weights are.
#include <algorithm>

#include "host_backend.h"
#include "model/full_parameters.h"
#include "model_backends.h"
#include "model_support.h"

namespace mlit::test {
namespace {

// One tensor of a checkpoint inside the flat vector.
struct Place {
  std::string name;
  int64_t offset, count;
};

std::vector<Place> placesOf(const Model& model) {
  const ModelConfig& c = model.config();
  const FullLayout layout(c);
  const int64_t d = c.hidden, f = c.feedForward;
  const bool gemma = c.postNorms;
  std::vector<Place> places = {{"model.embed_tokens.weight", layout.embedding, c.vocabulary * d}};
  if (!c.tiedHead) places.push_back({"lm_head.weight", layout.head, c.vocabulary * d});
  const auto vector = [&](const std::string& name, DevConstF32 at, int64_t n) {
    if (at) places.push_back({name, layout.matrices + (at.raw() - model.vectors().raw()), n});
  };
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    const FullLayout::Layer& at = layout.layers[i];
    const LayerWeights& w = model.layers()[i];
    const int64_t q = c.queryDim(), kv = c.kvDim();
    places.push_back({prefix + "self_attn.q_proj.weight", at.qkv, q * d});
    places.push_back({prefix + "self_attn.k_proj.weight", at.qkv + q * d, kv * d});
    places.push_back({prefix + "self_attn.v_proj.weight", at.qkv + (q + kv) * d, kv * d});
    places.push_back({prefix + "self_attn.o_proj.weight", at.o, d * q});
    places.push_back({prefix + "mlp.gate_proj.weight", at.gateUp, f * d});
    places.push_back({prefix + "mlp.up_proj.weight", at.gateUp + f * d, f * d});
    places.push_back({prefix + "mlp.down_proj.weight", at.down, d * f});
    vector(prefix + "input_layernorm.weight", w.attentionNorm, d);
    vector(prefix + (gemma ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight"), w.mlpNorm, d);
    vector(prefix + "post_attention_layernorm.weight", w.postAttentionNorm, d);
    vector(prefix + "post_feedforward_layernorm.weight", w.postMlpNorm, d);
    vector(prefix + "self_attn.q_norm.weight", w.qNorm, c.headDim);
    vector(prefix + "self_attn.k_norm.weight", w.kNorm, c.headDim);
    if (!w.qkvBias) continue;
    vector(prefix + "self_attn.q_proj.bias", w.qkvBias, q);
    vector(prefix + "self_attn.k_proj.bias", w.qkvBias + q, kv);
    vector(prefix + "self_attn.v_proj.bias", w.qkvBias + q + kv, kv);
  }
  vector("model.norm.weight", model.finalNorm(), d);
  return places;
}

// As scripts/fixtures/full.py samples a tensor.
std::vector<float> sampled(const std::vector<float>& flat, const Place& place, int64_t most, float scale = 1) {
  const int64_t stride = (place.count + most - 1) / most;
  std::vector<float> values;
  for (int64_t i = 0; i < place.count; i += stride)
    values.push_back(flat[static_cast<size_t>(place.offset + i)] * scale);
  return values;
}

class FullTest : public ::testing::TestWithParam<FamilyCase> {
 protected:
  FullTest()
      : f(GetParam().name),
        expected(readJsonFile(f.path("full.json"))),
        tensors(openSafetensors(f.path("full.safetensors"))) {}
  std::shared_ptr<Model> model() const { return loadFixture(f.path("model"), GetParam().backend); }
  std::unique_ptr<TrainSession> session(TrainOptions options = smallOptions()) const {
    options.full = true;
    return std::make_unique<TrainSession>(model(), std::vector<std::shared_ptr<Adapter>>{}, options);
  }
  std::vector<float> reference(const std::string& name) const {
    const TensorInfo* info = tensors->find(name);
    if (info == nullptr) throw std::runtime_error("the fixture has no tensor " + name);
    std::vector<float> values(static_cast<size_t>(elementCount(info->shape)));
    tensors->readRows(*info, 0, 1, values.data());
    return values;
  }

  int64_t most() const { return expected["sample"].get<int64_t>(); }
  // The twenty batches of the reference; a zoo's family has one, taken again and again.
  std::vector<nlohmann::json> batches() const {
    if (f.expected.contains("trajectory")) return f.expected["trajectory"]["steps"];
    nlohmann::json batch;
    batch["microBatches"].push_back(f.expected["packed"]["documents"]);
    batch["totalWeight"] = f.expected["packed"]["totalWeight"];
    return std::vector<nlohmann::json>(expected["trajectory"]["steps"].size(), batch);
  }

  Fixture f;
  nlohmann::json expected;
  std::unique_ptr<TensorSource> tensors;
};

AdamWParams paramsFor(double totalWeight, float learningRate) {
  AdamWParams params;
  params.learningRate = learningRate;
  params.weightDecay = 0.01f;
  params.gradScale = static_cast<float>(1 / totalWeight);
  return params;
}

// What every family has to show.
class FullReference : public FullTest {};

TEST_P(FullReference, LossAndEveryGradientAreThoseOfTransformers) {
  const auto s = session();
  const StepSums sums = s->forwardBackward(BatchData(f.packedDocuments()).view());
  const double total = f.expected["packed"]["totalWeight"].get<double>();
  EXPECT_NEAR(sums.loss[0] / total, expected["packed"]["loss"].get<double>(), 1e-5);
  const std::vector<float> flat = s->gradientsToHost(0);
  const double norm = expected["packed"]["gradNorm"].get<double>();
  EXPECT_NEAR(l2Norm(flat) / total, norm, 1e-5 * norm);
  const std::vector<Place> places = placesOf(*s->model());
  EXPECT_EQ(places.size(), expected["packed"]["gradNorms"].size());
  for (const Place& place : places) {
    const std::vector<float> own(flat.begin() + place.offset, flat.begin() + place.offset + place.count);
    const double ownNorm = expected["packed"]["gradNorms"][place.name].get<double>();
    EXPECT_NEAR(l2Norm(own) / total, ownNorm, 1e-4 * ownNorm) << place.name;
    EXPECT_LE(l2Error(sampled(flat, place, most(), static_cast<float>(1 / total)), reference("grad." + place.name)),
              1e-4)
        << place.name;
  }
}

TEST_P(FullReference, TwentyStepsFollowTheReference) {
  const auto s = session(smallOptions(128));
  const std::vector<nlohmann::json> batches = this->batches();
  size_t number = 0;
  for (const auto& step : expected["trajectory"]["steps"]) {
    const auto& batch = batches[number++];
    double loss = 0;
    for (const auto& micro : batch["microBatches"]) {
      std::vector<Document> documents;
      for (const auto& document : micro) documents.push_back(documentOf(document));
      loss += s->forwardBackward(BatchData(documents).view()).loss[0];
    }
    const double total = batch["totalWeight"].get<double>();
    const auto result = s->optimStep(0, paramsFor(total, step["learningRate"].get<float>()));
    EXPECT_NEAR(loss / total, step["loss"].get<double>(), 1e-4) << "step " << number;
    EXPECT_NEAR(result.gradNorm, step["gradNorm"].get<double>(), 3e-4 * step["gradNorm"].get<double>())
        << "step " << number;
  }
  const TempDir folder;
  s->saveState(folder.file("state"));
  const auto state = openSafetensors(folder.file("state"));
  std::vector<float> flat(static_cast<size_t>(FullLayout(s->model()->config()).count));
  state->readRows(*state->find("model.parameters"), 0, 1, flat.data());
  for (const Place& place : placesOf(*s->model()))
    EXPECT_LE(l2Error(sampled(flat, place, most()), reference("final." + place.name)), 2e-3) << place.name;
}

TEST_P(FullTest, PackedIsUnpackedAndMicroBatchesAreOneBatch) {
  const auto s = session();
  const std::vector<Document> documents = f.packedDocuments();
  const double packed = sumOf(s->forwardBackward(BatchData(documents).view()).loss);
  const std::vector<float> gradients = s->gradientsToHost(0);
  s->zeroGradients();
  EXPECT_EQ(maxAbs(s->gradientsToHost(0)), 0);
  double alone = 0;
  for (const Document& document : documents) alone += sumOf(s->forwardBackward(BatchData({document}).view()).loss);
  EXPECT_NEAR(alone, packed, 1e-6 * packed);
  EXPECT_LE(l2Error(s->gradientsToHost(0), gradients), 1e-5);
}

TEST_P(FullTest, RecomputedActivationsAndTwoCallsGiveTheSameBytes) {
  const BatchData batch(f.packedDocuments());
  const auto kept = session();
  std::vector<float> logprobs(batch.tokens.size());
  const double loss = kept->forwardBackward(batch.view(), logprobs).loss[0];
  const std::vector<float> gradients = kept->gradientsToHost(0);
  for (const Recompute level : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
    TrainOptions options = smallOptions();
    options.recompute = level;
    const auto s = session(options);
    EXPECT_EQ(s->forwardBackward(batch.view(), logprobs).loss[0], loss);
    EXPECT_EQ(s->gradientsToHost(0), gradients);
    s->zeroGradients();
    std::vector<float> dLogprobs;
    s->forward(batch.view(), logprobs);
    for (const float weight : batch.weights) dLogprobs.push_back(-weight);
    s->backward(dLogprobs);
    EXPECT_EQ(s->gradientsToHost(0), gradients);
  }
}

TEST_P(FullTest, TheModelHasTheWeightsOfItsSession) {
  const BatchData batch(f.packedDocuments());
  const auto tuned = model();
  std::vector<float> before(batch.tokens.size()), during(before), after(before);
  {
    TrainOptions options = smallOptions();
    options.full = true;
    TrainSession s(tuned, {}, options);
    s.score(batch.view(), before);
    s.forwardBackward(batch.view());
    s.optimStep(0, paramsFor(30, 0.01f));
    s.score(batch.view(), during);
  }
  EXPECT_GT(maxError(during, before), 1e-3);
  BatchData base(f.packedDocuments({-1, -1, -1}));
  TrainSession plain(tuned, {}, smallOptions());
  plain.score(base.view(), after);
  EXPECT_EQ(after, during);
}

TEST_P(FullTest, StateResumesByteForByte) {
  const TempDir folder;
  const BatchData batch(f.packedDocuments());
  const auto step = [&](TrainSession& s) {
    s.forwardBackward(batch.view());
    s.optimStep(0, paramsFor(30, 0.01f));
  };
  const auto straight = session(), before = session(), after = session();
  for (int i = 0; i < 4; ++i) step(*straight);
  straight->saveState(folder.file("straight"));
  for (int i = 0; i < 2; ++i) step(*before);
  before->saveState(folder.file("half"));
  step(*after);  // state that must be overwritten
  after->forwardBackward(batch.view());
  after->loadState(folder.file("half"));
  EXPECT_FALSE(after->gradientsPending());
  EXPECT_EQ(after->stepCount(0), 2);
  for (int i = 0; i < 2; ++i) step(*after);
  after->saveState(folder.file("resumed"));
  EXPECT_EQ(readFile(folder.file("straight")), readFile(folder.file("resumed")));
  const Fixture other(f.family == "llama-tiny" ? "gemma3-tiny" : "llama-tiny");
  TrainOptions options = smallOptions();
  options.full = true;
  TrainSession wrong(loadFixture(other.path("model"), GetParam().backend), {}, options);
  expectError(ErrorCode::kStateMismatch, {"model.layout"}, [&] { wrong.loadState(folder.file("half")); });
}

INSTANTIATE_TEST_SUITE_P(Families, FullTest, ::testing::ValuesIn(familyCases({"llama-tiny", "gemma3-tiny"})),
                         familyCaseName);
INSTANTIATE_TEST_SUITE_P(Families, FullReference,
                         ::testing::ValuesIn(familyCases({"llama-tiny", "gemma3-tiny", "zoo/llama3-scaled",
                                                          "zoo/mistral-window", "zoo/mistral-spm", "zoo/qwen2",
                                                          "zoo/qwen3", "zoo/gemma3-conditional"})),
                         familyCaseName);

class FullEdges : public ::testing::Test {
 protected:
  FullEdges() : f("gemma3-tiny"), model(loadFixture(f.path("model"), backendFactories().front())) {
    options.full = true;
  }
  Fixture f;
  std::shared_ptr<Model> model;
  TrainOptions options = smallOptions();
};

TEST_F(FullEdges, ThreadsDoNotChangeABit) {
  const BatchData batch(f.packedDocuments());
  std::vector<std::vector<float>> gradients;
  for (const int threads : {1, 3}) {
    TrainSession s(Model::load(f.path("model"), std::shared_ptr<Backend>(createCpuBackend(threads)), {}), {}, options);
    s.forwardBackward(batch.view());
    gradients.push_back(s.gradientsToHost(0));
  }
  EXPECT_EQ(gradients[0], gradients[1]);
}

TEST_F(FullEdges, PlanIsWhatIsAllocated) {
  const auto backend = std::make_shared<HostBackend>(createCpuBackend(1));
  const auto hosted = Model::load(f.path("model"), backend, {});
  const size_t before = backend->liveBytes();
  TrainSession s(hosted, {}, options);
  const MemoryPlan plan = TrainSession::plan(hosted->config(), *backend, {}, options, WeightFormat::kF32);
  ASSERT_EQ(plan.size(), s.memory().size());
  size_t planned = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].name, s.memory()[i].name);
    EXPECT_EQ(plan[i].bytes, s.memory()[i].bytes) << plan[i].name;
    if (plan[i].name != "backend" && plan[i].name != "base") planned += plan[i].bytes;
  }
  EXPECT_EQ(backend->liveBytes() - before, planned);
  const uint64_t mark = backend->allocationMark();
  s.forwardBackward(BatchData(f.packedDocuments()).view());
  s.optimStep(0, paramsFor(30, 0.01f));
  EXPECT_EQ(backend->allocationMark(), mark);
}

TEST_F(FullEdges, ASessionHasTheModelToItself) {
  AdapterSpec spec;
  {
    const auto a = Adapter::create(model, spec, 1);
    expectError(ErrorCode::kInvalidArgument, {"in use by 1"}, [&] { TrainSession s(model, {}, options); });
    expectError(ErrorCode::kInvalidArgument, {"takes no adapters"}, [&] { TrainSession s(model, {a}, options); });
  }
  {
    const TrainSession scorer(model, {}, smallOptions());
    expectError(ErrorCode::kInvalidArgument, {"in use by 1"}, [&] { TrainSession s(model, {}, options); });
  }
  {
    const TrainSession s(model, {}, options);
    expectError(ErrorCode::kInvalidArgument, {"tuned in full"}, [&] { Adapter::create(model, spec, 1); });
    expectError(ErrorCode::kInvalidArgument, {"tuned in full"}, [&] { TrainSession second(model, {}, options); });
    expectError(ErrorCode::kInvalidArgument, {"tuned in full"}, [&] { TrainSession t(model, {}, smallOptions()); });
  }
  EXPECT_NE(Adapter::create(model, spec, 1), nullptr) << "the model is free again";
}

TEST_F(FullEdges, WhatCannotBeTunedIsRefused) {
  const auto half = loadFixture(f.path("model"), backendFactories().front(), WeightFormat::kBF16);
  expectError(ErrorCode::kInvalidArgument, {"float32", "f32"}, [&] { TrainSession s(half, {}, options); });
  TrainOptions scoring = options;
  scoring.training = false;
  expectError(ErrorCode::kInvalidArgument, {"full"}, [&] { TrainSession s(model, {}, scoring); });
  TrainSession s(model, {}, options);
  expectError(ErrorCode::kInvalidArgument, {"adapters[1]", "the model itself"}, [&] {
    s.forwardBackward(BatchData(f.packedDocuments({0, -1, 0})).view());
  });
  expectError(ErrorCode::kInvalidArgument, {"number 0"}, [&] { s.optimStep(1, {}); });
}

TEST_F(FullEdges, WeightDecayLeavesNormsAlone) {
  TrainSession s(model, {}, options);
  AdamWParams params;
  params.learningRate = 0.5f;
  params.weightDecay = 1;
  const TempDir folder;
  const auto parameters = [&](const std::string& name) {
    s.saveState(folder.file(name));
    const auto state = openSafetensors(folder.file(name));
    std::vector<float> flat(static_cast<size_t>(FullLayout(model->config()).count));
    state->readRows(*state->find("model.parameters"), 0, 1, flat.data());
    return flat;
  };
  const std::vector<float> before = parameters("before");
  s.optimStep(0, params);  // no gradient: decay alone moves anything
  const std::vector<float> after = parameters("after");
  const auto matrices = static_cast<size_t>(FullLayout(model->config()).matrices);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i], i < matrices ? before[i] * 0.5f : before[i]) << i;
}

}  // namespace
}  // namespace mlit::test
