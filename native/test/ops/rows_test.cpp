// Norms, rotary embedding, gated activations, row moves: each against its formula in float64 at odd sizes, backward also
// against finite differences of that formula.
#include "test/op_support.h"

namespace mlit::test {
namespace {

class RowsTest : public OpTest {};

struct NormShape {
  int64_t rows;
  int32_t heads;
  int32_t dim;
  int64_t padding;
};

const NormShape kNormShapes[] = {{1, 1, 1, 0},   {3, 1, 7, 2},     {5, 3, 16, 1},  {2, 4, 33, 5},
                                 {9, 1, 640, 0}, {130, 2, 129, 3}, {4, 1, 2049, 0}};

struct NormReference {
  Doubles y, inverse, dx;
};

NormReference normReference(const NormShape& s, const Doubles& x, const Doubles& weight, const Doubles& dy,
                            double eps) {
  NormReference r{Doubles(x.size()), Doubles(static_cast<size_t>(s.rows * s.heads)), Doubles(x.size())};
  const size_t dim = static_cast<size_t>(s.dim);
  for (size_t head = 0; head < r.inverse.size(); ++head) {
    double squares = 0, dot = 0;
    for (size_t i = 0; i < dim; ++i) squares += x[head * dim + i] * x[head * dim + i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(dim) + eps);
    r.inverse[head] = inverse;
    for (size_t i = 0; i < dim; ++i) dot += dy[head * dim + i] * weight[i] * x[head * dim + i];
    for (size_t i = 0; i < dim; ++i) {
      const size_t at = head * dim + i;
      r.y[at] = x[at] * inverse * weight[i];
      r.dx[at] = inverse * (dy[at] * weight[i] - x[at] * inverse * inverse * dot / static_cast<double>(dim));
    }
  }
  return r;
}

TEST(RowsReference, NormAgreesWithFiniteDifferences) {
  const NormShape s{2, 2, 5, 0};
  const Doubles x = toDoubles(randomFloats(20, 1)), weight = toDoubles(randomFloats(5, 2)),
                dy = toDoubles(randomFloats(20, 3));
  const NormReference reference = normReference(s, x, weight, dy, 1e-3);
  for (size_t i = 0; i < x.size(); ++i) {
    double loss[2] = {0, 0};
    for (int side = 0; side < 2; ++side) {
      Doubles moved = x;
      moved[i] += side == 0 ? -1e-5 : 1e-5;
      const Doubles y = normReference(s, moved, weight, dy, 1e-3).y;
      for (size_t j = 0; j < y.size(); ++j) loss[side] += y[j] * dy[j];
    }
    EXPECT_NEAR((loss[1] - loss[0]) / 2e-5, reference.dx[i], 1e-7);
  }
}

TEST_P(RowsTest, RmsNorm) {
  forEach(kNormShapes, [&](const NormShape& s) {
    const int64_t width = int64_t{s.heads} * s.dim;
    const std::string name = std::to_string(s.rows) + "x" + std::to_string(s.heads) + "x" + std::to_string(s.dim);
    const std::vector<float> x = randomReals(s.rows * width, 1, 3), weight = randomFloats(s.dim, 2);
    const std::vector<float> dy = randomReals(s.rows * width, 3), base = randomReals(s.rows * width, 4);
    const NormReference want =
        normReference(s, toDoubles(x), toDoubles(weight), toDoubles(dy), static_cast<double>(1e-5f));
    Doubles added = want.y, accumulated = want.dx;
    for (size_t i = 0; i < added.size(); ++i) added[i] += static_cast<double>(base[i]);
    for (size_t i = 0; i < accumulated.size(); ++i) accumulated[i] += static_cast<double>(base[i]);

    Backend& b = backend();
    RealMatrix in(b, s.rows, width, s.padding, x), out(b, s.rows, width, s.padding + 1, kPoison);
    DeviceFloats w(b, weight), inverse(b, s.rows * s.heads, kPoison);
    const HeadRows rows{s.rows, in.ld(), s.heads, s.dim};
    b.rmsNormForward(in.ptr(), rows, w.ptr(), 1e-5f, out.ptr(), out.ld(), {}, inverse.ptr());
    expectReals(type(), out.read(), want.y, 1e-6, name + " y");
    expectClose(inverse.read(), want.inverse, 1e-6, name + " invRms");

    DeviceMatrix sum(b, s.rows, width, s.padding, base);
    b.rmsNormForward(in.ptr(), rows, w.ptr(), 1e-5f, sum.ptr(), sum.ld(), sum.ptr(), {});
    expectClose(sum.read(), added, 1e-6, name + " y added in place");

    RealMatrix grad(b, s.rows, width, s.padding + 2, dy), dx(b, s.rows, width, s.padding, kPoison);
    b.rmsNormBackward(grad.ptr(), grad.ld(), in.ptr(), rows, w.ptr(), inverse.ptr(), dx.ptr(), dx.ld(), false);
    expectReals(type(), dx.read(), want.dx, 3e-6, name + " dx", 1e-2);
    RealMatrix total(b, s.rows, width, s.padding, base);
    b.rmsNormBackward(grad.ptr(), grad.ld(), in.ptr(), rows, w.ptr(), inverse.ptr(), total.ptr(), total.ld(), true);
    expectReals(type(), total.read(), accumulated, 3e-6, name + " dx accumulated", 1e-2);
    DeviceMatrix stream(b, s.rows, width, s.padding, x), onto(b, s.rows, width, s.padding + 1, base);
    b.rmsNormBackward(grad.ptr(), grad.ld(), stream.ptr(), {s.rows, stream.ld(), s.heads, s.dim}, w.ptr(),
                      inverse.ptr(), onto.ptr(), onto.ld(), true);
    expectClose(onto.read(), accumulated, 3e-6, name + " dx onto the residual stream's", 1e-2);
    b.rmsNormBackward(grad.ptr(), grad.ld(), in.ptr(), rows, w.ptr(), inverse.ptr(), grad.ptr(), grad.ld(), false);
    expectSameBytes(grad.read(), dx.read(), name + " dx over dy");

    b.rmsNormForward(in.ptr(), rows, w.ptr(), 1e-5f, in.ptr(), in.ld(), {}, {});
    expectSameBytes(in.read(), out.read(), name + " y over x");
  });
}

TEST_P(RowsTest, Rope) {
  const NormShape shapes[] = {{1, 1, 2, 0}, {3, 2, 6, 1}, {7, 3, 34, 2}, {40, 4, 256, 0}};
  forEach(shapes, [&](const NormShape& s) {
    const int64_t width = int64_t{s.heads} * s.dim, half = s.dim / 2, positions = 50;
    std::vector<float> table;
    for (int64_t p = 0; p < positions; ++p) {
      for (const bool sine : {false, true}) {
        for (int64_t i = 0; i < half; ++i) {
          const double angle =
              static_cast<double>(p) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
          table.push_back(static_cast<float>(sine ? std::sin(angle) : std::cos(angle)));
        }
      }
    }
    std::vector<int32_t> at;
    for (int64_t r = 0; r < s.rows; ++r) at.push_back(static_cast<int32_t>((r * 13 + 3) % positions));
    const std::vector<float> x = randomReals(s.rows * width, 5);
    Doubles want[2] = {Doubles(x.size()), Doubles(x.size())};  // forward, transposed
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t head = 0; head < s.heads; ++head) {
        for (int64_t i = 0; i < half; ++i) {
          const double c = static_cast<double>(table[static_cast<size_t>(at[static_cast<size_t>(r)] * s.dim + i)]);
          const double n =
              static_cast<double>(table[static_cast<size_t>(at[static_cast<size_t>(r)] * s.dim + half + i)]);
          const size_t first = static_cast<size_t>(r * width + head * s.dim + i),
                       second = first + static_cast<size_t>(half);
          const double u = static_cast<double>(x[first]), v = static_cast<double>(x[second]);
          want[0][first] = u * c - v * n;
          want[0][second] = v * c + u * n;
          want[1][first] = u * c + v * n;
          want[1][second] = v * c - u * n;
        }
      }
    }
    DeviceFloats onDevice(backend(), table);
    DeviceArray<int32_t> rowPositions(backend(), at);
    for (const int direction : {1, -1}) {
      RealMatrix rows(backend(), s.rows, width, s.padding, x);
      backend().rope(rows.ptr(), {s.rows, rows.ld(), s.heads, s.dim}, rowPositions.ptr(), onDevice.ptr(), direction);
      expectReals(type(), rows.read(), want[direction > 0 ? 0 : 1], 1e-6, "rope");
      backend().rope(rows.ptr(), {s.rows, rows.ld(), s.heads, s.dim}, rowPositions.ptr(), onDevice.ptr(), -direction);
      // Both halves of a pair were rounded on the way, each by half a unit of at most the pair's length: sqrt(2) together.
      expectClose(rows.read(), toDoubles(x), 1e-6 + 4 * unitOf(type()), "rope and back");
    }
  });
}

