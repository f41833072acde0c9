// The products of adapters and the gradient of a whole weight on the emulator, each against float64 of what it was given: p and u from bf16 inputs, y and dx and the gradients
// from the p and u that the device had made, so that every tolerance is that of one product.
#include <functional>
#include <memory>
#include <tuple>

#include "backend/cuda/kernels/lora.h"
#include "backend/cuda/kernels/weight_gradient.h"
#include "backend/cuda/test/support.h"
#include "core/dropout.h"
#include "core/error.h"
#include "core/half.h"

namespace mlit::test {
namespace {

constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;
constexpr float kGap = 12345.5f;  // between rows; exact in bf16 as 12352

float narrowed(float value) { return bfloat16ToFloat(floatToBfloat16(value)); }

std::vector<float> narrowedFloats(int64_t n, uint64_t seed) {
  std::vector<float> values = randomFloats(n, seed);
  for (float& value : values) value = narrowed(value);
  return values;
}

// A matrix of either type on the device, with a sentinel between its rows. Its values are exact in bf16.
class Rows {
 public:
  Rows(const std::vector<float>& values, int64_t rows, int64_t ld, ElementType type)
      : rows_(rows), width_(static_cast<int64_t>(values.size()) / rows), ld_(ld), type_(type) {
    const auto at = [&](int64_t i) {
      return i % ld_ < width_ ? values[static_cast<size_t>(i / ld_ * width_ + i % ld_)] : narrowed(kGap);
    };
    std::vector<float> floats;
    std::vector<uint16_t> halves;
    for (int64_t i = 0; i < rows * ld; ++i) {
      type == kF32 ? floats.push_back(at(i)) : halves.push_back(floatToBfloat16(at(i)));
    }
    if (type == kF32) floats_ = std::make_unique<DeviceArray<float>>(floats);
    if (type == kBF16) halves_ = std::make_unique<DeviceArray<uint16_t>>(halves);
  }
  // Scratch of bf16 that holds nothing but NaN.
  Rows(int64_t rows, int64_t width)
      : Rows(std::vector<float>(static_cast<size_t>(rows * width), std::nanf("")), rows, width, kBF16) {}

  DevReal get() const {
    if (type_ == kF32) return DevReal(DevF32(floats_->get()));
    return {DevicePtr<std::byte>(reinterpret_cast<std::byte*>(halves_->get())), kBF16};
  }
  int64_t ld() const { return ld_; }
  std::vector<float> read() const {
    std::vector<float> all;
    if (type_ == kF32) {
      all = floats_->read();
    } else {
      for (const uint16_t bits : halves_->read()) all.push_back(bfloat16ToFloat(bits));
    }
    std::vector<float> values;
    for (int64_t i = 0; i < rows_ * ld_; ++i) {
      const float value = all[static_cast<size_t>(i)];
      if (i % ld_ < width_) {
        values.push_back(value);
      } else {
        EXPECT_EQ(value, narrowed(kGap)) << "behind row " << i / ld_;
      }
    }
    return values;
  }

 private:
  int64_t rows_, width_, ld_;
  ElementType type_;
  std::unique_ptr<DeviceArray<float>> floats_;
  std::unique_ptr<DeviceArray<uint16_t>> halves_;
};

// A sum as it should be, and the sum of its terms' magnitudes.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double term) { value += term, magnitude += std::abs(term); }
};

// Rounding to the type once, at most half a unit in the last place; before it float sums, whose every addition errs by 2^-24 of what
// has been summed: 2^-19 of all magnitudes allows for a thousand additions of one sign, or for far more of both.
void expectSums(const std::vector<float>& got, const std::vector<Sum>& want, ElementType type,
                const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) {
    const double half = type == kBF16 ? std::ldexp(1, -8) : std::ldexp(1, -23);
    const double allowed = half * std::abs(want[i].value) + std::ldexp(1.01, -19) * want[i].magnitude;
    const bool untouched = std::isnan(want[i].value);
    if (untouched ? std::isnan(got[i]) : std::abs(got[i] - want[i].value) <= allowed) continue;
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << want[i].value << " +- "
                  << allowed;
    return;
  }
}

