// The gradients that full tuning needs, each against its sum in float64 at odd sizes and added to what was there; the
// norm's also against finite differences of its formula; all of them with the same bits on one thread and on three.
#include "test/op_support.h"

namespace mlit::test {
namespace {

class GradientsTest : public OpTest {};

struct ProductShape {
  int64_t rows, out, in, padding;
};

const ProductShape kProducts[] = {{1, 1, 1, 0},    {3, 5, 7, 2},    {5, 67, 33, 0},   {256, 66, 64, 0},
                                  {257, 65, 1, 3}, {40, 1, 130, 1}, {13, 700, 17, 0}, {530, 131, 321, 5}};

std::vector<float> weightGradientOn(Backend& backend, const ProductShape& s, const std::vector<float>& x,
                                    const std::vector<float>& dy, const std::vector<float>& start) {
  RealMatrix left(backend, s.rows, s.in, s.padding, x), right(backend, s.rows, s.out, s.padding + 1, dy);
  DeviceFloats dW(backend, start);
  backend.weightGradient(left.ptr(), left.ld(), s.rows, right.ptr(), right.ld(), s.out, s.in, dW.ptr());
  return dW.read();
}

TEST_P(GradientsTest, OfAMatrix) {
  forEach(kProducts, [&](const ProductShape& s) {
    const std::vector<float> x = randomReals(s.rows * s.in, 1), dy = randomReals(s.rows * s.out, 2),
                             start = randomFloats(s.out * s.in, 3);
    Doubles want = toDoubles(start);
    for (int64_t o = 0; o < s.out; ++o) {
      for (int64_t i = 0; i < s.in; ++i) {
        for (int64_t r = 0; r < s.rows; ++r) {
          want[static_cast<size_t>(o * s.in + i)] += static_cast<double>(dy[static_cast<size_t>(r * s.out + o)]) *
                                                     static_cast<double>(x[static_cast<size_t>(r * s.in + i)]);
        }
      }
    }
    const std::vector<float> got = weightGradientOn(backend(), s, x, dy, start);
    expectClose(got, want, 2e-6, "dW " + std::to_string(s.rows) + "x" + std::to_string(s.out), 0.5);
    expectSameBytes(got, weightGradientOn(other(), s, x, dy, start), "dW on another");
  });
}

struct HeadShape {
  int64_t rows;
  int32_t heads, dim;
  int64_t padding;
};

TEST_P(GradientsTest, OfANorm) {
  const HeadShape shapes[] = {{1, 1, 1, 0}, {3, 2, 7, 2}, {129, 3, 33, 1}, {300, 1, 650, 0}};
  forEach(shapes, [&](const HeadShape& s) {
    const int64_t width = int64_t{s.heads} * s.dim;
    const std::vector<float> x = randomReals(s.rows * width, 4), dy = randomReals(s.rows * width, 5),
                             inverse = randomFloats(s.rows * s.heads, 6), start = randomFloats(s.dim, 7);
    Doubles want = toDoubles(start);
    for (size_t i = 0; i < x.size(); ++i) {
      want[i % static_cast<size_t>(s.dim)] += static_cast<double>(dy[i]) * static_cast<double>(x[i]) *
                                              static_cast<double>(inverse[i / static_cast<size_t>(s.dim)]);
    }
    const auto on = [&](Backend& backend) {
      RealMatrix in(backend, s.rows, width, s.padding, x), grad(backend, s.rows, width, s.padding + 2, dy);
      DeviceFloats invRms(backend, inverse), dWeight(backend, start);
      backend.rmsNormWeightGradient(grad.ptr(), grad.ld(), in.ptr(), {s.rows, in.ld(), s.heads, s.dim}, invRms.ptr(),
                                    dWeight.ptr());
      return dWeight.read();
    };
    const std::vector<float> got = on(backend());
    expectClose(got, want, 2e-6, "norm " + std::to_string(s.rows) + "x" + std::to_string(s.dim), 0.5);
    expectSameBytes(got, on(other()), "norm on another");
  });
}

TEST_P(GradientsTest, OfANormIsItsSlope) {
  const int64_t rows = 3, dim = 5;
  const std::vector<float> x = randomReals(rows * dim, 8), dy = randomReals(rows * dim, 9),
                           weight = randomFloats(dim, 10);
  const auto loss = [&](const Doubles& w) {
    double sum = 0;
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      double squares = 0;
      for (size_t i = 0; i < w.size(); ++i)
        squares += static_cast<double>(x[r * w.size() + i]) * static_cast<double>(x[r * w.size() + i]);
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(dim) + 1e-6);
      for (size_t i = 0; i < w.size(); ++i) {
        const size_t at = r * w.size() + i;
        sum += static_cast<double>(dy[at]) * static_cast<double>(x[at]) * inverse * w[i];
      }
    }
    return sum;
  };
  DeviceReals in(backend(), x), grad(backend(), dy), y(backend(), rows * dim, kPoison);
  DeviceFloats w(backend(), weight), inverse(backend(), rows, kPoison), dWeight(backend(), dim, 0.0f);
  const HeadRows shape{rows, dim, 1, static_cast<int32_t>(dim)};
  backend().rmsNormForward(in.ptr(), shape, w.ptr(), 1e-6f, y.ptr(), dim, {}, inverse.ptr());
  backend().rmsNormWeightGradient(grad.ptr(), dim, in.ptr(), shape, inverse.ptr(), dWeight.ptr());
  Doubles slopes;
  for (size_t i = 0; i < weight.size(); ++i) {
    Doubles up = toDoubles(weight), down = up;
    up[i] += 1e-4, down[i] -= 1e-4;
    slopes.push_back((loss(up) - loss(down)) / 2e-4);
  }
  expectClose(dWeight.read(), slopes, 1e-5, "slope");
}

