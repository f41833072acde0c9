// Sampling: which tokens may come out, against an implementation that sorts the whole vocabulary; how often they do, by
// chi-square; and that a row's token depends on its logits, seed and position alone.
#include <set>

#include "test/op_support.h"

namespace mlit::test {
namespace {

class SamplingTest : public OpTest {};

struct Sampled {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
};

Sampled sample(Backend& backend, const std::vector<float>& logits, int64_t vocabulary, int64_t usable,
               const std::vector<SampleParams>& params) {
  const int64_t n = static_cast<int64_t>(params.size());
  DeviceFloats device(backend, logits), logprobs(backend, n, kPoison);
  DeviceArray<int32_t> tokens(backend, n, -1);
  backend.sampleRows(device.ptr(), n, vocabulary, usable, params, tokens.ptr(), logprobs.ptr());
  return {tokens.read(), logprobs.read()};
}

// Many draws from one row of logits.
std::vector<int32_t> draws(Backend& backend, const std::vector<float>& row, int64_t usable, SampleParams params,
                           int64_t count) {
  std::vector<float> logits;
  std::vector<SampleParams> all;
  for (int64_t i = 0; i < count; ++i) {
    logits.insert(logits.end(), row.begin(), row.end());
    params.position = static_cast<uint64_t>(i);
    all.push_back(params);
  }
  return sample(backend, logits, static_cast<int64_t>(row.size()), usable, all).tokens;
}

// Probabilities after all filters, in the order transformers applies them, by sorting.
Doubles filtered(const std::vector<float>& row, int64_t usable, const SampleParams& params) {
  const size_t n = static_cast<size_t>(usable);
  std::vector<int32_t> order;
  Doubles scores;
  for (size_t i = 0; i < n; ++i) {
    order.push_back(static_cast<int32_t>(i));
    scores.push_back(static_cast<double>(row[i]) / static_cast<double>(params.temperature));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)]; });
  const auto score = [&](size_t rank) { return scores[static_cast<size_t>(order[rank])]; };
  size_t kept = n;
  if (params.topK > 0 && static_cast<size_t>(params.topK) < n) {
    kept = static_cast<size_t>(params.topK);
    while (kept < n && score(kept) == score(kept - 1)) ++kept;
  }
  const auto weight = [&](size_t rank) { return std::exp(score(rank) - score(0)); };
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) sum += weight(i);
  if (params.topP < 1) {
    double before = 0;
    size_t rank = 0;
    for (; rank < kept && (rank == 0 || before < static_cast<double>(params.topP) * sum); ++rank)
      before += weight(rank);
    kept = rank;
  }
  while (kept > 1 && weight(kept - 1) < static_cast<double>(params.minP)) --kept;
  Doubles probabilities(row.size(), 0);
  sum = 0;
  for (size_t i = 0; i < kept; ++i) sum += weight(i);
  for (size_t i = 0; i < kept; ++i) probabilities[static_cast<size_t>(order[i])] = weight(i) / sum;
  return probabilities;
}

TEST_P(SamplingTest, GreedyTakesTheSmallestOfTheLargest) {
  forEach(std::vector<int64_t>{1, 2, 15, 64, 1000, 5001}, [&](int64_t vocabulary) {
    std::vector<float> row = randomFloats(vocabulary, 1);
    const int64_t usable = std::max<int64_t>(1, vocabulary - 3);
    for (int64_t i = usable; i < vocabulary; ++i) row[static_cast<size_t>(i)] = 50;  // padding must not win
    const int64_t first = usable / 3;
    row[static_cast<size_t>(first)] = row[static_cast<size_t>(usable - 1)] = 3;
    const Sampled got = sample(backend(), row, vocabulary, usable, {SampleParams{}});
    EXPECT_EQ(got.tokens[0], static_cast<int32_t>(first)) << "vocabulary " << vocabulary;
    double sum = 0;
    for (const float value : row) sum += std::exp(static_cast<double>(value));
    EXPECT_NEAR(static_cast<double>(got.logprobs[0]), 3 - std::log(sum), 1e-5);
  });
}

TEST_P(SamplingTest, LogprobIsThatOfTheUnmodifiedDistribution) {
  const std::vector<float> row = scaled(randomFloats(300, 2), 4);
  double sum = 0;
  for (const float value : row) sum += std::exp(static_cast<double>(value));
  std::vector<float> logits;
  std::vector<SampleParams> params;
  for (uint64_t i = 0; i < 20; ++i) {
    logits.insert(logits.end(), row.begin(), row.end());
    params.push_back({0.5f + static_cast<float>(i) / 10, 0.9f, 40, 0.01f, 5, i});
  }
  const Sampled got = sample(backend(), logits, 300, 300, params);
  for (size_t i = 0; i < got.tokens.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(got.logprobs[i]),
                static_cast<double>(row[static_cast<size_t>(got.tokens[i])]) - std::log(sum), 2e-6);
  }
}