struct SegmentSpec {
  int32_t outBegin, outEnd, rank;
};
struct GroupSpec {
  int32_t rowBegin, rowEnd;
  float scale;
  size_t adapter;
};
struct Case {
  std::string name;
  int64_t rows, out, in, padding;
  std::vector<std::vector<SegmentSpec>> adapters;
  std::vector<GroupSpec> groups;
  double dropout = 0;
  bool wantDx = true;
  ElementType x = kBF16, y = kBF16, dy = kBF16, dx = kBF16;
  bool wantGradients = true;
};

std::vector<Case> smallCases() {
  return {
      {"one by one", 1, 1, 1, 3, {{{0, 1, 1}}}, {{0, 1, 2.0f, 0}}},
      {"wide", 7, 150, 17, 0, {{{0, 150, 4}}}, {{2, 7, 1.5f, 0}}},
      {"aligned", 33, 96, 64, 8, {{{0, 64, 16}, {64, 96, 8}}}, {{0, 33, 2.0f, 0}}},
      {"stacked segments", 40, 96, 64, 0, {{{0, 50, 16}, {50, 73, 3}, {73, 96, 7}}}, {{0, 40, 2.0f, 0}}},
      {"gap between segments", 19, 100, 31, 5, {{{3, 40, 2}, {60, 99, 9}}}, {{0, 19, 1.0f, 0}}},
      {"gaps between groups", 61, 65, 66, 4, {{{0, 65, 1}}, {{10, 65, 12}}}, {{5, 6, 3.0f, 0}, {20, 47, 1.0f, 1}}},
      {"empty group", 11, 30, 30, 0, {{{0, 30, 4}}, {{0, 30, 2}}}, {{4, 4, 1.0f, 0}, {4, 9, 1.0f, 1}}},
      {"no dx", 33, 90, 45, 0, {{{0, 90, 16}}}, {{0, 20, 2.0f, 0}}, 0, false},
      {"floats", 21, 72, 40, 4, {{{0, 72, 6}}}, {{1, 20, 2.0f, 0}}, 0, true, kF32, kF32, kF32, kF32},
      {"float gradients", 21, 72, 40, 8, {{{0, 72, 8}}}, {{1, 20, 2.0f, 0}}, 0, true, kBF16, kF32, kF32, kBF16},
      {"float x", 9, 33, 39, 1, {{{0, 33, 8}}}, {{0, 9, 0.5f, 0}}, 0, true, kF32, kBF16, kBF16, kF32},
      {"dropout", 19, 40, 72, 8, {{{0, 16, 8}, {16, 40, 8}}}, {{1, 18, 2.0f, 0}}, 0.25},
      {"dropout, odd", 23, 37, 67, 3, {{{0, 11, 3}, {11, 36, 5}}}, {{0, 9, 1.0f, 0}, {12, 23, 1.0f, 0}}, 0.5},
      {"dropout of floats", 9, 24, 20, 0, {{{0, 24, 2}}}, {{0, 9, 1.0f, 0}}, 0.1, true, kF32, kF32, kF32, kF32},
      {"sampling", 6, 64, 48, 0, {{{0, 64, 8}}}, {{0, 6, 1.0f, 0}}, 0, true, kBF16, kBF16, kBF16, kBF16, false},
  };
}

std::vector<Case> largeCases() {
  return {
      {"two adapters",
       50,
       128,
       96,
       0,
       {{{0, 64, 8}, {64, 128, 8}}, {{0, 64, 3}, {64, 128, 21}}},
       {{0, 23, 2.0f, 0}, {23, 50, 0.25f, 1}}},
      {"adapters that take turns",
       90,
       80,
       72,
       8,
       {{{0, 80, 16}}, {{0, 40, 8}, {40, 80, 8}}},
       {{0, 11, 2.0f, 0}, {11, 30, 1.0f, 1}, {33, 60, 0.5f, 0}, {60, 61, 3.0f, 1}, {61, 90, 1.0f, 0}}},
      {"deep", 9, 70, 1301, 1, {{{0, 70, 3}}}, {{0, 9, 0.5f, 0}}},
      {"deep, aligned", 9, 2056, 1304, 8, {{{0, 2056, 8}}}, {{0, 9, 0.5f, 0}}},
      {"many rows", 301, 72, 40, 2, {{{0, 72, 5}}}, {{0, 301, 2.0f, 0}}},
      {"many rows, in turns",
       700,
       24,
       16,
       0,
       {{{0, 24, 8}}, {{8, 24, 8}}},
       {{0, 270, 2.0f, 0}, {270, 300, 1.0f, 1}, {301, 690, 1.0f, 0}}},
      {"rank over 64", 30, 70, 80, 0, {{{0, 35, 70}, {35, 70, 33}}}, {{0, 30, 0.1f, 0}}},
      {"rank over 64, aligned", 70, 80, 136, 0, {{{0, 80, 136}}}, {{0, 70, 0.1f, 0}}},
      {"dropout, rank over 64", 20, 48, 88, 0, {{{0, 24, 72}, {24, 48, 16}}}, {{0, 20, 0.1f, 0}}, 0.3},
  };
}

