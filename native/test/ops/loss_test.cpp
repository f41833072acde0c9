// Cross-entropy at the edges of what logits can be: huge, all equal, NaN, a vocabulary of one and one of 262,144.
#include "test/op_support.h"

namespace mlit::test {
namespace {

class LossTest : public OpTest {};

struct LossReference {
  LossReference(const Doubles& logits, int64_t n, int64_t vocabulary, const std::vector<int32_t>& targets,
                const std::vector<float>& weights)
      : gradient(logits.size()) {
    for (int64_t i = 0; i < n; ++i) {
      const auto row = logits.begin() + i * vocabulary;
      const double top = *std::max_element(row, row + vocabulary);
      double sum = 0;
      for (int64_t j = 0; j < vocabulary; ++j) sum += std::exp(row[j] - top);
      const int32_t target = targets[static_cast<size_t>(i)];
      logprobs.push_back(row[target] - top - std::log(sum));
      for (int64_t j = 0; j < vocabulary; ++j) {
        const double p = std::exp(row[j] - top) / sum;
        const double slope = j == target ? std::expm1(logprobs.back()) : p;
        gradient[static_cast<size_t>(i * vocabulary + j)] =
            static_cast<double>(weights[static_cast<size_t>(i)]) * slope;
      }
    }
  }
  Doubles logprobs, gradient;
};

// The gradients of the type that lie at the rows' beginnings.
std::vector<float> gradientIn(ElementType type, const std::vector<float>& logits, int64_t n, int64_t vocabulary) {
  if (type == ElementType::kF32) return logits;
  std::vector<uint16_t> halves(logits.size() * 2);
  std::memcpy(halves.data(), logits.data(), logits.size() * sizeof(float));
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < vocabulary; ++j)
      values.push_back(bfloat16ToFloat(halves[static_cast<size_t>(i * 2 * vocabulary + j)]));
  }
  return values;
}

void check(Backend& backend, const std::vector<float>& logits, int64_t n, int64_t vocabulary, const std::string& name) {
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < n; ++i) targets.push_back(static_cast<int32_t>((i * 7919 + vocabulary / 2) % vocabulary));
  const std::vector<float> weights = randomFloats(n, 3);
  const LossReference want(toDoubles(logits), n, vocabulary, targets, weights);
  DeviceFloats device(backend, logits), w(backend, weights), logprobs(backend, n, kPoison);
  DeviceArray<int32_t> t(backend, targets);
  backend.crossEntropy(device.ptr(), n, vocabulary, t.ptr(), {}, logprobs.ptr());
  expectClose(logprobs.read(), want.logprobs, 1e-6, name + " logprobs", 0.1);
  expectSameBytes(device.read(), logits, name + " logits left alone");
  DeviceFloats again(backend, n, kPoison);
  backend.crossEntropy(device.ptr(), n, vocabulary, t.ptr(), w.ptr(), again.ptr());
  expectSameBytes(again.read(), logprobs.read(), name + " logprobs with a gradient");
  const std::vector<float> gradient = gradientIn(backend.activationType(), device.read(), n, vocabulary);
  for (size_t i = 0; i < gradient.size(); ++i) {
    // What is below the smallest normal float may come out as 0.
    const double error = 2e-6 * std::abs(want.gradient[i]) + 1.2e-38;
    const auto bound = [&](double value) { return rounded(backend.activationType(), static_cast<float>(value)); };
    ASSERT_GE(gradient[i], bound(want.gradient[i] - error)) << name << " element " << i;
    ASSERT_LE(gradient[i], bound(want.gradient[i] + error)) << name << " element " << i;
  }
}

TEST_P(LossTest, MatchesTheReference) {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {3, 2}, {5, 17}, {2, 2048}, {3, 2049}, {7, 5003}, {1, 32000}};
  forEach(shapes, [&](const auto& shape) {
    const auto& [n, vocabulary] = shape;
    check(backend(), scaled(randomFloats(n * vocabulary, 1), 12), n, vocabulary,
          "vocabulary " + std::to_string(vocabulary));
  });
}

TEST_P(LossTest, LargestVocabulary) { check(backend(), scaled(randomFloats(262144, 2), 8), 1, 262144, "262144"); }

TEST_P(LossTest, ExtremeLogits) {
  const int64_t vocabulary = 4099;
  check(backend(), std::vector<float>(static_cast<size_t>(vocabulary), 3.25f), 1, vocabulary, "all equal");
  check(backend(), std::vector<float>(static_cast<size_t>(vocabulary), -1e4f), 1, vocabulary, "all -1e4");
  check(backend(), scaled(randomFloats(2 * vocabulary, 4), 3, 1e4f), 2, vocabulary, "around 1e4");
  std::vector<float> logits = scaled(randomFloats(2 * vocabulary, 5), 1e4f);
  check(backend(), logits, 2, vocabulary, "within ±1e4");
  logits[static_cast<size_t>(vocabulary) - 1] = 1e4f;  // a new maximum in the last block
  logits[static_cast<size_t>(vocabulary)] = 1e4f;      // and one in the first
  check(backend(), logits, 2, vocabulary, "a single peak");
}

TEST_P(LossTest, NotANumberIsSeen) {
  for (const int64_t vocabulary : {1, 5, 40, 4099}) {
    for (const int64_t at : {int64_t{0}, vocabulary / 2, vocabulary - 1}) {
      std::vector<float> logits = randomFloats(2 * vocabulary, 6);
      logits[static_cast<size_t>(vocabulary + at)] = kPoison;
      DeviceFloats device(backend(), logits), logprobs(backend(), 2, 0.0f);
      DeviceArray<int32_t> targets(backend(), std::vector<int32_t>{0, 0});
      backend().crossEntropy(device.ptr(), 2, vocabulary, targets.ptr(), {}, logprobs.ptr());
      const std::vector<float> got = logprobs.read();
      EXPECT_TRUE(std::isfinite(got[0])) << "the row beside it";
      EXPECT_TRUE(std::isnan(got[1])) << "vocabulary " << vocabulary << ", NaN at " << at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LossTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
