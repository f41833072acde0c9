// Products of integers: what is rounded, and how, by an oracle of its own; the products of what was rounded against float64; and
// the promises of every product (rows, threads, instruction sets), which sums of integers make easy to keep and easy to lose.
#include "backend/cpu/kernels/dot.h"

#include "backend/cpu/dot_units.h"
#include "backend/cpu/rounded_rows.h"
#include "test/ops/linear_cases.h"

namespace mlit::test {
namespace {

struct Rounded {
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> starts;
  LargestElement largest{-1, 0};
  std::vector<double> values;  // what the row counts as
};

// The rule in words of one element each.
Rounded roundedByRule(const std::vector<float>& x, const float* factors, bool exactLargest) {
  Rounded r;
  std::vector<float> v(x);
  for (size_t i = 0; i < v.size() && factors != nullptr; ++i) v[i] *= factors[i];
  if (exactLargest) {
    size_t index = 0;
    for (size_t i = 1; i < v.size(); ++i) {
      if (std::fabs(v[i]) > std::fabs(v[index])) index = i;
    }
    r.largest = {static_cast<int64_t>(index), v[index]};
  }
  for (size_t begin = 0; begin < v.size(); begin += kDotBlock) {
    const size_t end = std::min(v.size(), begin + kDotBlock);
    float most = 0;
    for (size_t i = begin; i < end; ++i) {
      if (static_cast<int64_t>(i) != r.largest.index) most = std::max(most, std::fabs(v[i]));
    }
    const float scale = most < 0x1p-100f ? 0 : most / 127.0f;
    int32_t sum = 0;
    for (size_t i = begin; i < end; ++i) {
      const bool left = static_cast<int64_t>(i) == r.largest.index;
      const auto q = static_cast<int>(left || scale == 0 ? 0 : std::nearbyint(v[i] * (127.0f / most)));
      r.q.push_back(static_cast<int8_t>(q));
      r.values.push_back(left ? double{v[i]} : q * double{scale});
      sum += q;
    }
    r.scales.push_back(scale);
    r.starts.push_back(-128 * sum);
  }
  return r;
}

const DotKernels& kernelsOf(const std::string& isa) { return *kernelTable(isa.c_str()).dot; }

Rounded roundedBy(const DotKernels& kernels, const std::vector<float>& x, const float* factors, bool exactLargest) {
  Rounded r;
  const auto k = static_cast<int64_t>(x.size()), blocks = (k + kDotBlock - 1) / kDotBlock;
  r.q.assign(static_cast<size_t>((k + 63) / 64 * 64), int8_t{99});
  r.scales.assign(static_cast<size_t>(blocks), kPoison);
  r.starts.assign(static_cast<size_t>(blocks), 12345);
  kernels.round({k, kDotBlock, x.data(), factors, r.q.data(), r.scales.data(), r.starts.data(),
                 exactLargest ? &r.largest : nullptr});
  return r;
}

TEST(Dot, RoundsARowByTheRule) {
  for (const std::string& isa : availableIsas()) {
    for (const int64_t k : {1, 3, 15, 16, 17, 63, 64, 127, 128, 129, 200, 640, 1000}) {
      const std::vector<float> x = randomFloats(k, static_cast<uint64_t>(k)), factors = randomFloats(k, 77);
      for (const float* f : {static_cast<const float*>(nullptr), factors.data()}) {
        for (const bool largest : {false, true}) {
          SCOPED_TRACE(isa + ", " + std::to_string(k) + (largest ? ", largest apart" : ""));
          const Rounded expected = roundedByRule(x, f, largest), got = roundedBy(kernelsOf(isa), x, f, largest);
          for (int64_t i = 0; i < k; ++i)
            ASSERT_EQ(got.q[static_cast<size_t>(i)], expected.q[static_cast<size_t>(i)]) << i;
          for (size_t i = static_cast<size_t>(k); i < got.q.size(); ++i) ASSERT_EQ(got.q[i], 0) << "padding " << i;
          ASSERT_EQ(got.scales, expected.scales);
          ASSERT_EQ(got.starts, expected.starts);
          if (largest) {
            ASSERT_EQ(got.largest.index, expected.largest.index);
            ASSERT_EQ(got.largest.value, expected.largest.value);
          }
        }
      }
    }
  }
}

TEST(Dot, AnOutlierSpoilsNoMoreThanItsBlock) {
  std::vector<float> x = randomFloats(300, 5);
  const Rounded plain = roundedByRule(x, nullptr, false);
  x[130] = 1e30f;
  for (const std::string& isa : availableIsas()) {
    const Rounded got = roundedBy(kernelsOf(isa), x, nullptr, false);
    EXPECT_EQ(got.scales[0], plain.scales[0]);
    EXPECT_EQ(got.scales[2], plain.scales[2]);
    EXPECT_EQ(got.q[130], 127);
    // Left out of the rounding it spoils nothing, however large.
    const Rounded apart = roundedBy(kernelsOf(isa), x, nullptr, true);
    EXPECT_LT(apart.scales[1], 1.0f / 127);
    EXPECT_EQ(apart.largest.index, 130);
    EXPECT_EQ(apart.largest.value, 1e30f);
    EXPECT_EQ(apart.starts[1], roundedByRule(x, nullptr, true).starts[1]);
  }
}

TEST(Dot, WhatIsNoNumberMakesItsBlockNoNumber) {
  for (const std::string& isa : availableIsas()) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (const size_t where : {size_t{128}, size_t{199}}) {
        std::vector<float> x = randomFloats(200, 6);
        x[where] = bad;
        const Rounded got = roundedBy(kernelsOf(isa), x, nullptr, false);
        EXPECT_TRUE(std::isfinite(got.scales[0]));
        EXPECT_TRUE(std::isnan(got.scales[1])) << bad << " at " << where;
      }
    }
    const Rounded zeros = roundedBy(kernelsOf(isa), std::vector<float>(70, 0.0f), nullptr, true);
    EXPECT_EQ(zeros.scales[0], 0);
    EXPECT_EQ(zeros.starts[0], 0);
    const Rounded tiny = roundedBy(kernelsOf(isa), std::vector<float>(70, 1e-38f), nullptr, false);
    EXPECT_EQ(tiny.scales[0], 0);
  }
}