// An adapter's matrices on the device, with what their gradients begin with.
struct Adapter {
  int32_t rankTotal = 0;
  std::vector<int32_t> rankBegin;
  std::vector<float> a, gradientA;
  std::vector<std::vector<float>> bT, gradientB;
  std::unique_ptr<DeviceArray<float>> da, dGradientA;
  std::vector<std::unique_ptr<DeviceArray<float>>> dbT, dGradientB;

  Adapter(const std::vector<SegmentSpec>& segments, int64_t in, uint64_t seed) {
    for (const SegmentSpec& segment : segments) {
      rankBegin.push_back(rankTotal);
      rankTotal += segment.rank;
      const int64_t n = int64_t{segment.rank} * (segment.outEnd - segment.outBegin);
      bT.push_back(narrowedFloats(n, ++seed));
      gradientB.push_back(randomFloats(n, ++seed));
      dbT.push_back(std::make_unique<DeviceArray<float>>(bT.back()));
      dGradientB.push_back(std::make_unique<DeviceArray<float>>(gradientB.back()));
    }
    a = narrowedFloats(rankTotal * in, ++seed);
    gradientA = randomFloats(rankTotal * in, ++seed);
    da = std::make_unique<DeviceArray<float>>(a);
    dGradientA = std::make_unique<DeviceArray<float>>(gradientA);
  }
};

// One call forward and one backward, and what they should have come to.
class LoraCall {
 public:
  LoraCall(const Case& c, uint64_t seed) : c_(c) {
    for (size_t i = 0; i < c.adapters.size(); ++i) adapters_.emplace_back(c.adapters[i], c.in, seed + 1000 * (i + 1));
    x_ = narrowedFloats(c.rows * c.in, seed + 1);
    dy_ = narrowedFloats(c.rows * c.out, seed + 2);
    y_ = narrowedFloats(c.rows * c.out, seed + 3);
    dx_ = narrowedFloats(c.rows * c.in, seed + 4);
    for (int64_t r = 0; r < c.rows; ++r) {
      records_.push_back(static_cast<int32_t>(r / 5));
      positions_.push_back(static_cast<int32_t>(r % 5 + static_cast<int64_t>(seed)));
    }
    dRecords_ = std::make_unique<DeviceArray<int32_t>>(records_);
    dPositions_ = std::make_unique<DeviceArray<int32_t>>(positions_);
    segments_.resize(c.groups.size());
    size_t segmentCount = 0;
    for (size_t g = 0; g < c.groups.size(); ++g) {
      const GroupSpec& spec = c.groups[g];
      const Adapter& adapter = adapters_[spec.adapter];
      for (size_t i = 0; i < adapter.bT.size(); ++i) {
        const SegmentSpec& from = c.adapters[spec.adapter][i];
        segments_[g].push_back({from.outBegin, from.outEnd, from.rank, adapter.rankBegin[i],
                                DevConstF32(adapter.dbT[i]->get()),
                                c.wantGradients ? DevF32(adapter.dGradientB[i]->get()) : DevF32(), module(g, i)});
        ++segmentCount;
      }
      groups_.push_back({spec.rowBegin,
                         spec.rowEnd,
                         spec.scale,
                         adapter.rankTotal,
                         DevConstF32(adapter.da->get()),
                         c.wantGradients ? DevF32(adapter.dGradientA->get()) : DevF32(),
                         segments_[g],
                         {c.dropout, key(g), DevConstI32(dRecords_->get()), DevConstI32(dPositions_->get())}});
      ldp_ = std::max(ldp_, adapter.rankTotal);
    }
    workspaceBytes_ =
        cuda::loraWorkspaceBytes(static_cast<int64_t>(groups_.size()), static_cast<int64_t>(segmentCount));
    workspace_ = std::make_unique<DeviceArray<char>>(static_cast<size_t>(workspaceBytes_));
  }

