// The head's loss without logits: against a softmax in float64 of the logits that the same products give where they are kept, its
// gradient against the rule by which it is rounded, and the promises of every op (rows, threads, instruction sets, memory).
#include <numeric>

#include "backend/cpu/rounded_rows.h"
#include "test/ops/linear_cases.h"

namespace mlit::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct HeadResult {
  std::vector<float> logprobs, dx;
  bool operator==(const HeadResult& other) const {
    return sameBytes(logprobs, other.logprobs) && sameBytes(dx, other.dx);
  }
};

// A head, rows of x whose labels lie anywhere, some of them sure of theirs; calibrated: a few columns of x are large, and kept.
struct HeadCase {
  int64_t out, in, rows;
  bool calibrated = false;
  std::vector<float> w, x, weights;
  std::vector<int32_t> targets;
  std::unique_ptr<Backend> backend;
  WeightId weight;

  HeadCase(int64_t vocabulary, int64_t width, int64_t count, bool large = false, int threads = 2,
           const std::string& isa = "auto")
      : out(vocabulary),
        in(width),
        rows(count),
        calibrated(large),
        w(randomFloats(out * in, 1)),
        x(randomFloats(rows * in, 2)),
        weights(randomFloats(rows, 4)),
        backend(createCpuBackend(threads, isa, true)) {
    for (int64_t r = 0; r < rows; ++r) {
      targets.push_back(static_cast<int32_t>(
          r == 0 ? out - 1 : philox(5, 6, static_cast<uint64_t>(r))[0] % static_cast<uint64_t>(out)));
      weights[static_cast<size_t>(r)] = std::fabs(weights[static_cast<size_t>(r)]) + 0.1f;
      for (int64_t i = 0; large && i < in; i += in / 4) x[at(r, in, i)] *= 30;
      for (int64_t i = 0; i < in && r % 3 == 1; ++i) x[at(r, in, i)] += 0.5f * w[at(targets.back(), in, i)];
    }
    weight = backend->createWeight(out, in, WeightFormat::kI8Channel);
    backend->setWeightRows(weight, 0, out, w.data());
    if (!calibrated) return;
    backend->watchColumns(true);
    logits();
    backend->watchColumns(false);
    EXPECT_TRUE(backend->chooseColumns(weight));
    backend->setWeightRows(weight, 0, out, w.data());
  }

  std::vector<float> logits() const {
    const DeviceFloats from(*backend, x), to(*backend, rows * out, kPoison);
    backend->linearForward(weight, from.ptr(), in, rows, to.ptr(), out, {}, DevReal());
    return to.read();
  }
  // W as the products see it.
  std::vector<float> seen() const {
    std::vector<int32_t> ids(static_cast<size_t>(out));
    std::iota(ids.begin(), ids.end(), 0);
    const DeviceArray<int32_t> all(*backend, ids);
    const DeviceFloats to(*backend, out * in, kPoison);
    backend->gatherWeightRows(weight, all.ptr(), out, 1.0f, to.ptr());
    return to.read();
  }
  // Rows [begin, end), in just the memory that so many take.
  HeadResult run(int64_t begin, int64_t end, bool gradients = true) const {
    const int64_t n = end - begin;
    const size_t bytes = backend->headLossBytes(n, out, in, WeightFormat::kI8Channel);
    const auto cut = [&](const std::vector<float>& all, int64_t each) {
      return std::vector<float>(all.begin() + begin * each, all.begin() + end * each);
    };
    const DeviceFloats from(*backend, cut(x, in)), by(*backend, cut(weights, 1)), logprobs(*backend, n, kPoison),
        dx(*backend, n * in, kPoison);
    const DeviceArray<int32_t> labels(*backend, std::vector<int32_t>(targets.begin() + begin, targets.begin() + end));
    constexpr size_t kGuard = 256;
    const size_t whole = bytes + kGuard;
    const DevicePtr<std::byte> scratch = backend->allocate(whole);
    std::vector<std::byte> memory(whole, std::byte{0x5A});
    backend->upload(scratch, memory.data(), whole);
    backend->headLoss(weight, from.ptr(), in, n, labels.ptr(), by.ptr(), logprobs.ptr(),
                      gradients ? DevReal(dx.ptr()) : DevReal(), in, scratch);
    backend->download(memory.data(), scratch, whole);
    backend->synchronize();
    backend->release(scratch, whole);
    for (size_t i = 0; i < kGuard; ++i) EXPECT_EQ(memory[bytes + i], std::byte{0x5A}) << "beyond its memory, " << i;
    return {logprobs.read(), dx.read()};
  }
  HeadResult run(bool gradients = true) const { return run(0, rows, gradients); }
};

struct Softmax {
  std::vector<double> p;
  double logprob;
};

