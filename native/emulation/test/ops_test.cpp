// Kernels of the CUDA backend on the emulator: against float64 at odd sizes, in place where backend.h allows it, twenty
// schedules each, a row's bits the same whatever rows stand beside it.
#include <functional>

#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/kernels/norm.h"
#include "emulation/test/support.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;
constexpr float kSentinel = 12345.5f;

// [rows, width] inside rows of ld, with a sentinel between.
std::vector<float> spread(const std::vector<float>& values, int64_t rows, int64_t ld) {
  std::vector<float> all(static_cast<size_t>(rows * ld), kSentinel);
  const size_t width = values.size() / static_cast<size_t>(rows);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(r * width), width,
                all.begin() + static_cast<std::ptrdiff_t>(r * static_cast<size_t>(ld)));
  }
  return all;
}

std::vector<float> gather(const std::vector<float>& all, int64_t rows, int64_t width) {
  const size_t ld = all.size() / static_cast<size_t>(rows);
  std::vector<float> values;
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    for (size_t c = 0; c < ld; ++c) {
      if (c < static_cast<size_t>(width)) {
        values.push_back(all[r * ld + c]);
      } else {
        EXPECT_EQ(all[r * ld + c], kSentinel) << "padding of row " << r << " was written";
      }
    }
  }
  return values;
}

struct NormCase {
  int64_t rows;
  int32_t heads, dim;
  int64_t padding;
};

const NormCase kNormCases[] = {{1, 1, 1, 0},   {3, 1, 7, 2},    {5, 3, 16, 4},  {2, 4, 33, 5},   {9, 1, 640, 0},
                               {6, 2, 129, 3}, {2, 1, 2049, 0}, {3, 1, 516, 4}, {17, 1, 512, 0}, {2, 2, 513, 1}};

class Norm : public Emulated {};

TEST_F(Norm, ForwardAndBackwardAgreeWithFloat64) {
  constexpr double kEpsilon = 1e-5f;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const NormCase& s : kNormCases) {
      begin(seed);
      const int64_t width = int64_t{s.heads} * s.dim, ld = width + s.padding;
      const std::string name = std::to_string(s.rows) + "x" + std::to_string(s.heads) + "x" + std::to_string(s.dim);
      const std::vector<float> x = randomFloats(s.rows * width, seed), dy = randomFloats(s.rows * width, seed + 100),
                               weight = randomFloats(s.dim, seed + 200),
                               base = randomFloats(s.rows * width, seed + 300);
      Doubles y(x.size()), inverse(static_cast<size_t>(s.rows * s.heads)), dx(x.size()), ySum(x.size()),
          dxSum(x.size());
      const size_t dim = static_cast<size_t>(s.dim);
      for (size_t g = 0; g < inverse.size(); ++g) {
        double squares = 0, dot = 0;
        for (size_t i = 0; i < dim; ++i) squares += static_cast<double>(x[g * dim + i]) * x[g * dim + i];
        const double r = inverse[g] = 1 / std::sqrt(squares / s.dim + kEpsilon);
        for (size_t i = 0; i < dim; ++i) dot += static_cast<double>(dy[g * dim + i]) * weight[i] * x[g * dim + i];
        for (size_t i = g * dim; i < g * dim + dim; ++i) {
          y[i] = x[i] * r * weight[i - g * dim];
          dx[i] = r * (static_cast<double>(dy[i]) * weight[i - g * dim] - x[i] * r * r * dot / s.dim);
          ySum[i] = y[i] + base[i];
          dxSum[i] = dx[i] + base[i];
        }
      }
      const HeadRows rows{s.rows, ld, s.heads, s.dim};
      DeviceArray<float> in(spread(x, s.rows, ld)), w(weight), inv(inverse.size());
      DeviceArray<float> out(spread(base, s.rows, ld)), grad(spread(dy, s.rows, ld)), acc(spread(base, s.rows, ld));
      cuda::Stream stream;
      // y over addTo, then dx over what was there, then dx over dy, then y over x.
      cuda::rmsNormForward(in.get(), rows, w.get(), 1e-5f, out.get(), ld, out.get(), inv.get(), stream);
      cuda::rmsNormBackward(grad.get(), ld, in.get(), rows, w.get(), inv.get(), acc.get(), ld, true, stream);
      cuda::rmsNormBackward(grad.get(), ld, in.get(), rows, w.get(), inv.get(), grad.get(), ld, false, stream);
      cuda::rmsNormForward(in.get(), rows, w.get(), 1e-5f, in.get(), ld, nullptr, nullptr, stream);
      stream.synchronize();
      expectClose(gather(out.read(), s.rows, width), ySum, 1e-6, name + " y added");
      expectClose(inv.read(), inverse, 1e-6, name + " invRms");
      expectClose(gather(acc.read(), s.rows, width), dxSum, 3e-6, name + " dx accumulated");
      expectClose(gather(grad.read(), s.rows, width), dx, s.dim == 1 ? 1e-2 : 1e-5, name + " dx");
      expectClose(gather(in.read(), s.rows, width), y, 1e-6, name + " y");
    }
  }
}