  // Returns what was launched by name, where the device tells.
  std::map<std::string, uint64_t> forward() {
    const Rows x(x_, c_.rows, c_.in + c_.padding, c_.x), y(y_, c_.rows, c_.out + c_.padding, c_.y), p(c_.rows, ldp_);
    const auto before = launches();
    cuda::Stream stream;
    cuda::loraForward(x.get(), x.ld(), c_.rows, c_.in, y.get(), y.ld(), groups_, p.get(), workspace(), workspaceBytes_,
                      staging_, stream);
    stream.synchronize();
    projected_ = p.read();
    output_ = y.read();
    return since(before);
  }
  std::map<std::string, uint64_t> backward() {
    const Rows x(x_, c_.rows, c_.in + c_.padding, c_.x), dy(dy_, c_.rows, c_.out + c_.padding, c_.dy),
        dx(dx_, c_.rows, c_.in + c_.padding, c_.dx), p(c_.rows, ldp_), u(c_.rows, ldp_);
    const auto before = launches();
    const uint64_t waits = device::hostCounts().waits;
    cuda::Stream stream;
    cuda::loraBackward(x.get(), x.ld(), c_.rows, c_.in, dy.get(), dy.ld(), c_.wantDx ? dx.get() : DevReal(), dx.ld(),
                       groups_, p.get(), u.get(), workspace(), workspaceBytes_, staging_, stream);
    EXPECT_EQ(device::hostCounts().waits, waits);
    stream.synchronize();
    again_ = p.read();
    pulled_ = u.read();
    gradient_ = dx.read();
    return since(before);
  }

  void expectForward() const {
    std::vector<Sum> p = startOf(projected_), y = startOf(y_);
    eachProduct([&](size_t g, size_t i, int64_t r, const LoraSegment& s) {
      for (int32_t j = 0; j < s.rank; ++j) {
        const size_t at = thin(r, s, j);
        p[at] = projection(g, i, r, j);
        for (int32_t c = s.outBegin; c < s.outEnd; ++c) {
          y[wide(r, c, c_.out)].add(static_cast<double>(projected_[at]) * outer(g, i, j, c));
        }
      }
    });
    expectSums(projected_, p, kBF16, c_.name + " p");
    expectSums(output_, y, c_.y, c_.name + " y");
    expectUntouched(output_, y_, c_.out, c_.name + " y");
  }

  void expectBackward() const {
    std::vector<Sum> p = startOf(again_), u = startOf(pulled_), dx = startOf(dx_);
    std::vector<std::vector<Sum>> dA;
    std::vector<std::vector<std::vector<Sum>>> dbT;
    for (const Adapter& adapter : adapters_) {
      dA.push_back(startOf(adapter.gradientA));
      dbT.emplace_back();
      for (const std::vector<float>& gradient : adapter.gradientB) dbT.back().push_back(startOf(gradient));
    }
    const bool needsU = c_.wantDx || c_.wantGradients;
    eachProduct([&](size_t g, size_t i, int64_t r, const LoraSegment& s) {
      const LoraGroup& group = groups_[g];
      const size_t adapter = c_.groups[g].adapter;
      const double scale = dropped();
      for (int32_t j = 0; j < s.rank; ++j) {
        const size_t at = thin(r, s, j);
        if (c_.wantGradients) p[at] = projection(g, i, r, j);
        if (needsU) {
          u[at] = {};
          for (int32_t c = s.outBegin; c < s.outEnd; ++c) {
            u[at].add(static_cast<double>(group.scale) * dy_[wide(r, c, c_.out)] * outer(g, i, j, c));
          }
        }
        for (int64_t k = 0; k < c_.in; ++k) {
          if (!keeps(g, i, r, k)) continue;
          const size_t inner = static_cast<size_t>((s.rankBegin + j) * c_.in + k);
          const double pull = scale * pulled_[at];
          if (c_.wantDx) dx[wide(r, k, c_.in)].add(pull * adapters_[adapter].a[inner]);
          if (c_.wantGradients) dA[adapter][inner].add(pull * x_[wide(r, k, c_.in)]);
        }
        if (!c_.wantGradients) continue;
        for (int32_t c = s.outBegin; c < s.outEnd; ++c) {
          dbT[adapter][i][static_cast<size_t>(j * (s.outEnd - s.outBegin) + c - s.outBegin)].add(
              static_cast<double>(again_[at]) * dy_[wide(r, c, c_.out)]);
        }
      }
    });
    if (c_.wantGradients) expectSums(again_, p, kBF16, c_.name + " p again");
    if (needsU) expectSums(pulled_, u, kBF16, c_.name + " u");
    expectSums(gradient_, dx, c_.dx, c_.name + " dx");
    expectUntouched(gradient_, dx_, c_.in, c_.name + " dx");
    for (size_t a = 0; a < adapters_.size(); ++a) {
      expectSums(adapters_[a].dGradientA->read(), dA[a], kF32, c_.name + " dA");
      for (size_t i = 0; i < dbT[a].size(); ++i) {
        expectSums(adapters_[a].dGradientB[i]->read(), dbT[a][i], kF32, c_.name + " dbT");
      }
    }
  }