Softmax softmaxOf(const std::vector<float>& logits, int64_t row, int64_t out, int32_t target) {
  const float* const from = logits.data() + row * out;
  const double max = *std::max_element(from, from + out);
  Softmax s;
  for (int64_t o = 0; o < out; ++o) s.p.push_back(std::exp(from[o] - max));
  const double sum = std::accumulate(s.p.begin(), s.p.end(), 0.0);
  for (double& p : s.p) p /= sum;
  s.logprob = from[target] - max - std::log(sum);
  return s;
}

// The gradient of one row as the product sees it: in blocks of 128, the label exact.
std::vector<double> roundedGradient(const Softmax& s, int32_t target, double weight,
                                    const std::vector<double>& scales) {
  std::vector<double> g(s.p.size());
  for (size_t begin = 0; begin < g.size(); begin += kDotBlock) {
    const size_t end = std::min(g.size(), begin + kDotBlock);
    double most = 0;
    for (size_t i = begin; i < end; ++i)
      if (static_cast<int32_t>(i) != target) most = std::max(most, s.p[i] * scales[i]);
    for (size_t i = begin; i < end && most > 0; ++i)
      g[i] = weight * std::nearbyint(s.p[i] * scales[i] * 127 / most) * most / 127 / scales[i];
  }
  g[static_cast<size_t>(target)] = weight * std::expm1(s.logprob);
  return g;
}

TEST(HeadLoss, IsASoftmaxAndItsGradientAsItIsRounded) {
  for (const auto& [out, in, rows] : std::vector<std::array<int64_t, 3>>{{1, 4, 2},
                                                                         {30, 20, 3},
                                                                         {64, 33, 5},
                                                                         {100, 64, 40},
                                                                         {128, 64, 33},
                                                                         {200, 130, 12},
                                                                         {402, 64, 150},
                                                                         {5000, 70, 9},
                                                                         {20000, 24, 3}}) {
    SCOPED_TRACE(std::to_string(out) + " words");
    const HeadCase c(out, in, rows);
    const HeadResult got = c.run();
    const std::vector<float> logits = c.logits(), seen = c.seen();
    std::vector<double> scales;
    for (int64_t o = 0; o < out; ++o) {
      float most = 0;
      for (int64_t i = 0; i < in; ++i) most = std::max(most, std::fabs(c.w[at(o, in, i)]));
      scales.push_back(most / 127);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t target = c.targets[static_cast<size_t>(r)];
      const double weight = c.weights[static_cast<size_t>(r)];
      const Softmax s = softmaxOf(logits, r, out, target);
      EXPECT_NEAR(got.logprobs[static_cast<size_t>(r)], s.logprob, 2e-6 * (1 - s.logprob)) << r;
      const std::vector<double> g = roundedGradient(s, target, weight, scales);
      std::vector<double> dx(static_cast<size_t>(in));
      double size = 0, flips = 0;
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t i = 0; i < in; ++i) {
          dx[static_cast<size_t>(i)] += g[static_cast<size_t>(o)] * seen[at(o, in, i)];
          size = std::max(size, std::fabs(g[static_cast<size_t>(o)] * seen[at(o, in, i)]));
        }
        flips = std::max(flips, s.p[static_cast<size_t>(o)] * weight / 127);
      }
      // An element half-way between two bytes may go either way; which is one step of its block.
      for (int64_t i = 0; i < in; ++i)
        ASSERT_NEAR(got.dx[at(r, in, i)], dx[static_cast<size_t>(i)], 2e-5 * size + 2.1 * flips) << r << ", " << i;
    }
  }
}

TEST(HeadLoss, WithKeptColumnsItIsCloseToTheExactGradientAndThereAsExact) {
  for (const int64_t out : {900, 20000}) {
    const HeadCase c(out, 128, 7, true);
    const HeadResult got = c.run();
    const std::vector<float> logits = c.logits(), seen = c.seen();
    double difference = 0, size = 0;
    for (int64_t r = 0; r < c.rows; ++r) {
      const int32_t target = c.targets[static_cast<size_t>(r)];
      const Softmax s = softmaxOf(logits, r, out, target);
      // The logits of the other way hold what is the same for all words; to float32 that is no difference.
      EXPECT_NEAR(got.logprobs[static_cast<size_t>(r)], s.logprob, 1e-5 * (1 - s.logprob)) << r;
      std::vector<double> dx(static_cast<size_t>(c.in));
      for (int64_t o = 0; o < out; ++o) {
        const double g = (s.p[static_cast<size_t>(o)] - (o == target ? 1 : 0)) * c.weights[static_cast<size_t>(r)];
        for (int64_t i = 0; i < c.in; ++i) dx[static_cast<size_t>(i)] += g * seen[at(o, c.in, i)];
      }
      for (int64_t i = 0; i < c.in; ++i) {
        const double off = got.dx[at(r, c.in, i)] - dx[static_cast<size_t>(i)];
        if (i % (c.in / 4) == 0) {
          EXPECT_NEAR(off, 0, 3e-5 * (1 + std::fabs(dx[static_cast<size_t>(i)]))) << i;
        }
        difference += off * off, size += dx[static_cast<size_t>(i)] * dx[static_cast<size_t>(i)];
      }
    }
    EXPECT_LT(std::sqrt(difference / size), 0.01) << out;
  }
}

