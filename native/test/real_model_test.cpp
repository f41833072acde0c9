// The real Gemma 3 270M against transformers + peft: every token's log-probability, windows passed and not, gradients and
// three steps of an adapter made by formula. The weights are not in the repository: without them these tests are skipped.
#include <cstdlib>

#include "model_support.h"

namespace mlit::test {
namespace {

std::string realModelPath() {
  if (const char* given = std::getenv("MLIT_TEST_MODEL")) return given;
  const auto environment = [](const char* name) { return std::string(std::getenv(name) ? std::getenv(name) : ""); };
  std::string cache = environment("MLIT_CACHE");
  if (cache.empty()) {
    cache = environment("XDG_CACHE_HOME");
    if (cache.empty()) cache = environment("HOME") + "/.cache";
    cache += "/mlit";
  }
  return cache + "/models/gemma-3-270m-q4_k_m.gguf";
}

// The adapter of the reference (its formula is in test/fixtures/README.md): a value depends on module, factor, row, column.
float formulaValue(uint32_t module, uint32_t factor, uint32_t row, uint32_t column, double bound) {
  uint32_t x = (2 * module + factor) * 0x9E3779B1u + row * 0x85EBCA77u + column * 0xC2B2AE3Du;
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  x ^= x >> 16;
  return static_cast<float>((2.0 * (x >> 8) / 16777216.0 - 1.0) * bound);
}

std::shared_ptr<Adapter> formulaAdapter(const std::shared_ptr<Model>& model, const nlohmann::json& description) {
  AdapterSpec spec;
  spec.rank = description["r"].get<int32_t>();
  spec.alpha = description["alpha"].get<float>();
  auto adapter = Adapter::create(model, spec, 0);
  std::vector<float> flat(static_cast<size_t>(adapter->layout().parameterCount()));
  for (const AdapterSlot& slot : adapter->layout().slots()) {
    const auto module = static_cast<uint32_t>(slot.layer * kLayerProjections + static_cast<int>(slot.projection));
    const double boundA = 1 / std::sqrt(static_cast<double>(slot.in)), boundB = description["boundB"].get<double>();
    for (int32_t r = 0; r < spec.rank; ++r) {
      for (int32_t c = 0; c < slot.in; ++c) {
        flat[static_cast<size_t>(slot.aOffset + int64_t{r} * slot.in + c)] =
            formulaValue(module, 0, static_cast<uint32_t>(r), static_cast<uint32_t>(c), boundA);
      }
      for (int32_t o = 0; o < slot.out; ++o) {
        flat[static_cast<size_t>(slot.bOffset + int64_t{r} * slot.out + o)] =
            formulaValue(module, 1, static_cast<uint32_t>(o), static_cast<uint32_t>(r), boundB);
      }
    }
  }
  adapter->fromHost(flat);
  return adapter;
}

class RealModel : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = realModelPath();
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << "the real model is not at " << path << " (mlit pull gemma-3-270m, or set MLIT_TEST_MODEL)";
    }
    expected = readJsonFile(fixture("gemma-3-270m.json"));
    if (!shared) shared = Model::load(path, std::shared_ptr<Backend>(createCpuBackend(0)), {});
    model = shared;
  }
  static void TearDownTestSuite() { shared.reset(); }

  std::vector<Document> packedDocuments() const {
    std::vector<Document> documents;
    for (const auto& json : expected["packed"]["documents"]) documents.push_back(documentOf(json));
    return documents;
  }
  TrainOptions options(int64_t tokens) const {
    TrainOptions o;
    o.maxTokens = tokens;
    o.logitsBytes = size_t{64} << 20;
    return o;
  }

  nlohmann::json expected;
  std::shared_ptr<Model> model;
  static std::shared_ptr<Model> shared;
};

std::shared_ptr<Model> RealModel::shared;

