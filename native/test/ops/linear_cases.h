// Cases of linear layers with adapters, the calls that compute them, and what they should come to in float64.
#pragma once

#include <bit>

#include "test/op_support.h"

namespace mlit::test {

struct SegmentSpec {
  int32_t outBegin;
  int32_t outEnd;
  int32_t rank;
};
struct GroupSpec {
  int32_t rowBegin;
  int32_t rowEnd;
  float scale;
  std::vector<SegmentSpec> segments;

  int32_t rankTotal() const {
    int32_t rank = 0;
    for (const SegmentSpec& segment : segments) rank += segment.rank;
    return rank;
  }
};
struct LinearCase {
  const char* name;
  int64_t rows;
  int64_t out;
  int64_t in;
  WeightFormat format;
  int64_t padding;  // leading dimensions are so much wider than the rows
  bool accumulate;
  bool wantDx;
  std::vector<GroupSpec> groups;
};

inline std::vector<LinearCase> linearCases() {
  constexpr auto kF32 = WeightFormat::kF32;
  constexpr auto kBF16 = WeightFormat::kBF16;
  constexpr auto kI8 = WeightFormat::kI8Channel;
  constexpr auto kNF4 = WeightFormat::kNF4;
  return {
      {"one_by_one", 1, 1, 1, kF32, 0, false, true, {}},
      {"one_by_one_adapter", 1, 1, 1, kF32, 3, false, true, {{0, 1, 2.0f, {{0, 1, 1}}}}},
      {"no_groups_odd", 5, 67, 33, kF32, 0, false, true, {}},
      {"no_groups_padded_accumulate", 13, 130, 65, kF32, 9, true, true, {}},
      {"deep", 9, 70, 1301, kF32, 1, false, true, {{0, 9, 0.5f, {{0, 70, 3}}}}},
      {"wide", 7, 1500, 17, kF32, 0, true, true, {{2, 7, 1.5f, {{0, 1500, 4}}}}},
      {"many_rows", 301, 72, 40, kF32, 2, false, true, {{0, 301, 2.0f, {{0, 72, 5}}}}},
      {"stacked_segments", 40, 96, 64, kF32, 0, false, true, {{0, 40, 2.0f, {{0, 50, 16}, {50, 73, 3}, {73, 96, 7}}}}},
      {"gap_between_segments", 19, 100, 31, kF32, 5, true, true, {{0, 19, 1.0f, {{3, 40, 2}, {60, 99, 9}}}}},
      {"two_adapters",
       50,
       128,
       96,
       kF32,
       0,
       false,
       true,
       {{0, 23, 2.0f, {{0, 64, 8}, {64, 128, 8}}}, {23, 50, 0.25f, {{0, 64, 3}, {64, 128, 21}}}}},
      {"gaps_between_groups",
       61,
       65,
       66,
       kF32,
       4,
       true,
       true,
       {{5, 6, 3.0f, {{0, 65, 1}}}, {20, 47, 1.0f, {{10, 65, 12}}}}},
      {"empty_group", 11, 30, 30, kF32, 0, false, true, {{4, 4, 1.0f, {{0, 30, 4}}}, {4, 9, 1.0f, {{0, 30, 2}}}}},
      {"rank_over_64", 30, 70, 80, kF32, 0, false, true, {{0, 30, 0.1f, {{0, 35, 70}, {35, 70, 33}}}}},
      {"rank_over_depth", 12, 40, 50, kF32, 0, false, true, {{1, 12, 0.01f, {{0, 40, 700}}}}},
      {"no_dx", 33, 90, 45, kF32, 0, false, false, {{0, 20, 2.0f, {{0, 90, 16}}}}},
      {"bf16", 21, 131, 77, kBF16, 3, false, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"bf16_deep", 4, 1400, 700, kBF16, 0, true, true, {}},
      {"int8", 21, 131, 77, kI8, 3, true, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"int8_deep", 4, 1400, 700, kI8, 0, false, true, {}},
      {"nf4", 21, 131, 77, kNF4, 3, true, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"nf4_deep", 4, 1400, 700, kNF4, 0, false, true, {}},
  };
}

inline size_t at(int64_t row, int64_t ld, int64_t column) { return static_cast<size_t>(row * ld + column); }

inline bool sameBytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Host copies of everything a case needs.
struct LinearData {
  LinearCase spec;
  ElementType type;  // of x, y and their gradients
  int64_t ldx, ldy, ldp;
  std::vector<float> w, x, dy, dx;
  std::vector<std::vector<float>> a, dA;                 // by group
  std::vector<std::vector<std::vector<float>>> bT, dbT;  // by group, segment

