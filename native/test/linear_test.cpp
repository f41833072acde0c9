// Linear layers with adapters against a float64 reference, and the promises that training and sampling rest on: rows do
// not know each other, threads and instruction sets do not change a bit, nothing outside the result is touched.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "test/backend_cases.h"
#include "test/nf4_oracle.h"

namespace mlit::test {
namespace {

size_t at(int64_t row, int64_t ld, int64_t column) { return static_cast<size_t>(row * ld + column); }

bool sameBytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Host copies of everything a case needs.
struct LinearData {
  LinearCase spec;
  int64_t ldx, ldy, ldp;
  std::vector<float> w, x, dy, dx;
  std::vector<std::vector<float>> a, dA;                 // by group
  std::vector<std::vector<std::vector<float>>> bT, dbT;  // by group, segment

  explicit LinearData(const LinearCase& c, uint64_t seed = 1)
      : spec(c), ldx(c.in + c.padding), ldy(c.out + c.padding), ldp(1) {
    w = randomFloats(c.out * c.in, seed);
    x = randomFloats(c.rows * ldx, seed + 1);
    dy = randomFloats(c.rows * ldy, seed + 2);
    dx = c.accumulate ? randomFloats(c.rows * ldx, seed + 3)
                      : std::vector<float>(static_cast<size_t>(c.rows * ldx), kPoison);
    for (size_t g = 0; g < c.groups.size(); ++g) {
      const GroupSpec& group = c.groups[g];
      ldp = std::max<int64_t>(ldp, group.rankTotal());
      a.push_back(randomFloats(group.rankTotal() * c.in, seed + 10 + g));
      dA.push_back(randomFloats(group.rankTotal() * c.in, seed + 20 + g));
      bT.emplace_back();
      dbT.emplace_back();
      for (size_t s = 0; s < group.segments.size(); ++s) {
        const SegmentSpec& segment = group.segments[s];
        const int64_t n = int64_t{segment.rank} * (segment.outEnd - segment.outBegin);
        bT.back().push_back(randomFloats(n, seed + 100 + 10 * g + s));
        dbT.back().push_back(randomFloats(n, seed + 200 + 10 * g + s));
      }
    }
  }
};

struct LinearResult {
  std::vector<float> y, dx;
  std::vector<std::vector<float>> dA;
  std::vector<std::vector<std::vector<float>>> dbT;
  std::vector<float> w;  // the weight as the backend sees it