TEST_P(GradientsTest, OfABias) {
  const std::tuple<int64_t, int64_t, int64_t> shapes[] = {{1, 1, 0}, {129, 67, 3}, {400, 200, 0}};
  forEach(shapes, [&](const auto& shape) {
    const auto& [rows, n, padding] = shape;
    const std::vector<float> dy = randomReals(rows * n, 11), start = randomFloats(n, 12);
    Doubles want = toDoubles(start);
    for (size_t i = 0; i < dy.size(); ++i) want[i % static_cast<size_t>(n)] += static_cast<double>(dy[i]);
    RealMatrix grad(backend(), rows, n, padding, dy);
    DeviceFloats dBias(backend(), start);
    backend().biasGradient(grad.ptr(), grad.ld(), rows, n, dBias.ptr());
    expectClose(dBias.read(), want, 2e-6, "bias " + std::to_string(rows) + "x" + std::to_string(n), 0.5);
  });
}

TEST_P(GradientsTest, OfGatheredRowsThatRepeat) {
  const std::tuple<int64_t, int64_t, int64_t> shapes[] = {{1, 1, 1}, {50, 33, 7}, {300, 64, 500}};
  forEach(shapes, [&](const auto& shape) {
    const auto& [n, d, table] = shape;
    const std::vector<float> dy = randomFloats(n * d, 13), start = randomFloats(table * d, 14);
    std::vector<int32_t> ids;
    Doubles want = toDoubles(start);
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(static_cast<int32_t>(i * i % table));
      for (int64_t j = 0; j < d; ++j)
        want[static_cast<size_t>(ids.back() * d + j)] += 1.75 * static_cast<double>(dy[static_cast<size_t>(i * d + j)]);
    }
    const auto on = [&, n = n, d = d](Backend& backend) {
      DeviceFloats grad(backend, dy), dTable(backend, start);
      DeviceArray<int32_t> list(backend, ids);
      backend.gatherGradient(grad.ptr(), list.ptr(), n, d, 1.75f, dTable.ptr());
      return dTable.read();
    };
    const std::vector<float> got = on(backend());
    expectClose(got, want, 2e-6, "table of " + std::to_string(table), 0.5);
    expectSameBytes(got, on(other()), "table on another");
  });
}

TEST_P(GradientsTest, RefreshedRowsAreTheRowsThatWereSet) {
  const int64_t out = 131, in = 35, first = 50, count = 70;
  const std::vector<float> rows = randomFloats(out * in, 15), fresh = randomFloats(count * in, 16);
  const WeightId weight = backend().createWeight(out, in, WeightFormat::kF32);
  backend().setWeightRows(weight, 0, out, rows.data());
  DeviceFloats device(backend(), fresh), all(backend(), out * in, kPoison);
  backend().refreshWeightRows(weight, first, count, device.ptr());
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < out; ++i) ids.push_back(i);
  DeviceArray<int32_t> list(backend(), ids);
  backend().gatherWeightRows(weight, list.ptr(), out, 1, all.ptr());
  std::vector<float> want = rows;
  std::copy(fresh.begin(), fresh.end(), want.begin() + first * in);
  expectSameBytes(all.read(), want, "rows");
  backend().destroyWeight(weight);
}

INSTANTIATE_TEST_SUITE_P(Backends, GradientsTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
