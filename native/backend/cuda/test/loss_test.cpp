// Cross-entropy on the emulator: log-probabilities against float64, and the gradient, bfloat16 written over the logits it comes from.
#include "backend/cuda/kernels/loss.h"

#include "backend/cuda/test/support.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;

struct LossCase {
  std::vector<float> logits, weights;
  std::vector<int32_t> targets;
  Doubles logprobs, gradients;  // gradients: [n, vocabulary]

  LossCase(int64_t n, int64_t vocabulary, float spread, uint64_t seed)
      : logits(randomFloats(n * vocabulary, seed)), weights(randomFloats(n, seed + 1)) {
    for (float& logit : logits) logit *= spread;
    const auto width = static_cast<size_t>(vocabulary);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      targets.push_back(static_cast<int32_t>(philox(seed, 3, i)[0] % static_cast<uint32_t>(vocabulary)));
      if (i == 0) targets.back() = 0;
      if (i == 1) targets.back() = static_cast<int32_t>(vocabulary - 1);
      const float* row = logits.data() + i * width;
      const double max = *std::max_element(row, row + width);
      double sum = 0;
      for (size_t j = 0; j < width; ++j) sum += std::exp(row[j] - max);
      const auto target = static_cast<size_t>(targets.back());
      logprobs.push_back(row[target] - max - std::log(sum));
      for (size_t j = 0; j < width; ++j) {
        const double p = std::exp(row[j] - max) / sum;
        gradients.push_back(weights[i] * (j == target ? std::expm1(logprobs.back()) : p));
      }
    }
  }
};

// The gradients that lie in the first halves of the rows' bytes.
std::vector<float> gradientsIn(const std::vector<float>& logits, int64_t n, int64_t vocabulary) {
  std::vector<uint16_t> halves(logits.size() * 2);
  std::memcpy(halves.data(), logits.data(), logits.size() * sizeof(float));
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < vocabulary; ++j) {
      values.push_back(bfloat16ToFloat(halves[static_cast<size_t>(i * 2 * vocabulary + j)]));
    }
  }
  return values;
}

// Each to itself, small ones too: a probability of 1e-9 is as exact as one of 0.5. The error of the difference from the maximum,
// 2^-24 of it, is one of the exponential.
void expectEach(const std::vector<float>& got, const Doubles& want, const std::string& name) {
  ASSERT_EQ(got.size(), want.size());
  const auto round = [](double value) { return bfloat16ToFloat(floatToBfloat16(static_cast<float>(value))); };
  size_t different = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = 3e-6 * std::abs(want[i]), a = want[i] - error, b = want[i] + error;
    different += got[i] != round(want[i]);
    ASSERT_TRUE(round(a) <= got[i] && got[i] <= round(b))
        << name << " element " << i << ": got " << got[i] << ", expected " << want[i];
  }
  EXPECT_LE(different, 1 + want.size() / 200) << name;
}

class Loss : public OnDevice {
 protected:
  static void check(int64_t n, int64_t vocabulary, float spread, uint64_t seed) {
    const LossCase c(n, vocabulary, spread, seed);
    DeviceArray<float> logits(c.logits), weights(c.weights), logprobs(static_cast<size_t>(n));
    DeviceArray<int32_t> targets(c.targets);
    cuda::Stream stream;
    const std::string name = std::to_string(n) + "x" + std::to_string(vocabulary);
    cuda::crossEntropy(DevF32(logits.get()), n, vocabulary, DevConstI32(targets.get()), {}, DevF32(logprobs.get()),
                       stream);
    stream.synchronize();
    const std::vector<float> alone = logprobs.read();
    EXPECT_EQ(logits.read(), c.logits) << name << ": without weights logits are left as they are";
    for (size_t i = 0; i < alone.size(); ++i) {
      // The sum is right to 1e-6; the rest is float32's rounding of the differences.
      EXPECT_NEAR(alone[i], c.logprobs[i], 1e-6 + 1.2e-7 * std::abs(c.logprobs[i])) << name << " row " << i;
    }
    cuda::crossEntropy(DevF32(logits.get()), n, vocabulary, DevConstI32(targets.get()), DevConstF32(weights.get()),
                       DevF32(logprobs.get()), stream);
    stream.synchronize();
    EXPECT_EQ(logprobs.read(), alone) << name;
    expectEach(gradientsIn(logits.read(), n, vocabulary), c.gradients, name + " gradient");
  }
};

