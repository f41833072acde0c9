// The benchmark as it runs on a card, of a model that is small enough for the emulator: that its report holds what it says.
#include "bench/gpu/bench.h"

#include <cmath>

#include "backend/cuda/test/model_on_card.h"
#include "bench/gpu/documents.h"
#include "bench/gpu/flops.h"
#include "bench/gpu/peak.h"

namespace mlit::test {
namespace {

using nlohmann::json;

class GpuBench : public OnCardAlone {};

bench::Options tinyOptions() {
  bench::Options options;
  options.shape = "tiny";
  options.tokens = 60;
  options.maxLength = 40;
  options.steps = 2;
  options.warmUp = 1;
  options.rank = 4;
  options.rows = 3;
  options.promptTokens = 5;
  options.newTokens = 4;
  options.profile = true;
  options.teraflops = 1e-6;
  return options;
}

double sumOf(const json& values, const char* key) {
  double sum = 0;
  for (const json& value : values) sum += value.at(key).get<double>();
  return sum;
}

TEST_F(GpuBench, ReportsWhatItDid) {
  const bench::Options options = tinyOptions();
  const json report = bench::run(options, [] { return std::make_unique<cuda::CudaBackend>(0, device::cublasLt()); });
  const json& train = report.at("train");
  EXPECT_EQ(train.at("tokens"), options.tokens * options.steps);
  EXPECT_EQ(train.at("losses").size(), 3u);
  for (const json& loss : train.at("losses")) EXPECT_NEAR(loss.get<double>(), std::log(320.0), 1.5);
  const double seconds = train.at("seconds").get<double>();
  EXPECT_NEAR(train.at("tokensPerSecond").get<double>() * seconds, train.at("tokens").get<double>(), 1e-6);
  EXPECT_NEAR(train.at("modelFlopsUtilisation").get<double>() * seconds * 1e6, train.at("flops").get<double>(),
              1e-6 * train.at("flops").get<double>());
  double stepSeconds = 0;
  for (const json& step : train.at("stepSeconds")) stepSeconds += step.get<double>();
  EXPECT_LE(stepSeconds, seconds);
  EXPECT_GT(stepSeconds, 0.5 * seconds);
  EXPECT_EQ(train.at("allocationsInSteps"), 0);
  EXPECT_LE(train.at("waitsPerStep").get<double>(), 2);
  const json& memory = train.at("memory");
  double planned = 0;
  for (const json& bytes : memory.at("plan")) planned += bytes.get<double>();
  EXPECT_EQ(memory.at("plannedBytes").get<double>(), planned);
  EXPECT_EQ(memory.at("runtimePeakBytes"), memory.at("plannedBytes"));
  EXPECT_GE(memory.at("driverBytes").get<double>(), 0.99 * planned);

  const json& phases = train.at("profile").at("phases");
  ASSERT_EQ(phases.size(), 4u) << phases;
  for (const char* phase : {"forward", "loss", "backward", "optimiser"}) EXPECT_TRUE(phases.contains(phase)) << phase;
  const json& ops = train.at("profile").at("ops");
  EXPECT_EQ(ops.at("attentionForward").at("calls"), 3) << "one a layer";
  EXPECT_EQ(ops.at("attentionBackward").at("calls"), 3);
  EXPECT_EQ(ops.at("adamW").at("calls"), 1);
  EXPECT_LE(sumOf(ops, "seconds"), sumOf(phases, "seconds"));

  const json& sample = report.at("sample");
  EXPECT_EQ(sample.at("newTokens"), options.rows * options.newTokens);
  EXPECT_LE(sample.at("firstTokenSeconds"), sample.at("promptSeconds"));
  EXPECT_LE(sample.at("promptSeconds"), sample.at("seconds"));
  EXPECT_TRUE(sample.at("profile").at("phases").contains("sampling"));
  EXPECT_GT(sample.at("profile").at("ops").at("attentionCached").at("calls"), 0);
  EXPECT_EQ(report.at("peak").at("source"), "the command line");
}

TEST(GpuBenchDocuments, FillAStepAndTeachTheNextToken) {
  const bench::Documents d(1000, 200, 50, 3);
  ASSERT_EQ(d.tokens.size(), 1000u);
  int64_t targets = 0, tokens = 0;
  for (const bench::Lengths& document : d.lengths) {
    EXPECT_LE(document.tokens, 201);
    EXPECT_GT(document.supervised, 0);
    tokens += document.tokens;
  }
  EXPECT_EQ(tokens, 1000);
  for (size_t i = 0; i < d.targets.size(); ++i) {
    if (d.targets[i] < 0) continue;
    ++targets;
    EXPECT_EQ(d.targets[i], d.tokens[i + 1]);
    EXPECT_EQ(d.positions[i + 1], d.positions[i] + 1) << "the next token is of the same document";
  }
  EXPECT_EQ(targets, d.supervised());
}

// By hand: two layers of d = 4, f = 8, two heads of 2, one of keys; a vocabulary of 10; one document of 3 tokens, 2 supervised.
TEST(GpuBenchFlops, AreThoseOfTheProducts) {
  ModelConfig c;
  c.layers = 2, c.hidden = 4, c.feedForward = 8, c.heads = 2, c.kvHeads = 1, c.headDim = 2, c.vocabulary = 10;
  c.tiedHead = true;
  const double qkv = 2 * (2 * 4 * 8), qkvLora = 6 * ((4 + 4) + (4 + 2) + (4 + 2));
  const double tail = 2 * 2 * (4 * 4 + 3 * 4 * 8), tailLora = 6 * ((4 + 4) + 3 * (4 + 8));
  const double body = 3 * (2 * (qkv + qkvLora) - qkv / 2) + (3 + 2) * (tail + tailLora);
  const double attention = 2 * 6 * 4 * 2 * 6, head = 2 * 4 * 10 * 4;
  const bench::Lengths documents[] = {{3, 2}};
  EXPECT_EQ(bench::trainingFlops(c, 1, documents), body + attention + head);
  EXPECT_EQ(bench::parameterCount(c), 10 * 4 + 2 * (4 * 8 + 4 * 4 + 3 * 4 * 8));
}

TEST(GpuBenchShapes, HaveTheSizesOfTheirModels) {
  const auto parameters = [](const char* name) {
    return bench::parameterCount(bench::configOf(bench::findShape(name)));
  };
  // As the models' cards say, norms and biases aside.
  EXPECT_NEAR(static_cast<double>(parameters("gemma-3-270m")), 268.1e6, 0.1e6);
  EXPECT_NEAR(static_cast<double>(parameters("qwen3-0.6b")), 596.0e6, 0.2e6);
  EXPECT_NEAR(static_cast<double>(parameters("qwen3-8b")), 8.19e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(parameters("llama-3.1-8b")), 8.03e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-7b")), 7.25e9, 0.01e9);
  for (const bench::Shape& shape : bench::shapes()) EXPECT_NO_THROW(bench::configOf(shape)) << shape.name;
}

TEST(GpuBenchPeak, KnowsCardsByTheirDriversNames) {
  const auto name = [](const char* driver, uint64_t gib) -> std::string {
    const cuda::Card* card = bench::cardOfName(driver, gib << 30);
    return card == nullptr ? "" : card->name;
  };
  EXPECT_EQ(name("NVIDIA A100-SXM4-80GB", 80), "a100-80gb");
  EXPECT_EQ(name("NVIDIA A100-PCIE-40GB", 40), "a100-40gb");
  EXPECT_EQ(name("NVIDIA H100 80GB HBM3", 80), "h100-80gb");
  EXPECT_EQ(name("NVIDIA H200", 140), "h200-141gb");
  EXPECT_EQ(name("NVIDIA L4", 22), "l4-24gb");
  EXPECT_EQ(name("NVIDIA L40S", 45), "l40s-48gb");
  EXPECT_EQ(name("NVIDIA GeForce RTX 4090", 24), "rtx-4090-24gb");
  EXPECT_EQ(name("NVIDIA RTX A6000", 48), "rtx-a6000-48gb");
  EXPECT_EQ(name("NVIDIA H100 PCIe", 80), "");
  EXPECT_EQ(name("NVIDIA GeForce RTX 3090 Ti", 24), "");
  EXPECT_EQ(name("NVIDIA GeForce RTX 4090 Laptop GPU", 16), "");
  EXPECT_EQ(name("NVIDIA GeForce RTX 2080", 8), "");
}

}  // namespace
}  // namespace mlit::test