  std::vector<LoraGroup>& groups() { return groups_; }
  std::vector<std::vector<LoraSegment>>& segments() { return segments_; }
  std::vector<float>& x() { return x_; }
  const std::vector<float>& projected() const { return projected_; }
  const std::vector<float>& output() const { return output_; }
  void shrinkWorkspace(int64_t bytes) { workspaceBytes_ = bytes; }

 private:
  // Every row of every segment. f(group, segment's number, row, segment)
  template <class F>
  void eachProduct(F f) const {
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (size_t i = 0; i < segments_[g].size(); ++i) {
        for (int64_t r = groups_[g].rowBegin; r < groups_[g].rowEnd; ++r) f(g, i, r, segments_[g][i]);
      }
    }
  }
  static std::vector<Sum> startOf(const std::vector<float>& values) {
    std::vector<Sum> sums;
    for (const float value : values) sums.push_back({value, std::abs(value)});
    return sums;
  }
  size_t thin(int64_t r, const LoraSegment& s, int32_t j) const {
    return static_cast<size_t>(r * ldp_ + s.rankBegin + j);
  }
  static size_t wide(int64_t r, int64_t c, int64_t width) { return static_cast<size_t>(r * width + c); }
  double outer(size_t g, size_t i, int32_t j, int32_t c) const {
    const LoraSegment& s = segments_[g][i];
    return adapters_[c_.groups[g].adapter].bT[i][static_cast<size_t>(j * (s.outEnd - s.outBegin) + c - s.outBegin)];
  }
  Sum projection(size_t g, size_t i, int64_t r, int32_t j) const {
    Sum sum;
    const auto first = static_cast<size_t>((segments_[g][i].rankBegin + j) * c_.in);
    for (int64_t k = 0; k < c_.in; ++k) {
      if (!keeps(g, i, r, k)) continue;
      sum.add(dropped() * groups_[g].scale * x_[wide(r, k, c_.in)] *
              adapters_[c_.groups[g].adapter].a[first + static_cast<size_t>(k)]);
    }
    return sum;
  }
  double dropped() const { return c_.dropout > 0 ? static_cast<double>(dropoutScale(c_.dropout)) : 1; }
  uint32_t module(size_t g, size_t i) const { return static_cast<uint32_t>(10 * c_.groups[g].adapter + i); }
  uint64_t key(size_t g) const { return 77 + c_.groups[g].adapter; }
  bool keeps(size_t g, size_t i, int64_t r, int64_t k) const {
    if (c_.dropout <= 0) return true;
    const auto row = static_cast<size_t>(r);
    return dropoutKeeps(key(g), module(g, i), static_cast<uint32_t>(records_[row]),
                        static_cast<uint32_t>(positions_[row]), static_cast<uint32_t>(k), c_.dropout);
  }
  // Rows outside of every group hold what they held.
  void expectUntouched(const std::vector<float>& got, const std::vector<float>& was, int64_t width,
                       const std::string& what) const {
    for (int64_t r = 0; r < c_.rows; ++r) {
      const bool inside = std::any_of(groups_.begin(), groups_.end(),
                                      [&](const LoraGroup& g) { return r >= g.rowBegin && r < g.rowEnd; });
      for (int64_t c = 0; c < width && !inside; ++c) {
        ASSERT_EQ(got[wide(r, c, width)], was[wide(r, c, width)]) << what << " row " << r;
      }
    }
  }
  DevicePtr<std::byte> workspace() const {
    return DevicePtr<std::byte>(reinterpret_cast<std::byte*>(workspace_->get()));
  }
  static std::map<std::string, uint64_t> launches() {
    const auto counts = device::kernelCounts();
    return counts ? counts->launches : std::map<std::string, uint64_t>();
  }
  static std::map<std::string, uint64_t> since(const std::map<std::string, uint64_t>& before) {
    std::map<std::string, uint64_t> now = launches();
    for (const auto& [name, count] : before) now[name] -= count;
    std::erase_if(now, [](const auto& entry) { return entry.second == 0; });
    return now;
  }

  const Case c_;
  std::vector<Adapter> adapters_;
  std::vector<float> x_, dy_, y_, dx_, projected_, output_, again_, pulled_, gradient_;
  std::vector<int32_t> records_, positions_;
  std::unique_ptr<DeviceArray<int32_t>> dRecords_, dPositions_;
  std::vector<std::vector<LoraSegment>> segments_;
  std::vector<LoraGroup> groups_;
  std::unique_ptr<DeviceArray<char>> workspace_;
  cuda::Staging staging_{size_t{1} << 20};
  int64_t workspaceBytes_ = 0;
  int32_t ldp_ = 0;
};