  explicit LinearData(const LinearCase& c, ElementType reals, uint64_t seed = 1)
      : spec(c), type(reals), ldx(c.in + c.padding), ldy(c.out + c.padding), ldp(1) {
    w = randomFloats(c.out * c.in, seed);
    x = rounded(type, randomFloats(c.rows * ldx, seed + 1));
    dy = rounded(type, randomFloats(c.rows * ldy, seed + 2));
    dx = c.accumulate ? rounded(type, randomFloats(c.rows * ldx, seed + 3))
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

// Where activations are narrow, quantised weights are widened to their type.
inline int roundingsOf(WeightFormat format) {
  return format == WeightFormat::kI8Channel || format == WeightFormat::kNF4 ? 1 : 0;
}

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

inline LinearResult runLinear(Backend& backend, const LinearData& d) {
  const LinearCase& c = d.spec;
  const WeightId weight = backend.createWeight(c.out, c.in, c.format);
  backend.setWeightRows(weight, 0, c.out, d.w.data());
  const DeviceReals x(backend, d.x), dy(backend, d.dy), dx(backend, d.dx);
  const DeviceReals y(backend, c.rows * d.ldy, kPoison), p(backend, c.rows * d.ldp, kPoison),
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
  const DeviceReals fresh(backend, c.rows * d.ldp, kPoison);  // backward may not rely on forward's scratch
  backend.linearBackward(weight, x.ptr(), d.ldx, c.rows, dy.ptr(), d.ldy, c.wantDx ? dx.ptr() : DevReal(), d.ldx,
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

// A sum in float64, the sum of its terms' sizes, which bounds what float32 may lose, and the sizes of what was rounded to reals
// narrower than float32 on the way: a factor of a term, a sum that another op takes up, the result.
struct Sum {
  double value = 0;
  double size = 0;
  double narrowed = 0;
  void add(double term, int roundings = 0) {
    value += term, size += std::fabs(term), narrowed += roundings * std::fabs(term);
  }
  // A term that is itself a sum times a factor that was rounded so often.
  void add(const Sum& term, double factor, int roundings = 0) {
    value += term.value * factor, size += term.size * std::fabs(factor);
    narrowed += (term.narrowed + roundings * std::fabs(term.value)) * std::fabs(factor);
  }
  void round() { narrowed += std::fabs(value); }
};

// In units of 2^-24, an addition's error: 17, and 32 of tensor cores, which add in an order of their own.
inline double toleranceOf(ElementType type) { return type == ElementType::kF32 ? 1e-6 : 0x1p-19; }

inline void expectClose(const char* what, int64_t row, int64_t column, float actual, const Sum& expected,
                        ElementType type) {
  // Roundings of roundings are a hundredth of what they round.
  const double allowed = toleranceOf(type) * expected.size + 1.02 * unitOf(type) * expected.narrowed + 1e-30;
  ASSERT_LE(std::fabs(static_cast<double>(actual) - expected.value), allowed)
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
          p[at(row, rank, r)].add(double{d.x[at(group.rowBegin + row, d.ldx, i)]} * d.a[g][at(r, c.in, i)], 1);
        p[at(row, rank, r)].round();
      }
      int64_t begin = 0;
      for (size_t s = 0; s < group.segments.size(); ++s) {
        const SegmentSpec& segment = group.segments[s];
        const int64_t n = segment.outEnd - segment.outBegin;
        for (int64_t r = 0; r < segment.rank; ++r) {
          for (int64_t j = 0; j < n; ++j) {
            u[at(row, rank, begin + r)].add(
                double{d.dy[at(group.rowBegin + row, d.ldy, segment.outBegin + j)]} * d.bT[g][s][at(r, n, j)], 1);
          }
          u[at(row, rank, begin + r)].round();
        }
        begin += segment.rank;
      }
    }
  }
};

inline void checkForward(const LinearData& d, const LinearResult& result) {
  const LinearCase& c = d.spec;
  std::vector<Sum> y(static_cast<size_t>(c.rows * c.out));
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) {
      for (int64_t i = 0; i < c.in; ++i)
        y[at(row, c.out, o)].add(double{d.x[at(row, d.ldx, i)]} * result.w[at(o, c.in, i)], roundingsOf(c.format));
      y[at(row, c.out, o)].round();
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
                double{group.scale} * d.bT[g][s][at(r, n, j)], 1);
          }
        }
        begin += segment.rank;
      }
    }
  }
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) {
      y[at(row, c.out, o)].round();
      expectClose("y", row, o, result.y[at(row, d.ldy, o)], y[at(row, c.out, o)], d.type);
    }
    for (int64_t o = c.out; o < d.ldy; ++o)
      ASSERT_TRUE(std::isnan(result.y[at(row, d.ldy, o)])) << "y was written past its width";
  }
}

inline void checkDx(const LinearData& d, const LinearResult& result) {
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
        dx[at(row, c.in, i)].add(double{d.dy[at(row, d.ldy, o)]} * result.w[at(o, c.in, i)], roundingsOf(c.format));
      dx[at(row, c.in, i)].round();
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
                                   double{group.scale} * d.a[g][at(r, c.in, i)], 1);
        }
      }
    }
  }
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t i = 0; i < c.in; ++i) {
      dx[at(row, c.in, i)].round();
      expectClose("dx", row, i, result.dx[at(row, d.ldx, i)], dx[at(row, c.in, i)], d.type);
    }
    for (int64_t i = c.in; i < d.ldx; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(result.dx[at(row, d.ldx, i)]),
                std::bit_cast<uint32_t>(d.dx[at(row, d.ldx, i)]));
    }
  }
}

inline void checkGradients(const LinearData& d, const LinearResult& result) {
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
        expectClose("dA", r, i, result.dA[g][at(r, c.in, i)], sum, d.type);
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
          expectClose("dbT", r, j, result.dbT[g][s][at(r, n, j)], sum, d.type);
        }
      }
      begin += segment.rank;
    }
  }
}

}  // namespace mlit::test
