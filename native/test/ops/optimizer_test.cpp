// AdamW for twenty steps against the same recurrence in float64, clipping and scaling included, and the norm it reads.
#include "test/op_support.h"

namespace mlit::test {
namespace {

class OptimizerTest : public OpTest {};

TEST_P(OptimizerTest, SumSquares) {
  const std::vector<int64_t> few = {1, 3, 16, 4095, 4097, 9001}, many = {1, 3, 16, 65535, 65536, 65537, 200001};
  forEach(emulated() ? few : many, [&](int64_t n) {
    const std::vector<float> x = scaled(randomFloats(n, 1), 2);
    double want = 0;
    for (const float value : x) want += static_cast<double>(value) * static_cast<double>(value);
    DeviceFloats device(backend(), x), out(backend(), 1, kPoison);
    backend().sumSquares(device.ptr(), n, out.ptr());
    expectClose(out.read(), {want}, 1e-7, "sum of " + std::to_string(n));
  });
}

TEST_P(OptimizerTest, TwentySteps) {
  std::vector<std::pair<int64_t, float>> cases;
  for (const int64_t n : {1, 17, 1000, 40001}) {
    for (const float maxNorm : {0.0f, 0.5f, 1e9f}) {
      if (!emulated() || n < 1000) cases.emplace_back(n, maxNorm);
    }
  }
  forEach(cases, [&](const auto& c) {
    const auto& [n, maxNorm] = c;
    const std::vector<float> start = randomFloats(n, 2);
    DeviceFloats parameters(backend(), start), m(backend(), n, 0.0f), v(backend(), n, 0.0f),
        squares(backend(), 1, kPoison);
    Doubles p = toDoubles(start), first(p.size(), 0), second(p.size(), 0);
    for (int64_t step = 1; step <= 20; ++step) {
      const std::vector<float> gradient = scaled(randomFloats(n, 100 + static_cast<uint64_t>(step)), 30);
      AdamWParams params;
      params.learningRate = 0.01f / static_cast<float>(step);
      params.weightDecay = 0.1f;
      params.maxGradNorm = maxNorm;
      params.gradScale = 1.0f / 64;
      params.step = step;
      DeviceFloats g(backend(), gradient);
      backend().sumSquares(g.ptr(), n, squares.ptr());
      backend().adamW(parameters.ptr(), g.ptr(), m.ptr(), v.ptr(), n, squares.ptr(), params);
      expectSameBytes(g.read(), gradient, "gradients are left alone");

      double norm = 0;
      for (const float value : gradient) norm += static_cast<double>(value) * static_cast<double>(value);
      norm = std::sqrt(norm) / 64;
      const double clip = maxNorm > 0 ? std::min(1.0, static_cast<double>(maxNorm) / (norm + 1e-6)) : 1;
      const double rate = static_cast<double>(params.learningRate), beta1 = static_cast<double>(params.beta1);
      const double beta2 = static_cast<double>(params.beta2);
      for (size_t i = 0; i < p.size(); ++i) {
        const double scaledGradient = static_cast<double>(gradient[i]) / 64 * clip;
        p[i] -= rate * static_cast<double>(params.weightDecay) * p[i];
        first[i] = beta1 * first[i] + (1 - beta1) * scaledGradient;
        second[i] = beta2 * second[i] + (1 - beta2) * scaledGradient * scaledGradient;
        const double corrected = first[i] / (1 - std::pow(beta1, static_cast<double>(step)));
        const double root = std::sqrt(second[i] / (1 - std::pow(beta2, static_cast<double>(step))));
        p[i] -= rate * corrected / (root + static_cast<double>(params.epsilon));
      }
    }
    const std::string name = std::to_string(n) + " parameters, clip " + std::to_string(maxNorm);
    expectClose(m.read(), first, 2e-6, name + " m");
    expectClose(v.read(), second, 3e-6, name + " v");
    expectClose(parameters.read(), p, 2e-6, name + " parameters");
  });
}

TEST_P(OptimizerTest, PlaceInTheArrayDoesNotMatter) {
  const int64_t n = 70001;
  const std::vector<float> values(static_cast<size_t>(n), 0.37f), gradients(static_cast<size_t>(n), -0.11f);
  DeviceFloats p(backend(), values), g(backend(), gradients), m(backend(), n, 0.2f), v(backend(), n, 0.3f),
      squares(backend(), 1, 4.0f);
  AdamWParams params;
  params.learningRate = 1e-3f;
  backend().adamW(p.ptr(), g.ptr(), m.ptr(), v.ptr(), n, squares.ptr(), params);
  const std::vector<float> got = p.read();
  expectSameBytes(got, std::vector<float>(got.size(), got[0]), "equal parameters stay equal");
  EXPECT_NE(got[0], 0.37f);
}

INSTANTIATE_TEST_SUITE_P(Backends, OptimizerTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