TEST_F(Loss, AgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t vocabulary : {1, 7, 8, 1000, 4095, 4097, 12296}) {
      begin(seed);
      check(vocabulary > 4000 ? 2 : 4, vocabulary, 8, seed);
    }
  }
}

TEST_F(Loss, OfWholeVocabulariesAgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= seedsOr(5); ++seed) {
    for (const int64_t vocabulary : {50257, 128256}) {
      begin(seed);
      check(1, vocabulary, 12, seed);
    }
  }
  check(2, 262144, 20, 6);
}

TEST_F(Loss, ARowsBitsAreItsOwn) {
  for (const int64_t vocabulary : {1000, 1003}) {
    begin(1);
    const LossCase c(3, vocabulary, 8, 5);
    const auto run = [&](size_t first, size_t count) {
      const auto from = c.logits.begin() + static_cast<std::ptrdiff_t>(first) * vocabulary;
      DeviceArray<float> logits(std::vector<float>(from, from + static_cast<std::ptrdiff_t>(count) * vocabulary));
      DeviceArray<float> weights(std::vector<float>(count, 0.5f)), logprobs(count);
      DeviceArray<int32_t> targets(std::vector<int32_t>(count, 3));
      cuda::Stream stream;
      cuda::crossEntropy(DevF32(logits.get()), static_cast<int64_t>(count), vocabulary, DevConstI32(targets.get()),
                         DevConstF32(weights.get()), DevF32(logprobs.get()), stream);
      stream.synchronize();
      std::vector<float> results = gradientsIn(logits.read(), static_cast<int64_t>(count), vocabulary);
      results.push_back(logprobs.read().back());
      return results;
    };
    const std::vector<float> all = run(0, 3), last = run(2, 1);
    EXPECT_EQ(last, std::vector<float>(all.end() - vocabulary - 1, all.end()));
  }
}

TEST_F(Loss, ExtremesHaveTheirLimits) {
  const float inf = INFINITY, nan = NAN;
  struct {
    std::vector<float> logits;
    float logprob;
  } const cases[] = {
      {{10000, 0, -10000, -inf, 0, 0, 0, 0}, 0},
      {{0, 10000, 0, 0, 0, 0, 0, 0}, -10000},
      {{-1e30f, -1e30f, -inf, -inf, -inf, -inf, -inf, -inf}, std::log(0.5f)},
      {{0, nan, 0, 0, 0, 0, 0, 0}, nan},
      {{0, inf, 0, 0, 0, 0, 0, 0}, nan},
  };
  for (const auto& [values, want] : cases) {
    DeviceArray<float> logits(values), logprobs(size_t{1}), weights(std::vector<float>{1});
    DeviceArray<int32_t> targets(std::vector<int32_t>{0});
    cuda::Stream stream;
    cuda::crossEntropy(DevF32(logits.get()), 1, 8, DevConstI32(targets.get()), DevConstF32(weights.get()),
                       DevF32(logprobs.get()), stream);
    stream.synchronize();
    const float got = logprobs.read()[0], slope = gradientsIn(logits.read(), 1, 8)[0];
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got) && std::isnan(slope));
    } else {
      EXPECT_FLOAT_EQ(got, want);
      EXPECT_FLOAT_EQ(slope, std::expm1(want));
    }
  }
}

}  // namespace
}  // namespace mlit::test