class Lora : public OnDevice {
 protected:
  // A device of its own for each case: what is released is not handed out again.
  static void expectAgreement(const std::vector<Case>& cases, uint64_t seed, int architecture) {
    for (const Case& c : cases) {
      begin(seed, architecture);
      LoraCall call(c, seed);
      call.forward();
      call.expectForward();
      call.backward();
      call.expectBackward();
    }
  }
};

TEST_F(Lora, SmallProductsAgreeWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) expectAgreement(smallCases(), seed, 80);
}

TEST_F(Lora, LargeProductsAgreeWithFloat64) {
  for (uint64_t seed = 1; seed <= seedsOr(5); ++seed) expectAgreement(largeCases(), seed, 86);
}

// One nonzero among each 16 neighbours: whatever order an mma adds in, only what the kernel does between them can change a bit.
std::vector<float> sparse(const std::vector<float>& values, int64_t width) {
  std::vector<float> rare = values;
  for (size_t i = 0; i < rare.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / width, column = static_cast<int64_t>(i) % width;
    if (column % 16 != (row * 5 + column / 16 * 3) % 16) rare[i] = 0;
  }
  return rare;
}

// 65 rows of as many groups fill the card by themselves; each alone has its width shared between blocks.
TEST_F(Lora, ARowsBitsAreItsOwn) {
  const int32_t rows = 65;
  const int64_t in = 2100;
  Case many{"many", rows, 40, in, 0, {{{0, 40, 3}}}, {}};
  for (int32_t r = 0; r < rows; ++r) many.groups.push_back({r, r + 1, 1.0f, 0});
  Case together = many;
  together.groups = {{0, rows, 1.0f, 0}};
  LoraCall apart(many, 5), all(together, 5);
  apart.x() = all.x() = sparse(apart.x(), in);
  const bool told = device::kernelCounts().has_value();
  const auto forwardApart = apart.forward(), forwardTogether = all.forward();
  EXPECT_EQ(forwardApart.count("addChunks"), 0U);
  EXPECT_EQ(forwardTogether.count("addChunks"), told ? 1U : 0U);
  EXPECT_EQ(apart.projected(), all.projected());
  for (const int32_t r : {0, 7, 64}) {
    Case one = many;
    one.groups = {{r, r + 1, 1.0f, 0}};
    LoraCall alone(one, 5);
    alone.x() = all.x();
    EXPECT_EQ(alone.forward().count("addChunks"), told ? 1U : 0U);
    for (size_t j = 0; j < 3; ++j) {
      const size_t at = static_cast<size_t>(r) * 3 + j;
      EXPECT_EQ(alone.projected()[at], all.projected()[at]) << "row " << r;
    }
  }
}

