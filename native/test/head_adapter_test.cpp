// A LoRA on the output head, of its own or tied to the embedding: against peft in training, scoring and sampling, and against
// adapters that lack it. A head that were skipped in silence would show in every one of these.
#include <algorithm>

#include "export/safetensors_folder.h"
#include "model_backends.h"
#include "model_support.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

constexpr auto kHeadTarget = static_cast<size_t>(Projection::kHead);

class HeadAdapter : public ::testing::TestWithParam<FamilyCase> {
 protected:
  HeadAdapter()
      : base(GetParam().name),
        f("lora/" + GetParam().name),
        model(loadFixture(base.path("model"), GetParam().backend)) {}
  // Without the dropout that its file asks for.
  std::shared_ptr<Adapter> withHead() const {
    const auto loaded = Adapter::load(model, f.path("adapter"));
    AdapterSpec spec = loaded->layout().spec();
    spec.dropout = 0;
    auto adapter = Adapter::create(model, spec, 0);
    adapter->fromHost(loaded->toHost());
    return adapter;
  }

  Fixture base, f;  // the checkpoint's family; the adapter with a head
  std::shared_ptr<Model> model;
};

// A request's tokens with their log-probabilities, by its id.
std::map<int64_t, std::vector<std::pair<int32_t, float>>> runToEnd(SampleEngine& engine) {
  std::map<int64_t, std::vector<std::pair<int32_t, float>>> results;
  while (!engine.idle()) {
    for (const SampleEvent& event : engine.step()) results[event.id].emplace_back(event.token, event.logprob);
  }
  return results;
}

SampleRequest requestOf(int64_t id, const std::vector<int32_t>& prompt, int32_t count, int32_t adapter) {
  SampleRequest r;
  r.id = id;
  r.prompt = prompt;
  r.maxNewTokens = count;
  r.adapter = adapter;
  return r;
}

TEST_P(HeadAdapter, LogitsLossesAndGradientsAreThoseOfPeft) {
  const auto adapter = withHead();
  ASSERT_TRUE(adapter->layout().spec().targets[kHeadTarget]);
  TrainSession s(model, {adapter}, smallOptions());
  BatchData sequence({plainDocument(base.sequence("s23"))});
  std::vector<float> logits = f.tensor("logits.s23");
  logits.resize(logits.size() - static_cast<size_t>(model->config().vocabulary));  // the last row has no target
  EXPECT_LE(maxError(s.logitsToHost(sequence.view()), logits), 1e-5);

  const BatchData batch(base.packedDocuments());
  std::vector<float> logprobs(batch.tokens.size());
  const double total = base.expected["packed"]["totalWeight"].get<double>();
  EXPECT_NEAR(s.forwardBackward(batch.view(), logprobs).loss[0] / total, f.expected["plain"]["loss"].get<double>(),
              1e-5);
  const std::vector<float> gradients = s.gradientsToHost(0);
  EXPECT_NEAR(l2Norm(gradients) / total, f.expected["plain"]["gradNorm"].get<double>(),
              1e-4 * f.expected["plain"]["gradNorm"].get<double>());
  EXPECT_LE(worstFactorError(f, "plain.grad.", adapter->layout(), gradients, static_cast<float>(1 / total)), 1e-4);
  for (size_t document = 0; document < 3; ++document) {
    const std::vector<float> reference = f.tensor("plain.logprobs." + std::to_string(document));
    std::vector<float> found(reference.size(), 0.0f);
    for (size_t i = 1; i < found.size(); ++i)
      found[i] = logprobs[static_cast<size_t>(batch.cuSeqlens[document]) + i - 1];
    EXPECT_LE(maxError(found, reference), 1e-5) << "document " << document;
  }
}

TEST_P(HeadAdapter, ItsGradientsDoNotDependOnTheChunksOfLogits) {
  const BatchData batch(base.packedDocuments());
  std::vector<std::vector<float>> gradients;
  for (const int64_t rows : {1, 5, 64}) {
    TrainSession s(model, {withHead()}, smallOptions(64, rows, model->config().vocabulary));
    s.forwardBackward(batch.view());
    gradients.push_back(s.gradientsToHost(0));
  }
  EXPECT_LE(l2Error(gradients[0], gradients[2]), 1e-6);
  EXPECT_LE(l2Error(gradients[1], gradients[2]), 1e-6);
}