// x * sigmoid(x), or GELU in the tanh form as its definition has it.
double activation(GatedActivation act, double x) {
  if (act == GatedActivation::kSilu) return x / (1 + std::exp(-x));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

double slope(GatedActivation act, double x) {  // finite differences of the definition
  const double h = 1e-5;
  return (activation(act, x + h) - activation(act, x - h)) / (2 * h);
}

TEST_P(RowsTest, GatedActivations) {
  struct Case {
    GatedActivation act;
    int64_t rows, f;
  };
  std::vector<Case> cases;
  for (const GatedActivation act : {GatedActivation::kSilu, GatedActivation::kGeluTanh}) {
    for (const auto& [rows, f] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {2, 16}, {7, 47}, {5, 2048}, {1, 100}})
      cases.push_back({act, rows, f});
  }
  forEach(cases, [&](const Case& c) {
    const auto& [act, rows, f] = c;
    std::vector<float> gateUp = randomReals(rows * 2 * f, 6, 6);
    if (f == 100) {  // the tails
      for (int64_t i = 0; i < f; ++i) gateUp[static_cast<size_t>(i)] = (static_cast<float>(i) - 50) * 4;
    }
    const std::vector<float> dh = randomReals(rows * f, 7);
    Doubles h, back(gateUp.size());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < f; ++i) {
        const size_t g = static_cast<size_t>(r * 2 * f + i), u = g + static_cast<size_t>(f);
        const double gate = static_cast<double>(gateUp[g]), up = static_cast<double>(gateUp[u]);
        const double grad = static_cast<double>(dh[static_cast<size_t>(r * f + i)]);
        h.push_back(activation(act, gate) * up);
        back[g] = grad * up * slope(act, gate);
        back[u] = grad * activation(act, gate);
      }
    }
    const std::string name = std::to_string(rows) + "x" + std::to_string(f);
    // Cards have exponentials and quotients of two units in the last place.
    const double error = type() == ElementType::kF32 ? 1e-6 : 2e-6;
    DeviceReals in(backend(), gateUp), out(backend(), rows * f, kPoison), grad(backend(), dh);
    backend().gatedForward(act, in.ptr(), rows, f, out.ptr());
    expectReals(type(), out.read(), h, error, name + " h");
    DeviceReals inPlace(backend(), gateUp);
    backend().gatedBackward(act, inPlace.ptr(), rows, f, grad.ptr(), {});
    expectReals(type(), inPlace.read(), back, 4e-6, name + " d(gate|up)");
    backend().gatedBackward(act, in.ptr(), rows, f, grad.ptr(), grad.ptr());
    expectSameBytes(in.read(), inPlace.read(), name + " d(gate|up), product kept");
    expectSameBytes(grad.read(), out.read(), name + " product over dh");
  });
}