TEST_F(Lora, LaunchesDoNotGrowWithAdapters) {
  Case few{"few", 64, 24, 16, 0, {{{0, 8, 2}, {8, 16, 2}, {16, 24, 2}}}, {{0, 64, 1.0f, 0}}};
  Case many = few;
  many.name = "many";
  many.groups.clear();
  many.adapters.assign(64, few.adapters[0]);
  for (int32_t i = 0; i < 64; ++i) many.groups.push_back({i, i + 1, 1.0f, static_cast<size_t>(i)});
  LoraCall one(few, 1);
  const auto forward = one.forward(), backward = one.backward();
  if (device::kernelCounts()) {
    EXPECT_EQ(forward, (std::map<std::string, uint64_t>{{"intoRank", 1}, {"outOfRank", 1}}));
    EXPECT_EQ(backward, (std::map<std::string, uint64_t>{{"intoRank", 1}, {"outOfRank", 1}, {"overRows", 1}}));
  }
  LoraCall all(many, 2);
  EXPECT_EQ(all.forward(), forward);
  EXPECT_EQ(all.backward(), backward);
  all.expectForward();
  all.expectBackward();
}

TEST_F(Lora, MatrixLoadsMeetNoTakenBank) {
  LoraCall call(largeCases()[0], 1);
  call.forward();
  call.backward();
  const auto counts = device::kernelCounts();
  if (!counts) GTEST_SKIP() << "a card does not tell";
  EXPECT_GT(counts->matrixRows, 0U);
  EXPECT_EQ(counts->matrixConflicts, 0U);
}

