// Linear layers with adapters against a float64 reference, and the promises that training and sampling rest on: rows do
// not know each other, nothing outside the result is touched.
#include <numeric>

#include "test/nf4_oracle.h"
#include "test/ops/linear_cases.h"

namespace mlit::test {
namespace {

class LinearTest : public OpTest {
 protected:
  void check(const LinearData& data) {
    const LinearResult result = runLinear(backend(), data);
    ASSERT_NO_FATAL_FAILURE(checkForward(data, result));
    ASSERT_NO_FATAL_FAILURE(checkDx(data, result));
    ASSERT_NO_FATAL_FAILURE(checkGradients(data, result));
  }
};

TEST_P(LinearTest, EqualsTheReference) {
  forEach(linearCases(), [&](const LinearCase& c) {
    SCOPED_TRACE(c.name);
    check(LinearData(c, type()));
  });
}

TEST_P(LinearTest, RandomShapesEqualTheReference) {
  std::vector<uint64_t> numbers(emulated() ? 20 : 40);
  std::iota(numbers.begin(), numbers.end(), uint64_t{0});
  forEach(numbers, [&](uint64_t i) {
    const auto draw = philox(99, 3, i);
    LinearCase c{"random",
                 1 + draw[0] % 70,
                 1 + draw[1] % 150,
                 1 + draw[2] % 150,
                 WeightFormat::kF32,
                 draw[3] % 5,
                 i % 3 == 0,
                 true,
                 {}};
    const auto more = philox(99, 4, i);
    const auto begin = static_cast<int32_t>(more[0] % static_cast<uint32_t>(c.rows));
    const auto split = static_cast<int32_t>(more[1] % static_cast<uint32_t>(c.out));
    const auto rank = static_cast<int32_t>(1 + more[2] % 20);
    c.groups.push_back({begin, static_cast<int32_t>(c.rows), 0.75f, {{split, static_cast<int32_t>(c.out), rank}}});
    if (split > 0 && begin > 0) c.groups.insert(c.groups.begin(), {0, begin, 1.25f, {{0, split, 3}}});
    SCOPED_TRACE(i);
    check(LinearData(c, type(), 1000 + 50 * i));
  });
}

// The rows [begin, begin + count) of a case, with its groups cut to them.
LinearData rowsOfCase(const LinearData& all, int64_t begin, int64_t count) {
  LinearData d = all;
  d.spec.rows = count;
  const auto cut = [&](const std::vector<float>& from, int64_t ld) {
    return std::vector<float>(from.begin() + begin * ld, from.begin() + (begin + count) * ld);
  };
  d.x = cut(all.x, all.ldx);
  d.dy = cut(all.dy, all.ldy);
  d.dx = cut(all.dx, all.ldx);
  for (GroupSpec& group : d.spec.groups) {
    const auto last = static_cast<int32_t>(count);
    group.rowBegin = std::clamp(group.rowBegin - static_cast<int32_t>(begin), 0, last);
    group.rowEnd = std::clamp(group.rowEnd - static_cast<int32_t>(begin), 0, last);
  }
  return d;
}

TEST_P(LinearTest, ARowKeepsItsBitsInAnyCompany) {
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    LinearCase c{"rows", 100, 710, 203, format, 1, false, true, {}};
    c.groups = {{0, 37, 2.0f, {{0, 300, 8}, {300, 710, 5}}}, {41, 100, 0.5f, {{100, 710, 16}}}};
    const LinearData all(c, type());
    const LinearResult whole = runLinear(backend(), all);
    for (const int64_t count : emulated() ? std::vector<int64_t>{1, 33} : std::vector<int64_t>{1, 2, 3, 7, 16, 33}) {
      for (int64_t begin = 0; begin + count <= c.rows; begin += emulated() ? 49 : count == 1 ? 9 : 11) {
        const LinearResult some = runLinear(backend(), rowsOfCase(all, begin, count));
        for (int64_t row = 0; row < count; ++row) {
          ASSERT_EQ(0, std::memcmp(&whole.y[at(begin + row, all.ldy, 0)], &some.y[at(row, all.ldy, 0)],
                                   static_cast<size_t>(c.out) * 4))
              << count << " rows from " << begin << ", row " << row;
          ASSERT_EQ(0, std::memcmp(&whole.dx[at(begin + row, all.ldx, 0)], &some.dx[at(row, all.ldx, 0)],
                                   static_cast<size_t>(c.in) * 4))
              << count << " rows from " << begin << ", row " << row;
        }
      }
    }
  }
}

TEST_P(LinearTest, TwoAdaptersInOneCallEqualTwoCalls) {
  LinearCase c{"adapters", 90, 130, 97, WeightFormat::kF32, 0, false, true, {}};
  c.groups = {{0, 41, 2.0f, {{0, 60, 4}, {60, 130, 4}}}, {41, 90, 0.5f, {{0, 60, 11}, {60, 130, 30}}}};
  const LinearData both(c, type());
  const LinearResult together = runLinear(backend(), both);
  for (size_t g = 0; g < 2; ++g) {
    const int64_t begin = c.groups[g].rowBegin, count = c.groups[g].rowEnd - begin;
    LinearData one = rowsOfCase(both, begin, count);
    one.spec.groups = {one.spec.groups[g]};
    one.a = {both.a[g]}, one.dA = {both.dA[g]}, one.bT = {both.bT[g]}, one.dbT = {both.dbT[g]};
    one.ldp = one.spec.groups[0].rankTotal();
    const LinearResult alone = runLinear(backend(), one);
    EXPECT_EQ(0, std::memcmp(&together.y[at(begin, both.ldy, 0)], alone.y.data(), alone.y.size() * 4));
    EXPECT_EQ(0, std::memcmp(&together.dx[at(begin, both.ldx, 0)], alone.dx.data(), alone.dx.size() * 4));
    EXPECT_TRUE(sameBytes(together.dA[g], alone.dA[0]));
    for (size_t s = 0; s < 2; ++s) EXPECT_TRUE(sameBytes(together.dbT[g][s], alone.dbT[0][s]));
  }
}

TEST_P(LinearTest, MissingGradientBuffersAreSkipped) {
  const WeightId weight = backend().createWeight(20, 10, WeightFormat::kF32);
  backend().setWeightRows(weight, 0, 20, randomFloats(200, 1).data());
  const DeviceReals x(backend(), randomFloats(50, 2)), dy(backend(), randomFloats(100, 3)), dx(backend(), 50, kPoison),
      p(backend(), 10, kPoison), u(backend(), 10, kPoison);
  const DeviceFloats a(backend(), randomFloats(20, 4)), bT(backend(), randomFloats(40, 5));
  const LoraSegment segment{0, 20, 2, 0, bT.ptr(), DevF32()};
  const LoraGroup group{0, 5, 1.0f, 2, a.ptr(), DevF32(), {&segment, 1}};
  backend().linearBackward(weight, x.ptr(), 10, 5, dy.ptr(), 20, dx.ptr(), 10, false, {&group, 1}, p.ptr(), u.ptr());
  for (const float value : dx.read()) EXPECT_TRUE(std::isfinite(value));
  backend().destroyWeight(weight);
}

TEST_P(LinearTest, StoredFormatsComputeWithTheirExactValues) {
  // Bits of products in float32; a backend with narrow activations may multiply each format by other instructions.
  const auto sameProducts = [&](const LinearResult& a, const LinearResult& b) {
    return type() == ElementType::kF32 ? a == b : sameBytes(a.w, b.w);
  };
  // A few rows, whose products widen the stored numbers themselves, and many, for which they are decoded first.
  LinearCase many{"formats", 90, 166, 83, WeightFormat::kBF16, 0, false, true, {}};
  const LinearData manySource(many, type());
  LinearData manyExact = manySource;
  manyExact.spec.format = WeightFormat::kF32;
  for (float& value : manyExact.w) value = rounded(ElementType::kBF16, value);
  EXPECT_TRUE(sameProducts(runLinear(backend(), manySource), runLinear(backend(), manyExact)));

  LinearCase c{"formats", 17, 150, 83, WeightFormat::kBF16, 0, false, true, {}};
  const LinearData source(c, type());

  LinearData exact = source;
  exact.spec.format = WeightFormat::kF32;
  for (float& value : exact.w) value = rounded(ElementType::kBF16, value);
  const LinearResult bf16 = runLinear(backend(), source);
  EXPECT_TRUE(sameBytes(bf16.w, exact.w));
  EXPECT_TRUE(sameProducts(bf16, runLinear(backend(), exact)));

  LinearData int8 = source;
  int8.spec.format = WeightFormat::kI8Channel;
  for (int64_t o = 0; o < c.out; ++o) {
    float largest = 0;
    for (int64_t i = 0; i < c.in; ++i) largest = std::max(largest, std::fabs(source.w[at(o, c.in, i)]));
    const float scale = largest / 127.0f;
    for (int64_t i = 0; i < c.in; ++i)
      exact.w[at(o, c.in, i)] = (std::nearbyint(source.w[at(o, c.in, i)] / scale) + 0.0f) * scale;  // no -0
  }
  const LinearResult quantised = runLinear(backend(), int8);
  EXPECT_TRUE(sameBytes(quantised.w, exact.w));
  EXPECT_TRUE(sameProducts(quantised, runLinear(backend(), exact)));

  LinearData nf4 = source;
  nf4.spec.format = WeightFormat::kNF4;
  exact.w = nf4Rounded(source.w, c.in);
  const LinearResult fourBit = runLinear(backend(), nf4);
  EXPECT_TRUE(sameBytes(fourBit.w, exact.w));
  EXPECT_TRUE(sameProducts(fourBit, runLinear(backend(), exact)));
}

TEST_P(LinearTest, RowsOfAWeightMaySetInAnyPieces) {
  const int64_t out = emulated() ? 45 : 200, in = 1030;
  const std::vector<float> host = randomFloats(out * in, 5);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < out; ++i) ids.push_back((i * 77 + 3) % static_cast<int32_t>(out));
  const DeviceArray<int32_t> rows(backend(), ids);
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    std::vector<std::vector<float>> seen;
    for (const int64_t piece : {out, int64_t{1}, int64_t{7}, int64_t{64}, int64_t{90}}) {
      const WeightId weight = backend().createWeight(out, in, format);
      for (int64_t row = 0; row < out; row += piece) {
        backend().setWeightRows(weight, row, std::min(piece, out - row), host.data() + row * in);
      }
      const DeviceFloats gathered(backend(), out * in, kPoison);
      backend().gatherWeightRows(weight, rows.ptr(), out, 0.5f, gathered.ptr());
      seen.push_back(gathered.read());
      backend().destroyWeight(weight);
    }
    for (const auto& values : seen) EXPECT_TRUE(sameBytes(values, seen[0]));
    if (format == WeightFormat::kF32) {
      for (int64_t i = 0; i < out; ++i) {
        for (int64_t j = 0; j < in; ++j)
          ASSERT_EQ(seen[0][at(i, in, j)], 0.5f * host[at(ids[static_cast<size_t>(i)], in, j)]);
      }
    }
  }
}

TEST_P(LinearTest, WeightBytesGrowWithTheFormat) {
  const size_t f32 = backend().weightBytes(1000, 333, WeightFormat::kF32);
  EXPECT_GE(f32, size_t{1000} * 333 * 4);
  EXPECT_GE(f32, backend().weightBytes(1000, 333, WeightFormat::kBF16) * 2 - 4096);
  EXPECT_LT(backend().weightBytes(1000, 333, WeightFormat::kI8Channel), f32 / 3);
  EXPECT_LT(backend().weightBytes(1000, 333, WeightFormat::kNF4), f32 / 6);
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