struct FilterCase {
  float temperature;
  float topP;
  int32_t topK;
  float minP;
};

const FilterCase kFilters[] = {{1, 1, 0, 0},          {0.7f, 1, 5, 0},     {1, 0.8f, 0, 0},   {1.3f, 1, 0, 0.2f},
                               {0.8f, 0.7f, 9, 0.1f}, {2, 0.95f, 0, 0.4f}, {1, 0.001f, 0, 0}, {1, 0, 0, 0},
                               {1, 1, 1, 0},          {5, 0.999f, 30, 0},  {1, 1, 1000, 0},   {1, 1, 0, 1},
                               {0.2f, 0.5f, 3, 0.5f}};

TEST_P(SamplingTest, SupportAndFrequencies) {
  const std::vector<float> row = scaled(randomFloats(37, 3), 2.5f);
  const int64_t usable = 35, count = emulated() ? 12 : 4000;
  forEach(kFilters, [&](const FilterCase& f) {
    const SampleParams params{f.temperature, f.topP, f.topK, f.minP, 11, 0};
    const Doubles want = filtered(row, usable, params);
    std::vector<int64_t> seen(row.size(), 0);
    for (const int32_t token : draws(backend(), row, usable, params, count)) {
      ASSERT_TRUE(token >= 0 && token < usable);
      ++seen[static_cast<size_t>(token)];
    }
    double chi = 0, cells = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      if (want[i] == 0) {
        EXPECT_EQ(seen[i], 0) << "token " << i << " was filtered out; topP " << f.topP << " topK " << f.topK << " minP "
                              << f.minP;
        continue;
      }
      const double expected = want[i] * static_cast<double>(count);
      if (expected > 20) {
        EXPECT_GT(seen[i], 0) << "token " << i;
      }
      chi += (static_cast<double>(seen[i]) - expected) * (static_cast<double>(seen[i]) - expected) / expected;
      ++cells;
    }
    if (count < 1000) return;  // too few for frequencies, which the device's own tests look at
    // Mean cells - 1, variance twice that: six deviations away is no accident.
    EXPECT_LT(chi, cells - 1 + 6 * std::sqrt(2 * cells))
        << "topP " << f.topP << " topK " << f.topK << " minP " << f.minP;
  });
}

// Large vocabularies, where the threshold is found by bisection: a draw must come from the reference's support, and the
// least likely token of the support must be reachable, which a temperature near infinity makes sure of.
TEST_P(SamplingTest, SupportOfLargeVocabularies) {
  const int64_t vocabulary = emulated() ? 3011 : 30011, count = emulated() ? 3 : 12;
  std::vector<std::pair<std::string, std::vector<float>>> rows;
  rows.emplace_back("flat", scaled(randomFloats(vocabulary, 4), 0.5f));
  rows.emplace_back("steep", scaled(randomFloats(vocabulary, 5), 40));
  rows.emplace_back("equal", std::vector<float>(static_cast<size_t>(vocabulary), 0.5f));
  std::vector<float> stairs = randomFloats(vocabulary, 6);
  for (float& value : stairs) value = std::round(value * 3);
  rows.emplace_back("stairs", stairs);
  std::vector<float> mixed = scaled(randomFloats(vocabulary, 7), 1e-30f);
  for (size_t i = 0; i < 50; ++i) mixed[i * static_cast<size_t>(vocabulary / 50)] = static_cast<float>(i) * 0.1f;
  rows.emplace_back("tiny values", mixed);
  for (const auto& [name, row] : rows) {
    for (const FilterCase& f :
         {FilterCase{1, 0.9f, 0, 0}, FilterCase{1, 0.5f, 0, 0}, FilterCase{1, 1, 50, 0}, FilterCase{1, 1, 9000, 0},
          FilterCase{1, 0.7f, 12000, 0}, FilterCase{1, 0.3f, 200, 0}, FilterCase{0.3f, 0.99f, 0, 0.05f}}) {
      const SampleParams params{f.temperature, f.topP, f.topK, f.minP, 17, 0};
      const Doubles want = filtered(row, vocabulary, params);
      const int64_t support = std::count_if(want.begin(), want.end(), [](double p) { return p > 0; });
      const std::vector<int32_t> tokens = draws(backend(), row, vocabulary, params, count);
      std::set<int32_t> distinct;
      for (const int32_t token : tokens) {
        ASSERT_TRUE(token >= 0 && token < vocabulary) << name;
        // One token may be on the other side of the edge by rounding of the cumulative sum.
        bool allowed = want[static_cast<size_t>(token)] > 0;
        if (!allowed) {
          double least = 1e300;
          for (size_t i = 0; i < want.size(); ++i) {
            if (want[i] > 0) least = std::min(least, static_cast<double>(row[i]));
          }
          allowed = static_cast<double>(row[static_cast<size_t>(token)]) >= least - 1e-6;
        }
        EXPECT_TRUE(allowed) << name << " token " << token << " topP " << f.topP << " topK " << f.topK;
        distinct.insert(token);
      }
      if (support > 1000 && count == 12) {
        EXPECT_GT(distinct.size(), 6u) << name;
      }
    }
  }
}