TEST_P(RowsTest, AddToRowsAddsOneVectorToEachRowAndLeavesThePaddingAlone) {
  const std::tuple<int64_t, int64_t, int64_t> shapes[] = {{1, 1, 0}, {3, 17, 2}, {33, 64, 5}, {9, 80, 8}};
  forEach(shapes, [&](const auto& shape) {
    const auto& [rows, n, padding] = shape;
    const std::vector<float> x = randomFloats(n, 8), y = randomReals(rows * n, 9);
    std::vector<float> sum = y;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = rounded(type(), sum[i] + x[i % static_cast<size_t>(n)]);
    DeviceFloats vector(backend(), x);
    RealMatrix matrix(backend(), rows, n, padding, y);
    backend().addToRows(matrix.ptr(), matrix.ld(), rows, vector.ptr(), n);
    expectSameBytes(matrix.read(), sum, std::to_string(rows) + "x" + std::to_string(n));
  });
}

TEST_P(RowsTest, AddAndScale) {
  forEach(std::vector<int64_t>{1, 15, 16, 17, 1000, emulated() ? 5003 : 100003}, [&](int64_t n) {
    const std::vector<float> x = randomReals(n, 8), y = randomFloats(n, 9);
    std::vector<float> sum, product;
    for (size_t i = 0; i < x.size(); ++i) {
      sum.push_back(y[i] + x[i]);
      product.push_back(sum.back() * 0.7f);
    }
    DeviceReals dx(backend(), x);
    DeviceFloats dy(backend(), y);
    backend().add(dy.ptr(), dx.ptr(), n);
    expectSameBytes(dy.read(), sum, "add");
    backend().scale(dy.ptr(), 0.7f, n);
    expectSameBytes(dy.read(), product, "scale");
    expectSameBytes(dx.read(), x, "x is left alone");
  });
}