  bool operator==(const LinearResult& other) const {
    bool same = sameBytes(y, other.y) && sameBytes(dx, other.dx) && dA.size() == other.dA.size();
    for (size_t g = 0; same && g < dA.size(); ++g) {
      same = sameBytes(dA[g], other.dA[g]);
      for (size_t s = 0; same && s < dbT[g].size(); ++s) same = sameBytes(dbT[g][s], other.dbT[g][s]);
    }
    return same;
  }
};

LinearResult runLinear(Backend& backend, const LinearData& d) {
  const LinearCase& c = d.spec;
  const WeightId weight = backend.createWeight(c.out, c.in, c.format);
  backend.setWeightRows(weight, 0, c.out, d.w.data());
  const DeviceFloats x(backend, d.x), dy(backend, d.dy), dx(backend, d.dx);
  const DeviceFloats y(backend, c.rows * d.ldy, kPoison), p(backend, c.rows * d.ldp, kPoison),
      u(backend, c.rows * d.ldp, kPoison);

  std::vector<std::unique_ptr<DeviceFloats>> a, dA;
  std::vector<std::vector<std::unique_ptr<DeviceFloats>>> bT(c.groups.size()), dbT(c.groups.size());
  std::vector<std::vector<LoraSegment>> segments(c.groups.size());
  std::vector<LoraGroup> groups;
  for (size_t g = 0; g < c.groups.size(); ++g) {
    const GroupSpec& spec = c.groups[g];
    a.push_back(std::make_unique<DeviceFloats>(backend, d.a[g]));
    dA.push_back(std::make_unique<DeviceFloats>(backend, d.dA[g]));
    int32_t rankBegin = 0;
    for (size_t s = 0; s < spec.segments.size(); ++s) {
      bT[g].push_back(std::make_unique<DeviceFloats>(backend, d.bT[g][s]));
      dbT[g].push_back(std::make_unique<DeviceFloats>(backend, d.dbT[g][s]));
      segments[g].push_back({spec.segments[s].outBegin, spec.segments[s].outEnd, spec.segments[s].rank, rankBegin,
                             bT[g][s]->ptr(), dbT[g][s]->ptr()});
      rankBegin += spec.segments[s].rank;
    }
    groups.push_back({spec.rowBegin, spec.rowEnd, spec.scale, rankBegin, a[g]->ptr(), dA[g]->ptr(), segments[g]});
  }

  backend.linearForward(weight, x.ptr(), d.ldx, c.rows, y.ptr(), d.ldy, groups, p.ptr());
  LinearResult result;
  result.y = y.read();
  const DeviceFloats fresh(backend, c.rows * d.ldp, kPoison);  // backward may not rely on forward's scratch
  backend.linearBackward(weight, x.ptr(), d.ldx, c.rows, dy.ptr(), d.ldy, c.wantDx ? dx.ptr() : DevF32(), d.ldx,
                         c.accumulate, groups, fresh.ptr(), u.ptr());
  result.dx = dx.read();
  for (size_t g = 0; g < c.groups.size(); ++g) {
    result.dA.push_back(dA[g]->read());
    result.dbT.emplace_back();
    for (const auto& gradient : dbT[g]) result.dbT.back().push_back(gradient->read());
  }

  std::vector<int32_t> ids(static_cast<size_t>(c.out));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const DeviceArray<int32_t> rows(backend, ids);
  const DeviceFloats seen(backend, c.out * c.in, kPoison);
  backend.gatherWeightRows(weight, rows.ptr(), c.out, 1.0f, seen.ptr());
  result.w = seen.read();
  backend.destroyWeight(weight);
  return result;
}

// A sum in float64 together with the sum of its terms' sizes, which bounds what float32 may lose.
struct Sum {
  double value = 0;
  double size = 0;
  void add(double term) { value += term, size += std::fabs(term); }
  // A term that is itself a sum times a factor.
  void add(const Sum& term, double factor) { value += term.value * factor, size += term.size * std::fabs(factor); }
};

constexpr double kTolerance = 1e-6;

void expectClose(const char* what, int64_t row, int64_t column, float actual, const Sum& expected) {
  ASSERT_LE(std::fabs(static_cast<double>(actual) - expected.value), kTolerance * expected.size + 1e-30)
      << what << " at (" << row << ", " << column << "): " << actual << ", expected " << expected.value;
}

// x·Aᵀ and dy·B of one group, in float64: [rows of the group][rankTotal].
struct Projected {
  std::vector<Sum> p, u;
  Projected(const LinearData& d, size_t g) {
    const LinearCase& c = d.spec;
    const GroupSpec& group = c.groups[g];
    const int64_t rank = group.rankTotal();
    const int64_t rows = group.rowEnd - group.rowBegin;
    p.resize(static_cast<size_t>(rows * rank));
    u = p;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t r = 0; r < rank; ++r) {
        for (int64_t i = 0; i < c.in; ++i)
          p[at(row, rank, r)].add(double{d.x[at(group.rowBegin + row, d.ldx, i)]} * d.a[g][at(r, c.in, i)]);
      }
      int64_t begin = 0;
      for (size_t s = 0; s < group.segments.size(); ++s) {
        const SegmentSpec& segment = group.segments[s];
        const int64_t n = segment.outEnd - segment.outBegin;
        for (int64_t r = 0; r < segment.rank; ++r) {
          for (int64_t j = 0; j < n; ++j) {
            u[at(row, rank, begin + r)].add(double{d.dy[at(group.rowBegin + row, d.ldy, segment.outBegin + j)]} *
                                            d.bT[g][s][at(r, n, j)]);
          }
        }
        begin += segment.rank;
      }
    }
  }
};