// Every product of two bytes at its extremes, which saturates where sums of pairs are kept in 16 bits.
TEST(Dot, ExtremesDoNotSaturate) {
  constexpr int64_t kK = 1024;
  const std::vector<uint8_t> b(static_cast<size_t>(kK * 64), 255);
  const std::vector<int8_t> a(static_cast<size_t>(kK), 127);
  const std::vector<float> scales(kK / kDotBlock, 1.0f);
  const std::vector<int32_t> starts(kK / kDotBlock, static_cast<int32_t>(-128 * 127 * kDotBlock));
  for (const std::string& isa : availableIsas()) {
    std::vector<float> c(64, kPoison);
    DotBlock block{};
    block.rows = 1, block.columns = 64, block.k = kK, block.block = kDotBlock;
    block.a = a.data(), block.aRow = kK;
    block.scales = scales.data(), block.starts = starts.data(), block.ldScales = 1;
    block.b = b.data();
    block.c = c.data(), block.ldc = 64;
    kernelsOf(isa).block(block);
    for (const float value : c) ASSERT_EQ(value, 127.0f * 127 * kK) << isa;
  }
}

// A unit beside an instruction set's own kernels, and those.
void expectSameProducts(const DotKernels& unit, const DotKernels& plain) {
  for (const int64_t rows : {1, 11, 12, 31, 32, 33, 44, 70}) {
    for (const int64_t k : {4, 60, 64, 128, 132, 640, 1000}) {
      for (const int64_t columns : {1, 31, 32, 33, 64}) {
        const int64_t ld = (k + 63) / 64 * 64, blocks = (k + kDotBlock - 1) / kDotBlock;
        std::vector<int8_t> a(static_cast<size_t>((rows + kDotGroup) * ld));
        std::vector<uint8_t> b(static_cast<size_t>(ld * 64));
        for (size_t i = 0; i < a.size(); ++i)
          a[i] = static_cast<int64_t>(i) % ld < k ? static_cast<int8_t>(philox(1, 2, i)[0] % 255 - 127) : int8_t{0};
        for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<uint8_t>(philox(3, 4, i)[0]);
        const std::vector<float> scales = randomFloats(rows * blocks, 5), factors = randomFloats(64, 6),
                                 offsets = randomFloats(rows, 7), before = randomFloats(rows * 64, 8);
        std::vector<int32_t> starts(static_cast<size_t>(rows * blocks));
        for (size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<int32_t>(philox(9, 9, i)[0] % 100000);
        for (const bool add : {false, true}) {
          std::vector<float> c(before), expected(before);
          DotBlock block{};
          block.rows = rows, block.columns = columns, block.k = k, block.block = kDotBlock;
          block.a = a.data(), block.aRow = ld;
          block.scales = scales.data(), block.starts = starts.data(), block.ldScales = blocks;
          block.b = b.data(), block.factors = factors.data(), block.offsets = offsets.data();
          block.ldc = 64, block.add = add;
          block.c = expected.data();
          plain.block(block);
          block.c = c.data();
          unit.block(block);
          ASSERT_TRUE(sameBytes(c, expected)) << rows << " x " << columns << ", k " << k << (add ? ", added" : "");
        }
      }
    }
  }
}

TEST(Dot, TheMatrixUnitHasTheSameBits) {
  const DotKernels* amx = dotUnitOf("avx512");
  if (amx == nullptr) GTEST_SKIP() << "this processor has no AMX for int8, or the system does not let it be used";
  expectSameProducts(*amx, kernelsOf("avx512"));
}

TEST(Dot, AvxVnniHasTheSameBits) {
  const DotKernels* vnni = dotUnitOf("avx2");
  if (vnni == nullptr) GTEST_SKIP() << "this processor has no AVX-VNNI";
  expectSameProducts(*vnni, kernelsOf("avx2"));
  EXPECT_EQ(std::string(vnni->unit), "AVX-VNNI");
}

std::vector<LinearCase> integerCases() {
  std::vector<LinearCase> cases;
  for (LinearCase c : linearCases()) {
    if (c.format != WeightFormat::kF32) continue;
    c.format = WeightFormat::kI8Channel;
    cases.push_back(c);
  }
  cases.push_back({"like_a_head", 3, kExactLargestWidth + 77, 70, WeightFormat::kI8Channel, 0, true, true, {}});
  return cases;
}

// x and dy as the products see them. dy is rounded with the weight's scales in it.
LinearData asRounded(const LinearData& d) {
  LinearData seen = d;
  const LinearCase& c = d.spec;
  std::vector<float> scales;
  for (int64_t o = 0; o < c.out; ++o) {
    float most = 0;
    for (int64_t i = 0; i < c.in; ++i) most = std::max(most, std::fabs(d.w[at(o, c.in, i)]));
    scales.push_back(most / 127.0f);
  }
  const auto round = [](std::vector<float>& all, int64_t row, int64_t ld, int64_t width, const float* factors) {
    const auto begin = all.begin() + row * ld;
    const Rounded r = roundedByRule({begin, begin + width}, factors, width >= kExactLargestWidth);
    for (int64_t i = 0; i < width; ++i) {
      const double factor = factors == nullptr ? 1 : double{factors[i]};
      begin[i] = factor == 0 ? 0 : static_cast<float>(r.values[static_cast<size_t>(i)] / factor);
    }
  };
  for (int64_t row = 0; row < c.rows; ++row) {
    round(seen.x, row, d.ldx, c.in, nullptr);
    round(seen.dy, row, d.ldy, c.out, scales.data());
  }
  return seen;
}

std::unique_ptr<Backend> integerBackend(int threads = 1, const std::string& isa = "auto") {
  return createCpuBackend(threads, isa, true);
}

TEST(Dot, ProductsEqualTheReferenceOfWhatWasRounded) {
  const auto backend = integerBackend(2);
  for (LinearCase c : integerCases()) {
    c.groups.clear();
    SCOPED_TRACE(c.name);
    const LinearData data(c, ElementType::kF32), seen = asRounded(data);
    const LinearResult result = runLinear(*backend, data);
    ASSERT_NO_FATAL_FAILURE(checkForward(seen, result));
    ASSERT_NO_FATAL_FAILURE(checkDx(seen, result));
  }
}

// Adapters see rows as they were: their gradients have the bits of float32, their shares its size.
TEST(Dot, AdaptersStayInFloat32) {
  const auto integers = integerBackend(2), floats = createCpuBackend(2);
  for (const LinearCase& c : integerCases()) {
    if (c.groups.empty()) continue;
    SCOPED_TRACE(c.name);
    const LinearData data(c, ElementType::kF32);
    LinearData bare = data;
    bare.spec.groups.clear();
    const LinearResult with = runLinear(*integers, data), without = runLinear(*integers, bare);
    const LinearResult floatWith = runLinear(*floats, data), floatWithout = runLinear(*floats, bare);
    for (size_t g = 0; g < c.groups.size(); ++g) {
      EXPECT_TRUE(sameBytes(with.dA[g], floatWith.dA[g]));
      for (size_t s = 0; s < c.groups[g].segments.size(); ++s)
        EXPECT_TRUE(sameBytes(with.dbT[g][s], floatWith.dbT[g][s]));
    }
    const auto sameShare = [](const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& fa,
                              const std::vector<float>& fb) {
      for (size_t i = 0; i < a.size(); ++i) {
        if (std::isnan(fa[i])) continue;
        const double size = std::fabs(double{a[i]}) + std::fabs(double{b[i]}) + std::fabs(double{fa[i]}) + 1;
        ASSERT_NEAR(double{a[i]} - b[i], double{fa[i]} - fb[i], 4e-6 * size) << i;
      }
    };
    ASSERT_NO_FATAL_FAILURE(sameShare(with.y, without.y, floatWith.y, floatWithout.y));
    ASSERT_NO_FATAL_FAILURE(sameShare(with.dx, without.dx, floatWith.dx, floatWithout.dx));
  }
}

TEST(Dot, ThreadsAndInstructionSetsDoNotChangeABit) {
  for (const LinearCase& c : integerCases()) {
    SCOPED_TRACE(c.name);
    const LinearData data(c, ElementType::kF32);
    const LinearResult expected = runLinear(*integerBackend(), data);
    for (const std::string& isa : availableIsas()) {
      for (const int threads : {1, 3}) {
        EXPECT_TRUE(runLinear(*integerBackend(threads, isa), data) == expected) << isa << ", " << threads;
      }
    }
  }
}

TEST(Dot, ARowKeepsItsBitsInAnyCompany) {
  const auto backend = integerBackend(2);
  const LinearCase c{"rows", 60, 710, 203, WeightFormat::kI8Channel, 0, false, true, {}};
  const LinearData all(c, ElementType::kF32);
  const LinearResult whole = runLinear(*backend, all);
  for (const int64_t count : {1, 2, 5, 6, 7, 33}) {
    LinearData some = all;
    some.spec.rows = count;
    const int64_t begin = 60 - count;
    some.x.assign(all.x.begin() + begin * all.ldx, all.x.end());
    some.dy.assign(all.dy.begin() + begin * all.ldy, all.dy.end());
    some.dx.assign(all.dx.begin() + begin * all.ldx, all.dx.end());
    const LinearResult part = runLinear(*backend, some);
    EXPECT_EQ(0, std::memcmp(&whole.y[at(begin, c.out, 0)], part.y.data(), part.y.size() * 4)) << count;
    EXPECT_EQ(0, std::memcmp(&whole.dx[at(begin, c.in, 0)], part.dx.data(), part.dx.size() * 4)) << count;
  }
}

TEST(Dot, ANaNStaysInItsRow) {
  const auto backend = integerBackend(2);
  const LinearCase c{"nan", 9, 200, 150, WeightFormat::kI8Channel, 0, false, true, {}};
  LinearData data(c, ElementType::kF32);
  data.x[at(4, data.ldx, 149)] = kPoison;
  data.dy[at(4, data.ldy, 0)] = std::numeric_limits<float>::infinity();
  const LinearResult result = runLinear(*backend, data);
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) EXPECT_EQ(std::isnan(result.y[at(row, c.out, o)]), row == 4);
    for (int64_t i = 0; i < c.in; ++i) EXPECT_EQ(std::isnan(result.dx[at(row, c.in, i)]), row == 4);
  }
}