TEST_F(Norm, ARowsBitsAreItsOwn) {
  const std::vector<float> x = randomFloats(9 * 640, 1), weight = randomFloats(640, 2);
  DeviceArray<float> in(x), w(weight), all(x.size()), one(size_t{640});
  cuda::Stream stream;
  cuda::rmsNormForward(in.get(), {9, 640, 1, 640}, w.get(), 1e-6f, all.get(), 640, nullptr, nullptr, stream);
  const std::vector<float> together = [&] {
    stream.synchronize();
    return all.read();
  }();
  for (int64_t r = 0; r < 9; ++r) {
    cuda::rmsNormForward(in.get() + r * 640, {1, 640, 1, 640}, w.get(), 1e-6f, one.get(), 640, nullptr, nullptr,
                         stream);
    stream.synchronize();
    EXPECT_EQ(one.read(), std::vector<float>(together.begin() + r * 640, together.begin() + r * 640 + 640))
        << "row " << r;
  }
}

double activation(GatedActivation act, double g) {
  if (act == GatedActivation::kSilu) return g / (1 + std::exp(-g));
  return 0.5 * g * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
}

class Elementwise : public Emulated {};

TEST_F(Elementwise, GatedActivationsAgreeWithFloat64) {
  const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 64}, {5, 129}, {2, 1028}, {40, 12}};
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const auto& [rows, f] : shapes) {
      for (const GatedActivation act : {GatedActivation::kSilu, GatedActivation::kGeluTanh}) {
        begin(seed);
        std::vector<float> gateUp = randomFloats(rows * 2 * f, seed);
        for (float& value : gateUp) value *= 4;
        const std::vector<float> dh = randomFloats(rows * f, seed + 50);
        Doubles h, gradients(gateUp.size());
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
        DeviceArray<float> in(gateUp), out(h.size()), back(dh);
        cuda::Stream stream;
        cuda::gatedForward(act, in.get(), rows, f, out.get(), stream);
        cuda::gatedBackward(act, in.get(), rows, f, back.get(), back.get(), stream);  // h over dh
        stream.synchronize();
        const std::string name = std::to_string(rows) + "x" + std::to_string(f);
        expectClose(out.read(), h, 2e-6, name + " h");
        expectClose(in.read(), gradients, 2e-6, name + " gradients");
        EXPECT_EQ(back.read(), out.read()) << name;
      }
    }
  }
}

TEST_F(Elementwise, SumsAndScalings) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t n : {1, 3, 4, 255, 1024, 4099}) {
      begin(seed);
      const std::vector<float> y = randomFloats(n, seed), x = randomFloats(n, seed + 1);
      std::vector<float> want(y.size());
      for (size_t i = 0; i < y.size(); ++i) want[i] = (y[i] + x[i]) * 0.75f;
      DeviceArray<float> dy(y), dx(x);
      cuda::Stream stream;
      cuda::add(dy.get(), dx.get(), n, stream);
      cuda::scale(dy.get(), 0.75f, n, stream);
      stream.synchronize();
      EXPECT_EQ(dy.read(), want);

      const std::vector<float> rows = spread(randomFloats(3 * n, seed + 2), 3, n + 1);
      DeviceArray<float> matrix(rows);
      cuda::addToRows(matrix.get(), n + 1, 3, dx.get(), n, stream);
      stream.synchronize();
      const std::vector<float> got = matrix.read();
      for (size_t i = 0; i < got.size(); ++i) {
        const size_t column = i % static_cast<size_t>(n + 1);
        EXPECT_EQ(got[i], column == static_cast<size_t>(n) ? kSentinel : rows[i] + x[column]);
      }
    }
  }
}

TEST_F(Elementwise, MoreRowsThanBlocksTakeTurns) {
  const int64_t rows = 5001;
  DeviceArray<float> in(std::vector<float>(static_cast<size_t>(rows) * 2, 2.0f)), x(std::vector<float>(2, 1.0f));
  cuda::Stream stream;
  cuda::addToRows(in.get(), 2, rows, x.get(), 2, stream);
  stream.synchronize();
  EXPECT_EQ(in.read(), std::vector<float>(static_cast<size_t>(rows) * 2, 3.0f));
}

}  // namespace
}  // namespace mlit::test
