// LoRA's dropout as an op: the product with its masks written out in float64, its gradients, and a row's bits.
#include "core/dropout.h"
#include "test/ops/linear_cases.h"

namespace mlit::test {
namespace {

constexpr double kDropped = 0.25;

// Two groups of rows, one of three segments and one of one, and rows of the bare base between them.
struct Op {
  static constexpr int64_t kRows = 301, kOut = 96, kIn = 131, kRank = 15, kPadding = 3;
  static constexpr int64_t kLdx = kIn + kPadding, kLdy = kOut + kPadding;
  static constexpr uint64_t kKey = 0x123456789abcdef0;
  struct Segment {
    int32_t begin, end, rank, rankBegin;
    uint32_t module;
  };
  struct Group {
    int32_t begin, end;
    float scale;
    std::vector<Segment> segments;
  };
  std::vector<Group> groups = {{0, 270, 2.0f, {{0, 40, 4, 0, 11}, {40, 70, 4, 4, 12}, {70, 96, 7, 8, 13}}},
                               {280, 301, 0.5f, {{10, 90, 15, 0, 11}}}};
  ElementType type;
  std::vector<float> w = randomFloats(kOut * kIn, 1), x = rounded(type, randomFloats(kRows*kLdx, 2)),
                     dy = rounded(type, randomFloats(kRows*kLdy, 3)), a = randomFloats(kRank * kIn, 4),
                     bT = randomFloats(kRank * kOut, 5);  // both groups' factors, for brevity
  std::vector<int32_t> records, positions;
  int64_t first = 0, rows = kRows;  // the part of the rows that is computed