// What rounding costs on values without outliers, so that a wrong scale can't hide behind its own oracle.
TEST(Dot, LosesAHundredth) {
  const LinearCase c{"loss", 40, 512, 640, WeightFormat::kI8Channel, 0, false, true, {}};
  const LinearData data(c, ElementType::kF32);
  LinearCase exact = c;
  exact.format = WeightFormat::kF32;
  const LinearResult got = runLinear(*integerBackend(2), data);
  const LinearResult expected = runLinear(*createCpuBackend(2), LinearData(exact, ElementType::kF32));
  const auto error = [](const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      difference += std::pow(double{a[i]} - b[i], 2), size += std::pow(double{b[i]}, 2);
    }
    return std::sqrt(difference / size);
  };
  EXPECT_LT(error(got.y, expected.y), 0.01);
  EXPECT_LT(error(got.dx, expected.dx), 0.01);
  EXPECT_GT(error(got.y, expected.y), 0.001);
}

// A weight whose x has a few columns that are a hundred times the others, tall enough to have a mean that is taken out.
struct Calibrated {
  static constexpr int64_t kOut = kExactLargestWidth + 5, kIn = 130, kRows = 12;
  std::vector<float> w = randomFloats(kOut * kIn, 1), x = randomFloats(kRows * kIn, 2),
                     dy = randomFloats(kRows * kOut, 3);
  std::vector<int64_t> large{3, 64, 65, 127, 129};
  std::unique_ptr<Backend> backend;
  WeightId weight;

