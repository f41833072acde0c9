// The gradient's norm and AdamW on the emulator: the sum is the rounding of float64's, a step agrees with the formula in float64.
#include "backend/cuda/kernels/optimizer.h"

#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;

class Optimizer : public OnDevice {};

TEST_F(Optimizer, SumsOfSquaresAreFloat64s) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t n : {0, 1, 4, 1023, 1024, 16384, 16385, 40004, 50001}) {
      begin(seed);
      std::vector<float> x = randomFloats(n, seed);
      if (n > 16384) x[1] = 3e3f;  // beside which a sum in float32 would lose the rest
      double want = 0;
      for (const float value : x) want += static_cast<double>(value) * value;
      DeviceArray<float> in(x), out(size_t{1});
      DeviceArray<std::byte> workspace(cuda::sumSquaresWorkspaceBytes(n));
      const DevicePtr<std::byte> at(workspace.get());
      cuda::Stream stream;
      cuda::sumSquares(DevConstF32(in.get()), n, DevF32(out.get()), at, workspace.count(), stream);
      stream.synchronize();
      EXPECT_EQ(out.read()[0], static_cast<float>(want)) << n;
      if (n > 0) {
        EXPECT_THROW(cuda::sumSquares(DevConstF32(in.get()), n, DevF32(out.get()), at, workspace.count() - 1, stream),
                     Error);
      }
    }
  }
}

TEST_F(Optimizer, TheWorkspaceIsBounded) {
  EXPECT_EQ(cuda::sumSquaresWorkspaceBytes(16385), size_t{16});
  EXPECT_LE(cuda::sumSquaresWorkspaceBytes(int64_t{1} << 40), size_t{2048 * 8});
  EXPECT_GE(cuda::sumSquaresWorkspaceBytes(int64_t{1} << 40), size_t{2000 * 8});
}

struct Adam {
  Doubles p, m, v;

  void step(const std::vector<float>& gradients, double sumSquares, const AdamWParams& a) {
    const auto d = [](float value) { return static_cast<double>(value); };
    double factor = d(a.gradScale);
    if (a.maxGradNorm > 0) factor *= std::min(1.0, d(a.maxGradNorm) / (std::sqrt(sumSquares) * factor + 1e-6));
    const double bias1 = 1 - std::pow(d(a.beta1), static_cast<double>(a.step));
    const double bias2 = 1 - std::pow(d(a.beta2), static_cast<double>(a.step));
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = gradients[i] * factor;
      m[i] = d(a.beta1) * m[i] + (1 - d(a.beta1)) * g;
      v[i] = d(a.beta2) * v[i] + (1 - d(a.beta2)) * g * g;
      p[i] -= d(a.learningRate) * (d(a.weightDecay) * p[i] + m[i] / bias1 / (std::sqrt(v[i] / bias2) + d(a.epsilon)));
    }
  }
};

TEST_F(Optimizer, AdamWAgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t n : {1, 4, 255, 1028, 3001}) {
      for (const float maxGradNorm : {0.0f, 0.01f, 1e6f}) {
        begin(seed);
        const std::vector<float> p = randomFloats(n, seed), g = randomFloats(n, seed + 1);
        Adam want{Doubles(p.begin(), p.end()), Doubles(p.size()), Doubles(p.size())};
        AdamWParams params;
        params.learningRate = 0.01f, params.weightDecay = 0.1f, params.maxGradNorm = maxGradNorm;
        params.gradScale = 0.125f;
        const std::vector<float> zeros(p.size(), 0.0f);
        DeviceArray<float> parameters(p), gradients(g), m(zeros), v(zeros), squares(std::vector<float>{7.25f});
        cuda::Stream stream;
        for (params.step = 1; params.step <= 3; ++params.step) {
          want.step(g, 7.25, params);
          cuda::adamW(DevF32(parameters.get()), DevConstF32(gradients.get()), DevF32(m.get()), DevF32(v.get()), n,
                      DevConstF32(squares.get()), params, stream);
        }
        stream.synchronize();
        const std::string name = std::to_string(n) + " clipped at " + std::to_string(maxGradNorm);
        expectClose(parameters.read(), want.p, 1e-6, name + " parameters");
        expectClose(m.read(), want.m, 1e-6, name + " m");
        expectClose(v.read(), want.v, 1e-6, name + " v");
        EXPECT_EQ(gradients.read(), g);
      }
    }
  }
}

// A step's parts may begin anywhere: where a vector's decayed parameters end.
TEST_F(Optimizer, AStepInTwoPartsIsTheSameStep) {
  const int64_t n = 1000;
  std::vector<float> results[2];
  for (const int64_t cut : {0, 501}) {
    begin(1);
    DeviceArray<float> p(randomFloats(n, 1)), g(randomFloats(n, 2)), m(randomFloats(n, 3));
    DeviceArray<float> v(std::vector<float>(static_cast<size_t>(n), 0.5f)), squares(std::vector<float>{2.0f});
    AdamWParams params;
    params.learningRate = 0.01f;
    cuda::Stream stream;
    for (const auto& [first, count] : {std::pair(int64_t{0}, cut), {cut, n - cut}}) {
      cuda::adamW(DevF32(p.get()) + first, DevConstF32(g.get()) + first, DevF32(m.get()) + first,
                  DevF32(v.get()) + first, count, DevConstF32(squares.get()), params, stream);
    }
    stream.synchronize();
    results[cut != 0] = p.read();
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace mlit::test
