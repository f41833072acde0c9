// Gated activations, sums and scalings on the emulator: against float64 or, where a float is the exact answer, against it.
#include "backend/cuda/kernels/elementwise.h"

#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;
constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;

double activation(GatedActivation act, double g) {
  if (act == GatedActivation::kSilu) return g / (1 + std::exp(-g));
  return 0.5 * g * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
}

struct GatedExpected {
  std::vector<float> gateUp, dh;
  Doubles h, gradients;

  GatedExpected(GatedActivation act, int64_t rows, int64_t f, ElementType type, uint64_t seed)
      : gateUp(randomFloats(rows * 2 * f, seed)),
        dh(roundedTo(type, randomFloats(rows * f, seed + 50))),
        gradients(gateUp.size()) {
    for (float& value : gateUp) value *= 4;
    gateUp = roundedTo(type, gateUp);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < f; ++c) {
        const auto at = static_cast<size_t>(r * 2 * f + c);
        const double g = gateUp[at], up = gateUp[at + static_cast<size_t>(f)], step = 1e-5;
        const double d = dh[static_cast<size_t>(r * f + c)];
        h.push_back(activation(act, g) * up);
        gradients[at] = d * up * (activation(act, g + step) - activation(act, g - step)) / (2 * step);
        gradients[at + static_cast<size_t>(f)] = d * activation(act, g);
      }
    }
  }
};

class Elementwise : public OnDevice {};

TEST_F(Elementwise, GatedActivationsAgreeWithFloat64) {
  const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 64}, {5, 129}, {2, 2056}, {40, 12}};
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const auto& [rows, f] : shapes) {
      for (const ElementType type : {kF32, kBF16}) {
        for (const GatedActivation act : {GatedActivation::kSilu, GatedActivation::kGeluTanh}) {
          begin(seed);
          const GatedExpected e(act, rows, f, type, seed);
          DeviceReals in(type, e.gateUp), again(type, e.gateUp), out(type, e.h.size()), back(type, e.dh);
          cuda::Stream stream;
          cuda::gatedForward(act, in.get(), rows, f, out.get(), stream);
          cuda::gatedBackward(act, again.get(), rows, f, back.get(), {}, stream);
          cuda::gatedBackward(act, in.get(), rows, f, back.get(), back.get(), stream);  // h over dh
          stream.synchronize();
          const std::string name = std::to_string(rows) + "x" + std::to_string(f) + " " + typeName(type);
          expectReals(type, out.read(), e.h, 2e-6, name + " h");
          // ex2.approx is 2 units off (2^-22), and (1 - h) and inner make more of them.
          expectReals(type, in.read(), e.gradients, 4e-6, name + " gradients");
          EXPECT_EQ(back.read(), out.read()) << name;
          EXPECT_EQ(again.read(), in.read()) << name;
        }
      }
    }
  }
}

TEST_F(Elementwise, GatesFarOutAreZeroOrTheLine) {
  const std::vector<float> gates = {-3e38f, -1000, -90, -89, -87, 87, 90, 1000, 1e38f, 0};
  for (const GatedActivation act : {GatedActivation::kSilu, GatedActivation::kGeluTanh}) {
    begin(1);
    std::vector<float> gateUp = gates;
    gateUp.resize(2 * gates.size(), 1.0f);
    DeviceArray<float> in(gateUp), out(gates.size());
    cuda::Stream stream;
    const auto f = static_cast<int64_t>(gates.size());
    cuda::gatedForward(act, DevF32(in.get()), 1, f, DevF32(out.get()), stream);
    stream.synchronize();
    const std::vector<float> got = out.read();
    for (size_t i = 0; i < gates.size(); ++i) {
      const float line = std::max(gates[i], 0.0f);
      // 87 e^-87 is 1.4e-36; the sigmoid and its product are a unit off at most.
      EXPECT_NEAR(got[i], line, 2e-36 + 0x1p-22 * static_cast<double>(line)) << gates[i];
    }
  }
}

TEST_F(Elementwise, SumsAndScalings) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t n : {1, 3, 4, 8, 255, 1024, 4099, 4104}) {
      for (const ElementType type : {kF32, kBF16}) {
        begin(seed);
        const std::vector<float> y = randomFloats(n, seed), x = roundedTo(type, randomFloats(n, seed + 1));
        std::vector<float> want(y.size());
        for (size_t i = 0; i < y.size(); ++i) want[i] = (y[i] + x[i]) * 0.75f;
        DeviceArray<float> sum(y), bias(x);
        DeviceReals more(type, x);
        cuda::Stream stream;
        cuda::add(DevF32(sum.get()), more.get(), n, stream);
        cuda::scale(DevF32(sum.get()), 0.75f, n, stream);
        stream.synchronize();
        EXPECT_EQ(sum.read(), want);

        for (const int64_t padding : {1, 8}) {
          const std::vector<float> rows = roundedTo(type, spread(randomFloats(3 * n, seed + 2), 3, n + padding));
          std::vector<float> added = rows;
          for (size_t i = 0; i < added.size(); ++i) {
            const size_t column = i % static_cast<size_t>(n + padding);
            if (column < static_cast<size_t>(n)) added[i] += x[column];
          }
          DeviceReals matrix(type, rows);
          cuda::addToRows(matrix.get(), n + padding, 3, DevConstF32(bias.get()), n, stream);
          stream.synchronize();
          EXPECT_EQ(matrix.read(), roundedTo(type, added)) << n << " " << typeName(type);
        }
      }
    }
  }
}

TEST_F(Elementwise, MoreRowsThanBlocksTakeTurns) {
  const int64_t rows = 5001;
  DeviceArray<float> in(std::vector<float>(static_cast<size_t>(rows) * 2, 2.0f)), x(std::vector<float>(2, 1.0f));
  cuda::Stream stream;
  cuda::addToRows(DevF32(in.get()), 2, rows, DevConstF32(x.get()), 2, stream);
  stream.synchronize();
  EXPECT_EQ(in.read(), std::vector<float>(static_cast<size_t>(rows) * 2, 3.0f));
}

TEST_F(Elementwise, GatedOperandsOfTwoTypesAreRefused) {
  DeviceReals wide(kF32, size_t{8}), narrow(kBF16, size_t{8});
  cuda::Stream stream;
  const auto silu = GatedActivation::kSilu;
  EXPECT_THROW(cuda::gatedForward(silu, narrow.get(), 1, 4, wide.get(), stream), Error);
  EXPECT_THROW(cuda::gatedBackward(silu, narrow.get(), 1, 4, wide.get(), {}, stream), Error);
  EXPECT_THROW(cuda::gatedBackward(silu, narrow.get(), 1, 4, narrow.get(), wide.get(), stream), Error);
}

}  // namespace
}  // namespace mlit::test