  Calibrated(int threads, const std::string& isa) : backend(integerBackend(threads, isa)) {
    for (int64_t o = 0; o < kOut; ++o) {
      for (int64_t i = 0; i < kIn; ++i) w[at(o, kIn, i)] = 0.2f * w[at(o, kIn, i)] + (i % 3 == 0 ? 1.5f : -0.5f);
    }
    for (int64_t row = 0; row < kRows; ++row) {
      for (const int64_t i : large) x[at(row, kIn, i)] *= 100;
    }
    weight = backend->createWeight(kOut, kIn, WeightFormat::kI8Channel);
    fill();
  }
  void fill() const { backend->setWeightRows(weight, 0, kOut, w.data()); }
  bool calibrate() const {
    backend->watchColumns(true);
    forward();
    backend->watchColumns(false);
    const bool chosen = backend->chooseColumns(weight);
    if (chosen) fill();
    return chosen;
  }
  // The rows so many times over, in one call.
  std::vector<float> forward(int64_t times = 1) const {
    const DeviceFloats in(*backend, repeated(x, times)), y(*backend, times * kRows * kOut, kPoison);
    backend->linearForward(weight, in.ptr(), kIn, times * kRows, y.ptr(), kOut, {}, DevReal());
    return y.read();
  }
  std::vector<float> backward(int64_t times = 1) const {
    const DeviceFloats in(*backend, repeated(x, times)), out(*backend, repeated(dy, times)),
        dx(*backend, times * kRows * kIn, kPoison);
    backend->linearBackward(weight, in.ptr(), kIn, times * kRows, out.ptr(), kOut, dx.ptr(), kIn, false, {}, DevReal(),
                            DevReal());
    return dx.read();
  }
  static std::vector<float> repeated(const std::vector<float>& rows, int64_t times) {
    std::vector<float> all;
    for (int64_t i = 0; i < times; ++i) all.insert(all.end(), rows.begin(), rows.end());
    return all;
  }
  std::vector<float> seen() const {
    std::vector<int32_t> ids(static_cast<size_t>(kOut));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    const DeviceArray<int32_t> rows(*backend, ids);
    const DeviceFloats out(*backend, kOut * kIn, kPoison);
    backend->gatherWeightRows(weight, rows.ptr(), kOut, 1.0f, out.ptr());
    return out.read();
  }
};