TEST_P(SamplingTest, RowsDoNotKnowEachOther) {
  const int64_t vocabulary = 3001;
  const std::vector<float> a = scaled(randomFloats(vocabulary, 8), 5), b = scaled(randomFloats(vocabulary, 9), 5);
  const SampleParams params{0.9f, 0.95f, 100, 0.001f, 21, 77};
  const Sampled alone = sample(backend(), a, vocabulary, vocabulary, {params});
  std::vector<float> both = b;
  both.insert(both.end(), a.begin(), a.end());
  both.insert(both.end(), b.begin(), b.end());
  const SampleParams other{1.5f, 1, 0, 0, 3, 77};
  const Sampled among = sample(backend(), both, vocabulary, vocabulary, {SampleParams{}, params, other});
  EXPECT_EQ(among.tokens[1], alone.tokens[0]);
  EXPECT_EQ(among.logprobs[1], alone.logprobs[0]);

  std::set<int32_t> bySeed, byPosition;
  for (uint64_t i = 0; i < (emulated() ? 12u : 30u); ++i) {
    SampleParams changed = params;
    changed.seed = i;
    bySeed.insert(sample(backend(), a, vocabulary, vocabulary, {changed}).tokens[0]);
    changed.seed = params.seed;
    changed.position = i;
    byPosition.insert(sample(backend(), a, vocabulary, vocabulary, {changed}).tokens[0]);
  }
  EXPECT_GT(bySeed.size(), 3u);
  EXPECT_GT(byPosition.size(), 3u);
}

TEST_P(SamplingTest, SurvivesWhatIsNotANumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int64_t vocabulary : emulated() ? std::vector<int64_t>{1, 33, 1001} : std::vector<int64_t>{1, 33, 9001}) {
    const std::vector<float> all[] = {std::vector<float>(static_cast<size_t>(vocabulary), kPoison),
                                      std::vector<float>(static_cast<size_t>(vocabulary), -infinity),
                                      std::vector<float>(static_cast<size_t>(vocabulary), infinity)};
    for (std::vector<float> row : all) {
      for (const bool oneNumber : {false, true}) {
        if (oneNumber) row[static_cast<size_t>(vocabulary / 2)] = 1.5f;
        for (const FilterCase& f :
             {FilterCase{0, 1, 0, 0}, FilterCase{1, 1, 0, 0}, FilterCase{1, 0.9f, 0, 0}, FilterCase{1, 1, 20, 0.1f},
              FilterCase{1e-30f, 0.5f, 3, 0}, FilterCase{1e-45f, 1, 0, 0}, FilterCase{1e30f, 0.5f, 0, 0}}) {
          const Sampled got = sample(backend(), row, vocabulary, vocabulary,
                                     {SampleParams{f.temperature, f.topP, f.topK, f.minP, 1, 2}});
          ASSERT_TRUE(got.tokens[0] >= 0 && got.tokens[0] < vocabulary);
          if (oneNumber && !(row[0] > 1.5f) && f.temperature > 0) {
            EXPECT_EQ(got.tokens[0], static_cast<int32_t>(vocabulary / 2)) << "the only number";
          }
          if (vocabulary > 1 && std::isnan(row[0])) {
            EXPECT_TRUE(std::isnan(got.logprobs[0]));
          }
        }
      }
    }
  }
}

// Whoever samples looks at the log-probability alone: one logit that is no number, or too large for one, has to show there.
TEST_P(SamplingTest, OneLogitThatIsNoNumberShowsInTheLogprob) {
  for (const int64_t vocabulary : {7, 600, 9001}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const int64_t place : {int64_t{0}, vocabulary / 2, vocabulary - 1}) {
        for (const float temperature : {0.0f, 0.8f}) {
          std::vector<float> row = randomFloats(vocabulary, 3);
          row[static_cast<size_t>(place)] = bad;
          const Sampled got =
              sample(backend(), row, vocabulary, vocabulary - 1, {SampleParams{temperature, 0.9f, 0, 0, 1, 2}});
          EXPECT_FALSE(std::isfinite(got.logprobs[0])) << bad << " at " << place << " of " << vocabulary;
          EXPECT_LT(got.tokens[0], vocabulary - 1);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SamplingTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