void checkForward(const LinearData& d, const LinearResult& result) {
  const LinearCase& c = d.spec;
  std::vector<Sum> y(static_cast<size_t>(c.rows * c.out));
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) {
      for (int64_t i = 0; i < c.in; ++i)
        y[at(row, c.out, o)].add(double{d.x[at(row, d.ldx, i)]} * result.w[at(o, c.in, i)]);
    }
  }
  for (size_t g = 0; g < c.groups.size(); ++g) {
    const GroupSpec& group = c.groups[g];
    const Projected projected(d, g);
    for (int64_t row = group.rowBegin; row < group.rowEnd; ++row) {
      int64_t begin = 0;
      for (size_t s = 0; s < group.segments.size(); ++s) {
        const SegmentSpec& segment = group.segments[s];
        const int64_t n = segment.outEnd - segment.outBegin;
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t r = 0; r < segment.rank; ++r) {
            y[at(row, c.out, segment.outBegin + j)].add(
                projected.p[at(row - group.rowBegin, group.rankTotal(), begin + r)],
                double{group.scale} * d.bT[g][s][at(r, n, j)]);
          }
        }
        begin += segment.rank;
      }
    }
  }
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) expectClose("y", row, o, result.y[at(row, d.ldy, o)], y[at(row, c.out, o)]);
    for (int64_t o = c.out; o < d.ldy; ++o)
      ASSERT_TRUE(std::isnan(result.y[at(row, d.ldy, o)])) << "y was written past its width";
  }
}

void checkDx(const LinearData& d, const LinearResult& result) {
  const LinearCase& c = d.spec;
  if (!c.wantDx) {
    ASSERT_TRUE(sameBytes(result.dx, d.dx));
    return;
  }
  std::vector<Sum> dx(static_cast<size_t>(c.rows * c.in));
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t i = 0; i < c.in; ++i) {
      if (c.accumulate) dx[at(row, c.in, i)].add(d.dx[at(row, d.ldx, i)]);
      for (int64_t o = 0; o < c.out; ++o)
        dx[at(row, c.in, i)].add(double{d.dy[at(row, d.ldy, o)]} * result.w[at(o, c.in, i)]);
    }
  }
  for (size_t g = 0; g < c.groups.size(); ++g) {
    const GroupSpec& group = c.groups[g];
    const Projected projected(d, g);
    const int64_t rank = group.rankTotal();
    for (int64_t row = group.rowBegin; row < group.rowEnd; ++row) {
      for (int64_t i = 0; i < c.in; ++i) {
        for (int64_t r = 0; r < rank; ++r) {
          dx[at(row, c.in, i)].add(projected.u[at(row - group.rowBegin, rank, r)],
                                   double{group.scale} * d.a[g][at(r, c.in, i)]);
        }
      }
    }
  }
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t i = 0; i < c.in; ++i) expectClose("dx", row, i, result.dx[at(row, d.ldx, i)], dx[at(row, c.in, i)]);
    for (int64_t i = c.in; i < d.ldx; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(result.dx[at(row, d.ldx, i)]),
                std::bit_cast<uint32_t>(d.dx[at(row, d.ldx, i)]));
    }
  }
}

void checkGradients(const LinearData& d, const LinearResult& result) {
  const LinearCase& c = d.spec;
  for (size_t g = 0; g < c.groups.size(); ++g) {
    const GroupSpec& group = c.groups[g];
    const Projected projected(d, g);
    const int64_t rank = group.rankTotal();
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t i = 0; i < c.in; ++i) {
        Sum sum;
        sum.add(d.dA[g][at(r, c.in, i)]);
        for (int64_t row = group.rowBegin; row < group.rowEnd; ++row) {
          sum.add(projected.u[at(row - group.rowBegin, rank, r)], double{group.scale} * d.x[at(row, d.ldx, i)]);
        }
        expectClose("dA", r, i, result.dA[g][at(r, c.in, i)], sum);
      }
    }
    int64_t begin = 0;
    for (size_t s = 0; s < group.segments.size(); ++s) {
      const SegmentSpec& segment = group.segments[s];
      const int64_t n = segment.outEnd - segment.outBegin;
      for (int64_t r = 0; r < segment.rank; ++r) {
        for (int64_t j = 0; j < n; ++j) {
          Sum sum;
          sum.add(d.dbT[g][s][at(r, n, j)]);
          for (int64_t row = group.rowBegin; row < group.rowEnd; ++row) {
            sum.add(projected.p[at(row - group.rowBegin, rank, begin + r)],
                    double{group.scale} * d.dy[at(row, d.ldy, segment.outBegin + j)]);
          }
          expectClose("dbT", r, j, result.dbT[g][s][at(r, n, j)], sum);
        }
      }
      begin += segment.rank;
    }
  }
}