double relativeError(const std::vector<float>& got, const std::vector<double>& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference += std::pow(got[i] - expected[i], 2), size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

TEST(Dot, KeepsInFloat32WhatIsLargeAndWhatRowsHaveInCommon) {
  const Calibrated c(2, "auto");
  constexpr int64_t kOut = Calibrated::kOut, kIn = Calibrated::kIn, kRows = Calibrated::kRows;
  std::vector<double> y(static_cast<size_t>(kRows * kOut)), dx(static_cast<size_t>(kRows * kIn)),
      w(c.w.begin(), c.w.end());
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t o = 0; o < kOut; ++o) {
      for (int64_t i = 0; i < kIn; ++i) {
        y[at(row, kOut, o)] += double{c.x[at(row, kIn, i)]} * c.w[at(o, kIn, i)];
        dx[at(row, kIn, i)] += double{c.dy[at(row, kOut, o)]} * c.w[at(o, kIn, i)];
      }
    }
  }
  const double y0 = relativeError(c.forward(), y), dx0 = relativeError(c.backward(), dx),
               w0 = relativeError(c.seen(), w);
  ASSERT_TRUE(c.calibrate());
  const double y1 = relativeError(c.forward(), y), dx1 = relativeError(c.backward(), dx),
               w1 = relativeError(c.seen(), w);
  EXPECT_LT(y1, y0 / 5) << y0;
  EXPECT_LT(y1, 1e-4);
  EXPECT_LT(dx1, dx0 / 2) << dx0;
  EXPECT_LT(w1, w0 / 5) << w0;
  // The columns that were made large are among the kept, and those have not lost a bit.
  const std::vector<float> seen = c.seen(), got = c.backward();
  for (const int64_t i : c.large) {
    for (int64_t o = 0; o < kOut; o += 97) ASSERT_EQ(seen[at(o, kIn, i)], c.w[at(o, kIn, i)]);
    for (int64_t row = 0; row < kRows; ++row) EXPECT_NEAR(got[at(row, kIn, i)], dx[at(row, kIn, i)], 2e-2) << i;
  }
  EXPECT_FALSE(c.backend->chooseColumns(c.weight)) << "once is enough";
}