  explicit Op(ElementType reals) : type(reals) {
    for (int32_t row = 0; row < kRows; ++row) records.push_back(row / 50), positions.push_back(row % 50);
  }
  double mask(const Segment& segment, int64_t row, int64_t i) const {
    const auto r = static_cast<size_t>(row);
    const bool keep = dropoutKeeps(kKey, segment.module, static_cast<uint32_t>(records[r]),
                                   static_cast<uint32_t>(positions[r]), static_cast<uint32_t>(i), kDropped);
    return keep ? 1 / (1 - kDropped) : 0;
  }
};

struct OpResult {
  std::vector<float> y, dx;
  std::vector<std::vector<float>> dA, dbT;
};

OpResult run(Backend& backend, const Op& op) {
  const WeightId weight = backend.createWeight(Op::kOut, Op::kIn, WeightFormat::kF32);
  backend.setWeightRows(weight, 0, Op::kOut, op.w.data());
  const DeviceReals x(backend, op.x), dy(backend, op.dy);
  const DeviceFloats a(backend, op.a), bT(backend, op.bT);
  const DeviceArray<int32_t> records(backend, op.records), positions(backend, op.positions);
  const DeviceReals y(backend, Op::kRows * Op::kLdy, kPoison), dx(backend, Op::kRows * Op::kLdx, kPoison),
      p(backend, Op::kRows * Op::kRank, kPoison), u(backend, Op::kRows * Op::kRank, kPoison);
  std::vector<std::unique_ptr<DeviceFloats>> dA, dbT;
  std::vector<std::vector<LoraSegment>> segments(op.groups.size());
  std::vector<LoraGroup> groups;
  const auto last = static_cast<int32_t>(op.first + op.rows);
  for (size_t g = 0; g < op.groups.size(); ++g) {
    const Op::Group& spec = op.groups[g];
    dA.push_back(std::make_unique<DeviceFloats>(backend, Op::kRank * Op::kIn, 0.0f));
    dbT.push_back(std::make_unique<DeviceFloats>(backend, Op::kRank * Op::kOut, 0.0f));
    for (const Op::Segment& s : spec.segments) {
      segments[g].push_back({s.begin, s.end, s.rank, s.rankBegin, bT.ptr() + s.rankBegin * Op::kOut,
                             dbT[g]->ptr() + s.rankBegin * Op::kOut, s.module});
    }
    const int32_t begin = std::clamp(spec.begin, static_cast<int32_t>(op.first), last),
                  end = std::clamp(spec.end, static_cast<int32_t>(op.first), last);
    groups.push_back({begin - static_cast<int32_t>(op.first),
                      end - static_cast<int32_t>(op.first),
                      spec.scale,
                      static_cast<int32_t>(Op::kRank),
                      a.ptr(),
                      dA[g]->ptr(),
                      segments[g],
                      {kDropped, Op::kKey, records.ptr() + op.first, positions.ptr() + op.first}});
  }
  const int64_t toX = op.first * Op::kLdx, toY = op.first * Op::kLdy;
  backend.linearForward(weight, x.ptr() + toX, Op::kLdx, op.rows, y.ptr() + toY, Op::kLdy, groups, p.ptr());
  backend.linearBackward(weight, x.ptr() + toX, Op::kLdx, op.rows, dy.ptr() + toY, Op::kLdy, dx.ptr() + toX, Op::kLdx,
                         false, groups, p.ptr(), u.ptr());
  OpResult result{y.read(), dx.read(), {}, {}};
  for (size_t g = 0; g < groups.size(); ++g) result.dA.push_back(dA[g]->read()), result.dbT.push_back(dbT[g]->read());
  backend.destroyWeight(weight);
  return result;
}

using DropoutOp = OpTest;

// [rows, width] of a matrix, dense.
std::vector<float> dense(const std::vector<float>& values, int64_t ld, int64_t width) {
  std::vector<float> rows;
  for (int64_t row = 0; row < Op::kRows; ++row)
    rows.insert(rows.end(), values.begin() + row * ld, values.begin() + row * ld + width);
  return rows;
}

void expectAll(const std::vector<float>& got, const std::vector<Sum>& want, ElementType type, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NO_FATAL_FAILURE(expectClose(what, 0, static_cast<int64_t>(i), got[i], want[i], type));
  }
}

TEST_P(DropoutOp, IsTheProductWithTheMasksWrittenOut) {
  const Op op(type());
  const OpResult result = run(backend(), op);
  std::vector<Sum> y(Op::kRows * Op::kOut), dx(Op::kRows * Op::kIn);
  for (int64_t row = 0; row < Op::kRows; ++row) {
    for (int64_t o = 0; o < Op::kOut; ++o) {
      Sum& sum = y[at(row, Op::kOut, o)];
      for (int64_t i = 0; i < Op::kIn; ++i) sum.add(double{op.x[at(row, Op::kLdx, i)]} * op.w[at(o, Op::kIn, i)]);
      sum.round();
    }
    for (int64_t i = 0; i < Op::kIn; ++i) {
      Sum& sum = dx[at(row, Op::kIn, i)];
      for (int64_t o = 0; o < Op::kOut; ++o) sum.add(double{op.dy[at(row, Op::kLdy, o)]} * op.w[at(o, Op::kIn, i)]);
      sum.round();
    }
  }
  for (size_t g = 0; g < op.groups.size(); ++g) {
    std::vector<Sum> dA(Op::kRank * Op::kIn), dbT(Op::kRank * Op::kOut);
    for (const Op::Segment& s : op.groups[g].segments) {
      const double scale = op.groups[g].scale;
      const int64_t width = s.end - s.begin;
      for (int64_t row = op.groups[g].begin; row < op.groups[g].end; ++row) {
        for (int64_t r = 0; r < s.rank; ++r) {
          const float* a = op.a.data() + (s.rankBegin + r) * Op::kIn;
          const float* b = op.bT.data() + s.rankBegin * Op::kOut + r * width;
          Sum p, u;
          for (int64_t i = 0; i < Op::kIn; ++i) p.add(op.mask(s, row, i) * op.x[at(row, Op::kLdx, i)] * a[i], 1);
          for (int64_t j = 0; j < width; ++j) u.add(double{op.dy[at(row, Op::kLdy, s.begin + j)]} * b[j], 1);
          p.round(), u.round();
          for (int64_t j = 0; j < width; ++j) {
            y[at(row, Op::kOut, s.begin + j)].add(p, scale * b[j], 1);
            dbT[static_cast<size_t>(s.rankBegin * Op::kOut + r * width + j)].add(
                p, scale * op.dy[at(row, Op::kLdy, s.begin + j)]);
          }
          for (int64_t i = 0; i < Op::kIn; ++i) {
            dx[at(row, Op::kIn, i)].add(u, scale * a[i] * op.mask(s, row, i), 1);
            dA[at(s.rankBegin + r, Op::kIn, i)].add(u, scale * op.mask(s, row, i) * op.x[at(row, Op::kLdx, i)]);
          }
        }
      }
    }
    expectAll(result.dA[g], dA, type(), "dA");
    expectAll(result.dbT[g], dbT, type(), "dbT");
  }
  for (Sum& sum : y) sum.round();
  for (Sum& sum : dx) sum.round();
  expectAll(dense(result.y, Op::kLdy, Op::kOut), y, type(), "y");
  expectAll(dense(result.dx, Op::kLdx, Op::kIn), dx, type(), "dx");
}

// y is linear in x and in A, each alone: a difference over a step of 1 is the derivative.
TEST_P(DropoutOp, ItsGradientsAreTheDifferencesOfItsForward) {
  if (type() != ElementType::kF32) return;  // sums of rounded y tell no difference; float64 above does
  Op op(type());
  const OpResult result = run(backend(), op);
  const auto loss = [&](int64_t fromRow, int64_t toRow) {
    const std::vector<float> y = run(backend(), op).y;
    double sum = 0;
    for (int64_t row = fromRow; row < toRow; ++row) {
      for (int64_t o = 0; o < Op::kOut; ++o) sum += double{y[at(row, Op::kLdy, o)]} * op.dy[at(row, Op::kLdy, o)];
    }
    return sum;
  };
  const auto difference = [&](float& value, int64_t fromRow, int64_t toRow) {
    const float kept = value;
    value = kept + 1;
    const double above = loss(fromRow, toRow);
    value = kept - 1;
    const double below = loss(fromRow, toRow);
    value = kept;
    return (above - below) / 2;
  };
  for (const auto& [row, i] : {std::pair<int64_t, int64_t>{0, 0}, {123, 77}, {275, 9}, {300, 130}})
    EXPECT_NEAR(difference(op.x[at(row, Op::kLdx, i)], row, row + 1), result.dx[at(row, Op::kLdx, i)], 1e-3);
  for (const auto& [r, i] : {std::pair<int64_t, int64_t>{0, 64}, {5, 1}, {14, 130}})
    EXPECT_NEAR(difference(op.a[at(r, Op::kIn, i)], 0, 270), result.dA[0][at(r, Op::kIn, i)], 2e-2);
}

TEST_P(DropoutOp, ARowsBitsAreItsOwn) {
  Op op(type());
  const OpResult whole = run(backend(), op);
  op.first = 263, op.rows = 29;
  const OpResult some = run(backend(), op);
  const auto same = [&](const std::vector<float>& a, const std::vector<float>& b, int64_t ld, int64_t width) {
    for (int64_t row = op.first; row < op.first + op.rows; ++row) {
      if (std::memcmp(&a[at(row, ld, 0)], &b[at(row, ld, 0)], static_cast<size_t>(width) * sizeof(float)) != 0)
        return false;
    }
    return true;
  };
  EXPECT_TRUE(same(whole.y, some.y, Op::kLdy, Op::kOut));
  EXPECT_TRUE(same(whole.dx, some.dx, Op::kLdx, Op::kIn));
  const OpResult again = run(other(), Op(type()));
  const auto bytes = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  for (size_t g = 0; g < 2; ++g) EXPECT_TRUE(bytes(again.dA[g], whole.dA[g]) && bytes(again.dbT[g], whole.dbT[g]));
  EXPECT_TRUE(bytes(again.y, whole.y) && bytes(again.dx, whole.dx)) << "the same inputs give other bits";
}

INSTANTIATE_TEST_SUITE_P(Backends, DropoutOp, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