// With another adapter, the bare base and itself in one batch; chunks of 7 rows begin where an adapter's rows do, as they do alone.
TEST_P(HeadAdapter, InABatchOfSeveralItIsAsAlone) {
  const auto plain = [&] { return Adapter::load(model, base.path("adapter")); };
  const BatchData batch(base.packedDocuments({1, 0, -1}));
  TrainSession both(model, {withHead(), plain()}, smallOptions());
  const std::vector<double> loss = both.forwardBackward(batch.view()).loss;
  for (const int32_t i : {0, 1}) {
    TrainSession alone(model, {i == 0 ? withHead() : plain()}, smallOptions());
    const Document document = base.packedDocuments()[i == 0 ? 1 : 0];
    EXPECT_EQ(alone.forwardBackward(BatchData({document}).view()).loss[0], loss[static_cast<size_t>(i)]);
    EXPECT_EQ(both.gradientsToHost(i), alone.gradientsToHost(0));
  }
}

TEST_P(HeadAdapter, OfTheHeadAloneHasTheGradientsOfTheFullOne) {
  const auto full = withHead();
  std::vector<float> masked = full->toHost();
  const AdapterSlot& head = full->layout().slots().back();
  ASSERT_EQ(head.projection, Projection::kHead);
  for (const AdapterSlot& slot : full->layout().slots()) {
    if (slot.projection != Projection::kHead)
      std::fill_n(masked.begin() + slot.bOffset, int64_t{full->layout().spec().rank} * slot.out, 0.0f);
  }
  full->fromHost(masked);
  AdapterSpec spec = full->layout().spec();
  spec.targets.fill(false);
  spec.targets[kHeadTarget] = true;
  const auto alone = Adapter::create(model, spec, 1);
  EXPECT_TRUE(alone->layout().onlyHead());
  EXPECT_FALSE(full->layout().onlyHead());
  alone->fromHost({masked.begin() + head.aOffset, masked.end()});
  const BatchData batch(base.packedDocuments());
  TrainSession a(model, {full}, smallOptions()), b(model, {alone}, smallOptions());
  EXPECT_EQ(a.forwardBackward(batch.view()).loss, b.forwardBackward(batch.view()).loss);
  const std::vector<float> gradients = a.gradientsToHost(0);
  EXPECT_EQ(b.gradientsToHost(0), std::vector<float>(gradients.begin() + head.aOffset, gradients.end()));
  EXPECT_GT(maxAbs(b.gradientsToHost(0)), 0);
}

TEST_P(HeadAdapter, GreedyTextIsThatOfPeft) {
  SampleEngine engine(model, {withHead()}, {.maxRows = 4, .cacheTokens = 512});
  const auto& greedy = f.expected["greedy"];
  for (size_t i = 0; i < greedy.size(); ++i)
    engine.submit(requestOf(static_cast<int64_t>(i), greedy[i]["prompt"], 24, 0));
  const auto results = runToEnd(engine);
  int64_t compared = 0;
  for (size_t i = 0; i < greedy.size(); ++i) {
    const std::vector<int32_t> expected = greedy[i]["tokens"];
    const std::vector<double> margins = greedy[i]["margins"];
    for (size_t t = 0; t < expected.size() && margins[t] > 1e-3; ++t, ++compared)
      ASSERT_EQ(results.at(static_cast<int64_t>(i))[t].first, expected[t]) << "prompt " << i << " token " << t;
  }
  EXPECT_GT(compared, 24);
}

// 40 rows at once: more than one chunk of logits, whose border falls inside a run of rows of one adapter.
TEST_P(HeadAdapter, SampledBesideOthersItsBitsAreThoseAlone) {
  const std::vector<std::shared_ptr<Adapter>> adapters = {withHead(), Adapter::load(model, base.path("adapter"))};
  const auto some = [&](int32_t i) { return requestOf(i, {3 + i, 5, 40 + i}, 3, i % 3 - 1); };
  SampleEngine together(model, adapters, {.maxRows = 40, .cacheTokens = 40 * kKvPageTokens});
  for (int32_t i = 0; i < 40; ++i) together.submit(some(i));
  const auto results = runToEnd(together);
  SampleEngine engine(model, adapters, {.maxRows = 1, .cacheTokens = kKvPageTokens});
  for (int32_t i = 0; i < 40; i += 7) {
    engine.submit(some(i));
    EXPECT_EQ(runToEnd(engine).at(i), results.at(i)) << i;
  }
}

// The head's gradients are summed before anybody knows whether the loss is a number.
TEST_P(HeadAdapter, ALossThatIsNoNumberLeavesNoGradientBehind) {
  const auto adapter = withHead();
  TrainSession session(model, {adapter}, smallOptions());
  const BatchData batch(base.packedDocuments());
  session.forwardBackward(batch.view());
  const std::vector<float> good = adapter->toHost(), gradients = session.gradientsToHost(0);
  std::vector<float> bad = good;
  bad[0] = std::numeric_limits<float>::quiet_NaN();
  session.zeroGradients();
  adapter->fromHost(bad);
  expectError(ErrorCode::kNotFinite, {"row"}, [&] { session.forwardBackward(batch.view()); });
  adapter->fromHost(good);
  session.forwardBackward(batch.view());
  EXPECT_EQ(session.gradientsToHost(0), gradients);
}