TEST(Dot, TellsHowFarItsWeightsAreFromWhatTheyWereMadeOf) {
  const Calibrated c(2, "auto");
  const auto expectMeasured = [&] {
    const std::vector<float> seen = c.seen();
    RoundingError expected;
    for (int64_t o = 0; o < Calibrated::kOut; o += 64) {
      for (int64_t i = 0; i < Calibrated::kIn; ++i) {
        const double was = c.w[at(o, Calibrated::kIn, i)], is = seen[at(o, Calibrated::kIn, i)];
        expected.error += (is - was) * (is - was), expected.size += was * was;
      }
    }
    const RoundingError got = c.backend->roundingError(c.weight);
    EXPECT_NEAR(got.error, expected.error, 1e-3 * expected.error);
    EXPECT_NEAR(got.size, expected.size, 1e-6 * expected.size);
    return got.error;
  };
  const double before = expectMeasured();
  ASSERT_TRUE(c.calibrate());
  EXPECT_LT(expectMeasured(), before / 10);
  const auto floats = createCpuBackend(1);
  EXPECT_EQ(floats->roundingError(floats->createWeight(64, 64, WeightFormat::kI8Channel)).size, 0);
}

TEST(Dot, KeptColumnsHaveTheSameBitsOnEveryInstructionSet) {
  std::vector<float> y, dx, seen;
  for (const std::string& isa : availableIsas()) {
    for (const int threads : {1, 3}) {
      const Calibrated c(threads, isa);
      ASSERT_TRUE(c.calibrate());
      if (y.empty()) y = c.forward(), dx = c.backward(), seen = c.seen();
      EXPECT_TRUE(sameBytes(c.forward(), y)) << isa << ", " << threads;
      EXPECT_TRUE(sameBytes(c.backward(), dx)) << isa << ", " << threads;
      EXPECT_TRUE(sameBytes(c.seen(), seen)) << isa << ", " << threads;
    }
  }
}

// Over several tasks and passes of rows: what is kept of a row goes with it.
TEST(Dot, KeptColumnsStayWithTheirRows) {
  const Calibrated c(2, "auto");
  ASSERT_TRUE(c.calibrate());
  constexpr int64_t kTimes = 12;  // 144 rows
  EXPECT_TRUE(sameBytes(c.forward(kTimes), Calibrated::repeated(c.forward(), kTimes)));
  EXPECT_TRUE(sameBytes(c.backward(kTimes), Calibrated::repeated(c.backward(), kTimes)));
}

TEST(Dot, NothingIsChosenOfWhatWasNotSeen) {
  const Calibrated c(1, "auto");
  const std::vector<float> before = c.forward();
  EXPECT_FALSE(c.backend->chooseColumns(c.weight));
  EXPECT_TRUE(sameBytes(c.forward(), before));
  const auto floats = createCpuBackend(1);
  floats->watchColumns(true);
  const WeightId weight = floats->createWeight(64, 64, WeightFormat::kI8Channel);
  EXPECT_FALSE(floats->chooseColumns(weight));
}

TEST(Dot, OtherFormatsAndBackendsAreLeftAlone) {
  const LinearCase c{"float", 9, 100, 90, WeightFormat::kF32, 0, false, true, {}};
  const LinearData data(c, ElementType::kF32);
  EXPECT_TRUE(runLinear(*integerBackend(2), data) == runLinear(*createCpuBackend(2), data));
  EXPECT_FALSE(createCpuBackend(1)->integerProducts());
  EXPECT_EQ(createCpuBackend(1)->productBytes(100, 100), 0u);
  EXPECT_TRUE(integerBackend()->integerProducts());
  // The row itself, then a scale and a start for each block.
  EXPECT_GE(integerBackend()->productBytes(100, 1280), 100u * (1280 + 10 * 8));
}

}  // namespace
}  // namespace mlit::test