TEST(HeadLoss, ThreadsAndInstructionSetsDoNotChangeABit) {
  for (const bool calibrated : {false, true}) {
    const HeadResult expected = HeadCase(5003, 96, 140, calibrated, 1).run();
    for (const std::string& isa : availableIsas()) {
      for (const int threads : {1, 3})
        EXPECT_TRUE(HeadCase(5003, 96, 140, calibrated, threads, isa).run() == expected) << isa << ", " << threads;
    }
  }
}

TEST(HeadLoss, ARowKeepsItsBitsInAnyCompany) {
  const HeadCase c(3000, 96, 150, true);
  const HeadResult whole = c.run();
  for (const auto& [begin, end] : {std::pair{0, 1}, {149, 150}, {60, 70}, {1, 130}}) {
    const HeadResult part = c.run(begin, end);
    for (int64_t r = begin; r < end; ++r) {
      const auto i = static_cast<size_t>(r - begin);
      EXPECT_EQ(std::memcmp(&part.logprobs[i], &whole.logprobs[static_cast<size_t>(r)], 4), 0) << r;
      EXPECT_EQ(std::memcmp(&part.dx[i * 96], &whole.dx[at(r, 96, 0)], 96 * 4), 0) << r;
    }
  }
}

TEST(HeadLoss, ScoringHasTheSameBitsAndLeavesTheGradientAlone) {
  const HeadCase c(1000, 64, 20, true);
  const HeadResult scored = c.run(false);
  EXPECT_TRUE(sameBytes(scored.logprobs, c.run().logprobs));
  EXPECT_TRUE(sameBytes(scored.dx, std::vector<float>(static_cast<size_t>(20 * 64), kPoison)));
}

// A label that is all but certain, and one that is as good as impossible: neither loses its digits.
TEST(HeadLoss, CertainAndImpossibleLabels) {
  HeadCase c(300, 64, 2);
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t r = 0; r < 2; ++r) c.x[at(r, 64, i)] = 20 * c.w[at(7, 64, i)];
  }
  c.targets = {7, 8};
  const HeadResult got = c.run();
  const std::vector<float> logits = c.logits();
  for (int64_t r = 0; r < 2; ++r) {
    const Softmax s = softmaxOf(logits, r, 300, c.targets[static_cast<size_t>(r)]);
    EXPECT_NEAR(got.logprobs[static_cast<size_t>(r)], s.logprob, 1e-6 * std::fabs(s.logprob)) << r;
  }
  EXPECT_GT(got.logprobs[0], -1e-3);
  EXPECT_LT(got.logprobs[1], -100);
}

TEST(HeadLoss, WhatIsNoNumberStaysInItsRow) {
  for (const float bad : {kNaN, std::numeric_limits<float>::infinity()}) {
    HeadCase c(500, 64, 5);
    const HeadResult clean = c.run();
    c.x[at(2, 64, 9)] = bad;
    const HeadResult got = c.run();
    EXPECT_TRUE(std::isnan(got.logprobs[2])) << bad;
    for (int64_t i = 0; i < 64; ++i) EXPECT_TRUE(std::isnan(got.dx[at(2, 64, i)])) << i;
    for (const size_t r : {0, 1, 3, 4}) {
      EXPECT_EQ(got.logprobs[r], clean.logprobs[r]);
      EXPECT_EQ(std::memcmp(&got.dx[r * 64], &clean.dx[r * 64], 64 * 4), 0) << r;
    }
  }
}

TEST(HeadLoss, IsOfIntegerProductsAlone) {
  const auto integers = createCpuBackend(1, "auto", true), floats = createCpuBackend(1);
  EXPECT_GT(integers->headLossBytes(10, 1000, 64, WeightFormat::kI8Channel), 10000u);
  EXPECT_LT(integers->headLossBytes(1000, 100000, 64, WeightFormat::kI8Channel), 120'000'000u) << "a quarter of logits";
  EXPECT_EQ(integers->headLossBytes(10, 1000, 64, WeightFormat::kF32), 0u);
  EXPECT_EQ(floats->headLossBytes(10, 1000, 64, WeightFormat::kI8Channel), 0u);
}

}  // namespace
}  // namespace mlit::test