class LinearTest : public ::testing::TestWithParam<BackendFactory> {};

TEST_P(LinearTest, EqualsTheReference) {
  const auto backend = GetParam().create();
  for (const LinearCase& c : linearCases()) {
    SCOPED_TRACE(c.name);
    const LinearData data(c);
    const LinearResult result = runLinear(*backend, data);
    ASSERT_NO_FATAL_FAILURE(checkForward(data, result));
    ASSERT_NO_FATAL_FAILURE(checkDx(data, result));
    ASSERT_NO_FATAL_FAILURE(checkGradients(data, result));
  }
}

TEST_P(LinearTest, RandomShapesEqualTheReference) {
  const auto backend = GetParam().create();
  for (uint64_t i = 0; i < 40; ++i) {
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
    if (split > 0 && begin > 0) c.groups.push_back({0, begin, 1.25f, {{0, split, 3}}});
    SCOPED_TRACE(i);
    const LinearData data(c, 1000 + 50 * i);
    const LinearResult result = runLinear(*backend, data);
    ASSERT_NO_FATAL_FAILURE(checkForward(data, result));
    ASSERT_NO_FATAL_FAILURE(checkDx(data, result));
    ASSERT_NO_FATAL_FAILURE(checkGradients(data, result));
  }
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
  const auto backend = GetParam().create();
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    LinearCase c{"rows", 100, 710, 203, format, 1, false, true, {}};
    c.groups = {{0, 37, 2.0f, {{0, 300, 8}, {300, 710, 5}}}, {41, 100, 0.5f, {{100, 710, 16}}}};
    const LinearData all(c);
    const LinearResult whole = runLinear(*backend, all);
    for (const int64_t count : {1, 2, 3, 7, 16, 33}) {
      for (int64_t begin = 0; begin + count <= c.rows; begin += count == 1 ? 9 : 11) {
        const LinearResult some = runLinear(*backend, rowsOfCase(all, begin, count));
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
  const auto backend = GetParam().create();
  LinearCase c{"adapters", 90, 130, 97, WeightFormat::kF32, 0, false, true, {}};
  c.groups = {{0, 41, 2.0f, {{0, 60, 4}, {60, 130, 4}}}, {41, 90, 0.5f, {{0, 60, 11}, {60, 130, 30}}}};
  const LinearData both(c);
  const LinearResult together = runLinear(*backend, both);
  for (size_t g = 0; g < 2; ++g) {
    const int64_t begin = c.groups[g].rowBegin, count = c.groups[g].rowEnd - begin;
    LinearData one = rowsOfCase(both, begin, count);
    one.spec.groups = {one.spec.groups[g]};
    one.a = {both.a[g]}, one.dA = {both.dA[g]}, one.bT = {both.bT[g]}, one.dbT = {both.dbT[g]};
    one.ldp = one.spec.groups[0].rankTotal();
    const LinearResult alone = runLinear(*backend, one);
    EXPECT_EQ(0, std::memcmp(&together.y[at(begin, both.ldy, 0)], alone.y.data(), alone.y.size() * 4));
    EXPECT_EQ(0, std::memcmp(&together.dx[at(begin, both.ldx, 0)], alone.dx.data(), alone.dx.size() * 4));
    EXPECT_TRUE(sameBytes(together.dA[g], alone.dA[0]));
    for (size_t s = 0; s < 2; ++s) EXPECT_TRUE(sameBytes(together.dbT[g][s], alone.dbT[0][s]));
  }
}

TEST_P(LinearTest, MissingGradientBuffersAreSkipped) {
  const auto backend = GetParam().create();
  const WeightId weight = backend->createWeight(20, 10, WeightFormat::kF32);
  backend->setWeightRows(weight, 0, 20, randomFloats(200, 1).data());
  const DeviceFloats x(*backend, randomFloats(50, 2)), dy(*backend, randomFloats(100, 3)),
      a(*backend, randomFloats(20, 4)), bT(*backend, randomFloats(40, 5)), dx(*backend, 50, kPoison),
      p(*backend, 10, kPoison), u(*backend, 10, kPoison);
  const LoraSegment segment{0, 20, 2, 0, bT.ptr(), DevF32()};
  const LoraGroup group{0, 5, 1.0f, 2, a.ptr(), DevF32(), {&segment, 1}};
  backend->linearBackward(weight, x.ptr(), 10, 5, dy.ptr(), 20, dx.ptr(), 10, false, {&group, 1}, p.ptr(), u.ptr());
  for (const float value : dx.read()) EXPECT_TRUE(std::isfinite(value));
  backend->destroyWeight(weight);
}

float bf16Rounded(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

TEST_P(LinearTest, StoredFormatsComputeWithTheirExactValues) {
  const auto backend = GetParam().create();
  // A few rows, whose products widen the stored numbers themselves, and many, for which they are decoded first.
  LinearCase many{"formats", 90, 166, 83, WeightFormat::kBF16, 0, false, true, {}};
  const LinearData manySource(many);
  LinearData manyExact = manySource;
  manyExact.spec.format = WeightFormat::kF32;
  for (float& value : manyExact.w) value = bf16Rounded(value);
  EXPECT_TRUE(runLinear(*backend, manySource) == runLinear(*backend, manyExact));

  LinearCase c{"formats", 17, 150, 83, WeightFormat::kBF16, 0, false, true, {}};
  const LinearData source(c);

  LinearData exact = source;
  exact.spec.format = WeightFormat::kF32;
  for (float& value : exact.w) value = bf16Rounded(value);
  const LinearResult bf16 = runLinear(*backend, source);
  EXPECT_TRUE(sameBytes(bf16.w, exact.w));
  EXPECT_TRUE(bf16 == runLinear(*backend, exact));

  LinearData int8 = source;
  int8.spec.format = WeightFormat::kI8Channel;
  for (int64_t o = 0; o < c.out; ++o) {
    float largest = 0;
    for (int64_t i = 0; i < c.in; ++i) largest = std::max(largest, std::fabs(source.w[at(o, c.in, i)]));
    const float scale = largest / 127.0f;
    for (int64_t i = 0; i < c.in; ++i)
      exact.w[at(o, c.in, i)] = (std::nearbyint(source.w[at(o, c.in, i)] / scale) + 0.0f) * scale;  // no -0
  }
  const LinearResult quantised = runLinear(*backend, int8);
  EXPECT_TRUE(sameBytes(quantised.w, exact.w));
  EXPECT_TRUE(quantised == runLinear(*backend, exact));

  LinearData nf4 = source;
  nf4.spec.format = WeightFormat::kNF4;
  exact.w = nf4Rounded(source.w, c.in);
  const LinearResult fourBit = runLinear(*backend, nf4);
  EXPECT_TRUE(sameBytes(fourBit.w, exact.w));
  EXPECT_TRUE(fourBit == runLinear(*backend, exact));
}

TEST_P(LinearTest, RowsOfAWeightMaySetInAnyPieces) {
  const auto backend = GetParam().create();
  const int64_t out = 200, in = 1030;
  const std::vector<float> host = randomFloats(out * in, 5);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < out; ++i) ids.push_back((i * 77 + 3) % static_cast<int32_t>(out));
  const DeviceArray<int32_t> rows(*backend, ids);
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    std::vector<std::vector<float>> seen;
    for (const int64_t piece : {out, int64_t{1}, int64_t{7}, int64_t{64}, int64_t{90}}) {
      const WeightId weight = backend->createWeight(out, in, format);
      for (int64_t row = 0; row < out; row += piece) {
        backend->setWeightRows(weight, row, std::min(piece, out - row), host.data() + row * in);
      }
      const DeviceFloats gathered(*backend, out * in, kPoison);
      backend->gatherWeightRows(weight, rows.ptr(), out, 0.5f, gathered.ptr());
      seen.push_back(gathered.read());
      backend->destroyWeight(weight);
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
  const auto backend = GetParam().create();
  const size_t f32 = backend->weightBytes(1000, 333, WeightFormat::kF32);
  EXPECT_GE(f32, size_t{1000} * 333 * 4);
  EXPECT_GE(f32, backend->weightBytes(1000, 333, WeightFormat::kBF16) * 2 - 4096);
  EXPECT_LT(backend->weightBytes(1000, 333, WeightFormat::kI8Channel), f32 / 3);
  EXPECT_LT(backend->weightBytes(1000, 333, WeightFormat::kNF4), f32 / 6);
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTest, ::testing::ValuesIn(backendFactories()), factoryName);

TEST(CpuLinear, ThreadsAndInstructionSetsDoNotChangeABit) {
  std::vector<LinearCase> cases = linearCases();
  LinearCase large{"large", 400, 700, 390, WeightFormat::kF32, 0, false, true, {}};
  large.groups = {{10, 390, 2.0f, {{0, 350, 16}, {350, 700, 16}}}};
  cases.push_back(large);
  for (const LinearCase& c : cases) {
    SCOPED_TRACE(c.name);
    const LinearData data(c);
    const auto first = createCpuBackend(1);
    const LinearResult expected = runLinear(*first, data);
    for (const std::string& isa : availableIsas()) {
      for (const int threads : {1, 2, 3}) {
        const auto backend = createCpuBackend(threads, isa);
        EXPECT_TRUE(expected == runLinear(*backend, data)) << isa << ", " << threads << " threads";
      }
    }
  }
}

// Documents of two adapters in turn: each adapter's gradients are sums over row ranges that lie apart.
TEST(CpuLinear, RowsOfOneAdapterThatLieApartAddUpWhateverTheThreads) {
  constexpr int64_t kRows = 1024, kSize = 64;
  constexpr int32_t kRank = 8, kRanges = 16;
  const std::vector<float> w = randomFloats(kSize * kSize, 1), x = randomFloats(kRows * kSize, 2),
                           dy = randomFloats(kRows * kSize, 3), a = randomFloats(kRank * kSize, 4),
                           bT = randomFloats(kRank * kSize, 5);
  const auto gradients = [&](Backend& backend, bool dropout) {
    const WeightId weight = backend.createWeight(kSize, kSize, WeightFormat::kF32);
    backend.setWeightRows(weight, 0, kSize, w.data());
    const DeviceFloats dx(backend, x), dDy(backend, dy), dA(backend, kRank * kSize, 0), dbT(backend, kRank * kSize, 0),
        dOther(backend, kRank * kSize, 0), dbTOther(backend, kRank * kSize, 0), aDevice(backend, a),
        bDevice(backend, bT), out(backend, kRows * kSize, kPoison), p(backend, kRows * kRank, kPoison),
        u(backend, kRows * kRank, kPoison);
    const DeviceArray<int32_t> numbers(backend, std::vector<int32_t>(kRows, 3));
    const LoraSegment segments[2] = {{0, kSize, kRank, 0, bDevice.ptr(), dbT.ptr()},
                                     {0, kSize, kRank, 0, bDevice.ptr(), dbTOther.ptr()}};
    std::vector<LoraGroup> groups;
    for (int32_t i = 0; i < kRanges; ++i) {
      constexpr auto kEach = static_cast<int32_t>(kRows / kRanges);
      LoraGroup group{i * kEach,
                      (i + 1) * kEach,
                      0.5f,
                      kRank,
                      aDevice.ptr(),
                      (i % 2 == 0 ? dA : dOther).ptr(),
                      std::span(segments + i % 2, 1)};
      if (dropout) group.dropout = {0.25, 7, numbers.ptr(), numbers.ptr()};
      groups.push_back(group);
    }
    backend.linearBackward(weight, dx.ptr(), kSize, kRows, dDy.ptr(), kSize, out.ptr(), kSize, false, groups, p.ptr(),
                           u.ptr());
    const std::vector<std::vector<float>> result = {dA.read(), dbT.read(), dOther.read(), dbTOther.read()};
    backend.destroyWeight(weight);
    return result;
  };
  const auto one = createCpuBackend(1), four = createCpuBackend(4);
  for (const bool dropout : {false, true}) {
    const auto expected = gradients(*one, dropout);
    for (int repeat = 0; repeat < 50; ++repeat) ASSERT_EQ(gradients(*four, dropout), expected) << repeat;
  }
}

}  // namespace
}  // namespace mlit::test