INSTANTIATE_TEST_SUITE_P(Families, HeadAdapter, ::testing::ValuesIn(familyCases({"llama-tiny", "gemma3-tiny"})),
                         familyCaseName);

class HeadAdapterFiles : public ::testing::Test {
 protected:
  const std::string peft = fixture("lora/llama-tiny/adapter");
  std::shared_ptr<Model> model = loadFixture(fixture("llama-tiny/model"), backendFactories().front());
};

TEST_F(HeadAdapterFiles, RoundTripWithoutTheCopyOfTheFrozenHead) {
  const TempDir folder;
  const auto adapter = Adapter::load(model, peft);
  adapter->save(folder.file("a"), "some/base");
  const auto written = openSafetensors(folder.file("a/adapter_model.safetensors"));
  EXPECT_NE(openSafetensors(peft + "/adapter_model.safetensors")->find(peftHeadCopy("model.")), nullptr);
  EXPECT_EQ(written->find(peftHeadCopy("model.")), nullptr);
  EXPECT_NE(written->find("base_model.model.lm_head.lora_A.weight"), nullptr);
  const auto again = Adapter::load(model, folder.file("a"));
  EXPECT_EQ(again->toHost(), adapter->toHost());
  EXPECT_EQ(again->layout().spec().dropout, 0.25);
  EXPECT_EQ(readJsonFile(folder.file("a/adapter_config.json")).root()["target_modules"].back(), "lm_head");
}

TEST_F(HeadAdapterFiles, ACopyOfAnotherVocabularyIsRefused) {
  const TempDir folder;
  const auto source = openSafetensors(peft + "/adapter_model.safetensors");
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : source->tensors()) {
    Shape shape = info.shape;
    if (info.name == peftHeadCopy("model.")) shape[0] -= 1;
    source->readRows(info, 0, shape[0], values.emplace_back(static_cast<size_t>(elementCount(shape))).data());
    tensors.push_back({info.name, DType::kF32, shape, values.back().data()});
  }
  writeSafetensors(folder.file("adapter_model.safetensors"), tensors, {{"format", "pt"}});
  writeFile(folder.file("adapter_config.json"), readFile(peft + "/adapter_config.json"));
  expectError(ErrorCode::kTensorMismatch, {"lm_head.base_layer.weight", "[368, 64]", "[369, 64]"},
              [&] { Adapter::load(model, folder.path().string()); });
}

TEST_F(HeadAdapterFiles, MergedItHasAHeadOfItsOwnAndTheSameLogits) {
  for (const std::string family : {"llama-tiny", "gemma3-tiny"}) {
    SCOPED_TRACE(family);
    const TempDir folder;
    const Fixture base(family), f("lora/" + family);
    ThreadPool pool(1);
    const auto rows = checkpointRows(base.path("model"), pool);
    const HostAdapter adapter = readPeftAdapter(rows->config(), f.path("adapter"));
    SafetensorsExport options;
    options.folder = folder.path().string();
    options.shardBytes = uint64_t{1} << 30;
    options.adapter = &adapter;
    const bool tied = rows->config().tiedHead;
    EXPECT_EQ(exportSafetensors(*rows, options, pool, {}).untied, tied);
    nlohmann::json config = readJsonFile(base.path("model/config.json"));
    config["tie_word_embeddings"] = false;
    writeFile(folder.file("config.json"), config.dump());
    const auto merged = loadFixture(folder.path().string(), backendFactories().front());
    TrainSession s(merged, {}, smallOptions());
    std::vector<float> logits = f.tensor("logits.s23");
    logits.resize(logits.size() - static_cast<size_t>(merged->config().vocabulary));
    EXPECT_LE(maxError(s.logitsToHost(BatchData({plainDocument(base.sequence("s23"), -1)}).view()), logits), 1e-5);
  }
}

TEST_F(HeadAdapterFiles, TheHeadIsNoPartOfAllLinear) {
  EXPECT_FALSE(AdapterSpec().targets[kHeadTarget]);
  const TempDir folder;
  nlohmann::json config = readJsonFile(peft + "/adapter_config.json");
  config["target_modules"] = "all-linear";
  writeFile(folder.file("adapter_config.json"), config.dump());
  EXPECT_EQ(readPeftConfig(folder.path().string()).spec.targets, AdapterSpec().targets);
  config["ensure_weight_tying"] = true;
  writeFile(folder.file("adapter_config.json"), config.dump());
  expectError(ErrorCode::kModelUnsupported, {"ensure_weight_tying"}, [&] { readPeftConfig(folder.path().string()); });
}

}  // namespace
}  // namespace mlit::test