TEST_F(RealModel, EveryTokensLogProbabilityIsTheReferences) {
  TrainOptions scoring = options(1500);
  scoring.training = false;
  TrainSession s(model, {}, scoring);
  for (const auto& text : expected["texts"]) {
    SCOPED_TRACE(text["name"].get<std::string>());
    const BatchData batch({plainDocument(text["tokens"].get<std::vector<int32_t>>(), -1)});
    std::vector<float> logprobs(batch.tokens.size());
    const StepSums sums = s.score(batch.view(), logprobs);
    EXPECT_NEAR(sums.loss[0], text["nll"].get<double>(), 1e-5 * text["nll"].get<double>());
    double worst = 0;
    for (size_t i = 1; i < batch.tokens.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(logprobs[i - 1]) - text["logprobs"][i].get<double>()));
    }
    RecordProperty("worst_" + text["name"].get<std::string>(), std::to_string(worst));
    EXPECT_LE(worst, 2e-4);
  }
}

TEST_F(RealModel, GradientsAreThoseOfPeft) {
  const auto adapter = formulaAdapter(model, expected["adapter"]);
  TrainSession s(model, {adapter}, options(256));
  const auto& packed = expected["packed"];
  const double total = packed["totalWeight"].get<double>();
  const StepSums sums = s.forwardBackward(BatchData(packedDocuments()).view());
  EXPECT_NEAR(sums.loss[0] / total, packed["loss"].get<double>(), 1e-5 * packed["loss"].get<double>());
  std::vector<float> gradients = s.gradientsToHost(0);
  for (float& gradient : gradients) gradient = static_cast<float>(gradient / total);
  EXPECT_NEAR(l2Norm(gradients), packed["gradNorm"].get<double>(), 1e-4 * packed["gradNorm"].get<double>());
  std::map<std::string, std::pair<std::vector<float>, int64_t>> factors;  // values and columns
  for (const AdapterSlot& slot : adapter->layout().slots()) {
    const int64_t rank = adapter->layout().spec().rank;
    factors[keyOf(slot, 'A')] = {factorOf(adapter->layout(), gradients, slot, 'A'), slot.in};
    factors[keyOf(slot, 'B')] = {factorOf(adapter->layout(), gradients, slot, 'B'), rank};
  }
  ASSERT_EQ(packed["modules"].size(), factors.size());
  for (const auto& module : packed["modules"]) {
    const double norm = module["norm"].get<double>();
    EXPECT_NEAR(l2Norm(factors.at(module["key"].get<std::string>()).first), norm, 1e-4 * norm) << module["key"];
  }
  for (const auto& sample : packed["samples"]) {
    const auto& [values, columns] = factors.at(sample["key"].get<std::string>());
    const double found = static_cast<double>(
        values[static_cast<size_t>(sample["row"].get<int64_t>() * columns + sample["col"].get<int64_t>())]);
    const double largest = maxAbs(values);
    EXPECT_NEAR(found, sample["value"].get<double>(), 1e-4 * largest) << sample["key"];
  }
}

TEST_F(RealModel, ThreeStepsFollowTheReference) {
  const auto& trajectory = expected["trajectory"];
  const auto adapter = formulaAdapter(model, expected["adapter"]);
  TrainSession s(model, {adapter}, options(256));
  const BatchData batch(packedDocuments());
  for (const auto& step : trajectory["steps"]) {
    AdamWParams params;
    params.learningRate = step["learningRate"].get<float>();
    params.weightDecay = trajectory["weightDecay"].get<float>();
    params.maxGradNorm = trajectory["maxGradNorm"].get<float>();
    const double total = step["totalWeight"].get<double>();
    params.gradScale = static_cast<float>(1 / total);
    EXPECT_NEAR(s.forwardBackward(batch.view()).loss[0] / total, step["loss"].get<double>(), 1e-4) << step["step"];
    EXPECT_NEAR(s.optimStep(0, params).gradNorm, step["gradNorm"].get<double>(), 1e-3 * step["gradNorm"].get<double>())
        << step["step"];
  }
}

}  // namespace
}  // namespace mlit::test