TEST_P(RowsTest, GatherAndScatter) {
  const std::tuple<int64_t, int64_t, int64_t> shapes[] = {{1, 1, 0}, {5, 7, 3}, {13, 640, 0}, {200, 33, 1}};
  forEach(shapes, [&](const auto& shape) {
    const auto& [n, d, padding] = shape;
    const int64_t rows = n + 9;
    const std::vector<float> x = randomReals(rows * d, 10), in = randomReals(n * d, 11);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(rows - 1 - i));
    RealMatrix from(backend(), rows, d, padding, x);
    DeviceArray<int32_t> list(backend(), ids);
    DeviceReals out(backend(), n * d, kPoison), values(backend(), in);
    backend().gatherRows(from.ptr(), from.ld(), list.ptr(), n, d, out.ptr());
    std::vector<float> gathered, replaced = x, added = x;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < d; ++j) {
        const size_t at = static_cast<size_t>(ids[static_cast<size_t>(i)] * d + j);
        gathered.push_back(x[at]);
        replaced[at] = in[static_cast<size_t>(i * d + j)];
        added[at] = rounded(type(), x[at] + in[static_cast<size_t>(i * d + j)]);
      }
    }
    expectSameBytes(out.read(), gathered, "gather");
    RealMatrix to(backend(), rows, d, padding, x);
    backend().scatterRows(values.ptr(), list.ptr(), n, d, to.ptr(), to.ld(), true);
    expectSameBytes(to.read(), added, "scatter, accumulating");
    backend().scatterRows(values.ptr(), list.ptr(), n, d, to.ptr(), to.ld(), false);
    expectSameBytes(to.read(), replaced, "scatter");
  });
}

TEST_P(RowsTest, RowsDoNotKnowEachOther) {
  const int64_t rows = 67, dim = 77;
  const std::vector<float> x = randomReals(rows * dim, 12), weight = randomFloats(dim, 13),
                           gateUp = randomReals(rows * 2 * dim, 14);
  DeviceFloats w(backend(), weight);
  const auto compute = [&](int64_t first, int64_t count) {
    DeviceReals in(backend(), {x.begin() + first * dim, x.begin() + (first + count) * dim});
    DeviceReals gates(backend(), {gateUp.begin() + first * 2 * dim, gateUp.begin() + (first + count) * 2 * dim});
    DeviceReals y(backend(), count * dim, kPoison), h(backend(), count * dim, kPoison);
    backend().rmsNormForward(in.ptr(), {count, dim, 1, static_cast<int32_t>(dim)}, w.ptr(), 1e-6f, y.ptr(), dim, {},
                             {});
    backend().gatedForward(GatedActivation::kSilu, gates.ptr(), count, dim, h.ptr());
    return std::pair(y.read(), h.read());
  };
  const auto [y, h] = compute(0, rows);
  for (int64_t r = 0; r < rows; ++r) {
    const auto [y1, h1] = compute(r, 1);
    expectSameBytes(y1, {y.begin() + r * dim, y.begin() + (r + 1) * dim}, "norm");
    expectSameBytes(h1, {h.begin() + r * dim, h.begin() + (r + 1) * dim}, "activation");
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RowsTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