void expectRefusal(const std::function<void()>& call, const std::string& words) {
  try {
    call();
    ADD_FAILURE() << "not refused: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST_F(Lora, RefusesWhatItWouldComputeWrongly) {
  const Case c = largeCases()[1];
  const auto refused = [&](const std::function<void(LoraCall&)>& change, const std::string& words) {
    LoraCall call(c, 1);
    change(call);
    expectRefusal([&] { call.backward(); }, words);
  };
  refused([](LoraCall& call) { call.groups()[1].rowBegin = 10; }, "not behind the one before it");
  refused([](LoraCall& call) { call.groups()[4].rowEnd = 91; }, "within the 90 rows");
  refused([](LoraCall& call) { call.segments()[1][1].outBegin = 39; }, "a segment of the group of rows [11, 30)");
  refused([](LoraCall& call) { call.segments()[0][0].rank = 8; }, "are not all of its rank");
  refused([](LoraCall& call) { call.segments()[2][0].outEnd = 72; }, "share a gradient");
  refused([](LoraCall& call) { call.shrinkWorkspace(cuda::loraWorkspaceBytes(0, 0) - 1); }, "a workspace of");
}

class WeightGradient : public OnDevice {};

// x·Aᵀ is for the gradient of B alone.
TEST_F(Lora, WhatNoGradientAsksForIsNotFormed) {
  const std::vector<float> before(4, kSentinel);
  const DeviceReals x(kBF16, std::vector<float>(16, 1.0f)), dy(kBF16, std::vector<float>(16, 1.0f)),
      dx(kBF16, std::vector<float>(16, 1.0f)), p(kBF16, before), u(kBF16, size_t{4});
  const DeviceArray<float> a(std::vector<float>(16, 0.5f)), bT(std::vector<float>(16, 0.25f)),
      dA(std::vector<float>(16, 0.0f));
  const LoraSegment segment{0, 8, 2, 0, DevConstF32(bT.get()), DevF32()};
  const LoraGroup group{0, 2, 1.0f, 2, DevConstF32(a.get()), DevF32(dA.get()), {&segment, 1}};
  const int64_t bytes = cuda::loraWorkspaceBytes(1, 1);
  const DeviceArray<std::byte> workspace(static_cast<size_t>(bytes));
  cuda::Stream stream;
  cuda::Staging staging(size_t{1} << 12);
  cuda::loraBackward(x.get(), 8, 2, 8, dy.get(), 8, dx.get(), 8, {&group, 1}, p.get(), u.get(),
                     DevicePtr(workspace.get()), bytes, staging, stream);
  stream.synchronize();
  EXPECT_EQ(p.read(), before);
  EXPECT_EQ(u.read(), std::vector<float>(4, 2.0f));    // 8 · 1 · 0.25
  EXPECT_EQ(dA.read(), std::vector<float>(16, 4.0f));  // over two rows
  EXPECT_EQ(dx.read(), std::vector<float>(16, 3.0f));  // 1 + 2 · 2 · 0.5
}

TEST_F(WeightGradient, OfNothingIsNoLaunch) {
  const DeviceReals x(kBF16, std::vector<float>{1}), dy(kBF16, std::vector<float>{1});
  const DeviceArray<float> dW(std::vector<float>{2});
  const int64_t bytes = cuda::weightGradientWorkspaceBytes();
  const DeviceArray<std::byte> workspace(static_cast<size_t>(bytes));
  cuda::Stream stream;
  for (const auto& [rows, out, in] : {std::tuple<int64_t, int64_t, int64_t>{0, 1, 1}, {1, 0, 1}, {1, 1, 0}}) {
    cuda::weightGradient(x.get(), 1, rows, dy.get(), 1, out, in, DevF32(dW.get()), DevicePtr(workspace.get()), bytes,
                         stream);
  }
  stream.synchronize();
  EXPECT_EQ(dW.read(), std::vector<float>{2});
  if (const auto counts = device::kernelCounts()) {
    EXPECT_EQ(counts->total(), 0U);
  }
}

TEST_F(WeightGradient, AgreesWithFloat64) {
  struct Shape {
    int64_t rows, out, in, padding;
    ElementType dy, x;
    uint64_t seeds;
  };
  const Shape shapes[] = {{1, 1, 1, 0, kBF16, kBF16, 20},     {5, 33, 67, 3, kBF16, kBF16, 20},
                          {17, 40, 24, 8, kF32, kBF16, 20},   {9, 24, 40, 0, kBF16, kF32, 20},
                          {70, 136, 264, 8, kBF16, kBF16, 5}, {33, 130, 129, 1, kF32, kF32, 5},
                          {530, 16, 24, 0, kBF16, kBF16, 5},  {1100, 8, 5, 1, kBF16, kBF16, 5}};
  for (const Shape& s : shapes) {
    for (uint64_t seed = 1; seed <= seedsOr(s.seeds); ++seed) {
      begin(seed);
      const std::vector<float> x = narrowedFloats(s.rows * s.in, seed), dy = narrowedFloats(s.rows * s.out, seed + 1),
                               start = randomFloats(s.out * s.in, seed + 2);
      std::vector<Sum> want;
      for (int64_t m = 0; m < s.out; ++m) {
        for (int64_t n = 0; n < s.in; ++n) {
          Sum sum;
          sum.add(start[static_cast<size_t>(m * s.in + n)]);
          for (int64_t r = 0; r < s.rows; ++r) {
            sum.add(static_cast<double>(dy[static_cast<size_t>(r * s.out + m)]) * x[static_cast<size_t>(r * s.in + n)]);
          }
          want.push_back(sum);
        }
      }
      const Rows left(dy, s.rows, s.out + s.padding, s.dy), right(x, s.rows, s.in + s.padding, s.x);
      DeviceArray<float> dW(start);
      const int64_t bytes = cuda::weightGradientWorkspaceBytes();
      DeviceArray<char> workspace(static_cast<size_t>(bytes));
      cuda::Stream stream;
      cuda::weightGradient(right.get(), right.ld(), s.rows, left.get(), left.ld(), s.out, s.in, DevF32(dW.get()),
                           DevicePtr<std::byte>(reinterpret_cast<std::byte*>(workspace.get())), bytes, stream);
      stream.synchronize();
      expectSums(dW.read(), want, kF32,
                 std::to_string(s.rows) + "x" + std::to_string(s.out) + "x" + std::to_string(s.in));
      if (const auto counts = device::kernelCounts()) {
        EXPECT_EQ(counts->of("addRowChunks") > 0, s.rows > 512);
        EXPECT_EQ(counts->matrixConflicts, 0U);
      }
    }
  }
}

}  // namespace
}  // namespace mlit::test
