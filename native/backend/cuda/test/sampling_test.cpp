// Sampling on the emulator: tokens against an implementation that sorts the whole vocabulary and sums in float64, with the CPU
// backend's order of filters, its ties and its draw.
#include "backend/cuda/kernels/sampling.h"

#include <algorithm>
#include <map>

#include "backend/cuda/test/support.h"
#include "core/draw.h"
#include "core/error.h"

namespace mlit::test {
namespace {

using Floats = std::vector<float>;
using Params = std::vector<SampleParams>;
constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

struct Drawn {
  std::vector<int32_t> tokens;
  Floats logprobs;
};

// Rows from `shift` floats behind an aligned address.
Drawn sampled(const Floats& logits, int64_t usable, const Params& params, int64_t shift = 0) {
  const auto n = static_cast<int64_t>(params.size()), vocabulary = static_cast<int64_t>(logits.size()) / n;
  Floats all(static_cast<size_t>(shift), kNan);
  all.insert(all.end(), logits.begin(), logits.end());
  std::vector<cuda::SampleRow> rows;
  for (const SampleParams& p : params) rows.push_back(cuda::sampleRow(p));
  const size_t bytes = cuda::sampleWorkspaceBytes(n, vocabulary);
  const DeviceArray<float> device(all), logprobs(params.size());
  const DeviceArray<cuda::SampleRow> asked(rows);
  const DeviceArray<std::byte> workspace(bytes);
  const DeviceArray<int32_t> tokens(params.size());
  cuda::Stream stream;
  cuda::sampleRows(DevConstF32(device.get() + shift), n, vocabulary, usable,
                   DevicePtr<const cuda::SampleRow>(asked.get()), DevI32(tokens.get()), DevF32(logprobs.get()),
                   DevicePtr<std::byte>(workspace.get()), bytes, stream);
  stream.synchronize();
  return {tokens.read(), logprobs.read()};
}

// Probabilities that the filters leave, by id; one of 1 where nothing is drawn.
std::vector<double> filtered(const float* row, int64_t usable, const SampleParams& p) {
  std::vector<double> weights(static_cast<size_t>(usable), 0);
  std::vector<int32_t> order;
  for (int32_t i = 0; i < usable; ++i) {
    if (row[i] > -kInf) order.push_back(i);  // a number
  }
  if (order.empty()) {
    weights[0] = 1;
    return weights;
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
  const float most = row[order[0]], inverse = 1.0f / p.temperature;
  if (!(p.temperature > 0) || !std::isfinite(inverse) || !(p.topP > 0) || most == kInf || std::isnan(p.minP)) {
    weights[static_cast<size_t>(order[0])] = 1;
    return weights;
  }
  const auto weight = [&](size_t rank) { return std::exp(static_cast<double>((row[order[rank]] - most) * inverse)); };
  size_t kept = order.size();
  if (p.topK > 0 && p.topK < usable && static_cast<size_t>(p.topK) < kept) {
    kept = static_cast<size_t>(p.topK);
    while (kept < order.size() && row[order[kept]] == row[order[kept - 1]]) ++kept;
  }
  double sum = 0, before = 0;
  for (size_t i = 0; i < kept; ++i) sum += weight(i);
  if (p.topP < 1) {
    size_t rank = 0;
    for (; rank < kept && (rank == 0 || before < static_cast<double>(p.topP) * sum); ++rank) before += weight(rank);
    kept = rank;
  }
  while (kept > 1 && weight(kept - 1) < static_cast<double>(p.minP)) --kept;
  sum = 0;
  for (size_t i = 0; i < kept; ++i) sum += weight(i);
  for (size_t i = 0; i < kept; ++i) weights[static_cast<size_t>(order[i])] = weight(i) / sum;
  return weights;
}

int32_t reference(const float* row, int64_t usable, const SampleParams& p) {
  const std::vector<double> weights = filtered(row, usable, p);
  const double aim = static_cast<double>(drawBits(p.seed, p.position)) * 0x1p-53;
  double before = 0;
  int32_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    before += weights[i];
    last = static_cast<int32_t>(i);
    if (before > aim) break;
  }
  return last;
}

void expectReference(const Floats& logits, int64_t usable, const Params& params, const std::string& what,
                     int64_t shift = 0) {
  const Drawn got = sampled(logits, usable, params, shift);
  const size_t vocabulary = logits.size() / params.size();
  for (size_t r = 0; r < params.size(); ++r) {
    const float* row = logits.data() + r * vocabulary;
    const SampleParams& p = params[r];
    EXPECT_EQ(got.tokens[r], reference(row, usable, p))
        << what << " row " << r << ": temperature " << p.temperature << " topK " << p.topK << " topP " << p.topP
        << " minP " << p.minP;
    double most = -kInf, sum = 0;
    for (size_t i = 0; i < vocabulary; ++i) most = std::max(most, static_cast<double>(row[i]));
    for (size_t i = 0; i < vocabulary; ++i) sum += std::exp(row[i] - most);
    const double want = row[got.tokens[r]] - most - std::log(sum);
    // A product and exp2 are each off by a unit or two of the last place, at the tail's larger distances by a few more.
    if (!std::isfinite(want)) continue;
    EXPECT_NEAR(got.logprobs[r], want, 2e-6 + 2e-7 * std::abs(want)) << what << " row " << r;
  }
}

// Logits as a model's: most far below a few, which lie anywhere.
Floats modelLogits(int64_t n, uint64_t seed, float spread = 4) {
  Floats values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = philox(seed, 11, i);
    float sum = -6;
    for (const uint32_t word : bits) sum += unitFloat(word) + unitFloat(word * 2654435761u) + unitFloat(word << 9);
    values[i] = spread * sum + 3;
  }
  return values;
}

Floats repeated(const Floats& row, size_t times) {
  Floats all;
  for (size_t i = 0; i < times; ++i) all.insert(all.end(), row.begin(), row.end());
  return all;
}

// temperature, topP, topK, minP
const Params kAsked = {
    {0, 1, 0, 0, 1, 0},        {1, 1, 0, 0, 1, 1},           {0.7f, 1, 1, 0, 1, 2},    {1, 1, 2, 0, 1, 3},
    {2, 1, 40, 0, 1, 4},       {1, 1, 1 << 30, 0, 1, 5},     {1, 0.1f, 0, 0, 1, 6},    {1.5f, 0.9f, 0, 0, 1, 7},
    {3, 0.999f, 0, 0, 1, 8},   {1, 1, 0, 0.05f, 1, 9},       {1, 1, 0, 1, 1, 10},      {1.2f, 0.9f, 40, 0.02f, 1, 11},
    {1, 0.5f, 3, 0.3f, 1, 12}, {0.01f, 0.9f, 5, 0, 1, 13},   {100, 0.7f, 0, 0, 1, 14}, {1, 0, 4, 0, 1, 15},
    {1e-42f, 1, 0, 0, 1, 16},  {1, 1, 0, kNan, 1, 17},       {kNan, 1, 0, 0, 1, 18},   {1, kNan, 0, 0, 1, 19},
    {30, 1, 6, 0.5f, 1, 20},   {1e30f, 0.3f, 5, 0.9f, 1, 21}};

class Sampling : public OnDevice {};

TEST_F(Sampling, TokensAreThoseOfASortedVocabulary) {
  for (const int64_t vocabulary : {1, 7, 512, 513, 1000}) {
    const int64_t usable = std::max<int64_t>(1, vocabulary - 5);
    const uint64_t seeds = seedsOr(vocabulary == 7 ? 20 : 3);
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      begin(seed);
      Params params = kAsked;
      for (SampleParams& p : params) p.seed = seed;
      Floats logits = modelLogits(vocabulary * static_cast<int64_t>(params.size()), seed);
      for (size_t i = 0; i < logits.size(); ++i) {  // what must not be chosen
        if (static_cast<int64_t>(i) % vocabulary >= usable) logits[i] = 30;
      }
      expectReference(logits, usable, params, std::to_string(vocabulary), seed % 2);
    }
  }
}

TEST_F(Sampling, LargeVocabularies) {
  const Params some = {{0, 1, 0, 0, 3, 1}, {1, 1, 0, 0, 3, 2}, {1, 0.95f, 0, 0, 3, 3}, {1.5f, 0.9f, 50, 0.01f, 3, 4}};
  expectReference(modelLogits(50257 * 4, 5, 2), 50257, some, "50257");
  const Params two = {{0.8f, 0.9f, 0, 0, 3, 5}, {1, 1, 700, 0, 3, 6}};
  expectReference(modelLogits(262144 * 2, 6, 2), 262100, two, "262144");
}

TEST_F(Sampling, TiesGoToTheSmallerIdsAndTopKKeepsThemAll) {
  const size_t n = kAsked.size();
  Floats row(1100, 0.25f);
  expectReference(repeated(row, n), 1097, kAsked, "all equal");
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i * 7 % 5) - 2;
  expectReference(repeated(row, n), 1097, kAsked, "five values");
  for (size_t i = 0; i < row.size(); ++i) row[i] = i % 3 == 0 ? -0.0f : i % 3 == 1 ? 0.0f : -1;
  expectReference(repeated(row, n), 1097, kAsked, "both zeros");
}

TEST_F(Sampling, ValuesThatAreNoNumbersAndHugeOnes) {
  const size_t n = kAsked.size();
  Floats row = modelLogits(1100, 8);
  for (size_t i = 0; i < row.size(); i += 2) row[i] = -kInf;
  expectReference(repeated(row, n), 1100, kAsked, "-inf");
  std::fill(row.begin(), row.begin() + 600, -kInf);
  expectReference(repeated(row, n), 1100, kAsked, "a chunk of -inf");
  row[700] = 1e30f;
  expectReference(repeated(row, n), 1100, kAsked, "one huge");
  row[900] = -3e38f;
  row[700] = 3e38f;
  expectReference(repeated(row, n), 1100, kAsked, "as far apart as can be");
  row[800] = row[801] = kInf;
  expectReference(repeated(row, n), 1100, kAsked, "+inf");
  row[3] = kNan;
  row[800] = row[801] = 1;
  const Drawn got = sampled(repeated(row, n), 1100, kAsked);
  EXPECT_EQ(got.tokens, std::vector<int32_t>(n, 700));
  for (const float logprob : got.logprobs) EXPECT_TRUE(std::isnan(logprob));
  const Drawn none = sampled(Floats(n * 600, -kInf), 600, kAsked);
  EXPECT_EQ(none.tokens, std::vector<int32_t>(n, 0));
  for (const float logprob : none.logprobs) EXPECT_TRUE(std::isnan(logprob));
}

TEST_F(Sampling, RowsDoNotKnowEachOther) {
  const int64_t vocabulary = 1028;
  const Floats logits = modelLogits(vocabulary * static_cast<int64_t>(kAsked.size()), 9);
  begin(1);
  const Drawn together = sampled(logits, vocabulary, kAsked);
  for (const size_t r : {1, 4, 8, 11}) {
    begin(1);  // the emulator's exp2 is drawn from the seed
    const auto from = logits.begin() + static_cast<std::ptrdiff_t>(r) * vocabulary;
    const Drawn alone = sampled(Floats(from, from + vocabulary), vocabulary, {kAsked[r]});
    EXPECT_EQ(alone.tokens[0], together.tokens[r]);
    EXPECT_EQ(alone.logprobs[0], together.logprobs[r]);
  }
}

TEST_F(Sampling, FrequenciesAreThoseOfTheFilteredDistribution) {
  const Floats row = modelLogits(23, 10, 1.2f);
  const size_t calls = 2, perCall = 200;
  for (const SampleParams& asked : {SampleParams{1, 1, 0, 0, 77, 0}, SampleParams{1.3f, 0.9f, 12, 0.01f, 78, 0}}) {
    std::vector<double> seen(row.size(), 0);
    for (size_t call = 0; call < calls; ++call) {
      Params params(perCall, asked);
      for (size_t i = 0; i < perCall; ++i) params[i].position = call * perCall + i;
      for (const int32_t token : sampled(repeated(row, perCall), 23, params).tokens) ++seen[static_cast<size_t>(token)];
    }
    const std::vector<double> want = filtered(row.data(), 23, asked);
    double chiSquare = 0;
    int freedom = -1;
    for (size_t i = 0; i < row.size(); ++i) {
      const double expected = want[i] * static_cast<double>(calls * perCall);
      if (expected == 0) {
        EXPECT_EQ(seen[i], 0) << "token " << i << " was filtered out";
        continue;
      }
      chiSquare += (seen[i] - expected) * (seen[i] - expected) / expected;
      ++freedom;
    }
    EXPECT_GT(freedom, 5);
    EXPECT_LT(chiSquare, freedom + 4 * std::sqrt(2.0 * freedom));
  }
}

TEST_F(Sampling, ThreeLaunchesWhateverIsAsked) {
  if (!device::kernelCounts()) GTEST_SKIP() << "a card does not tell";
  EXPECT_EQ(device::kernelCounts()->total(), 0u);
  sampled(modelLogits(600 * static_cast<int64_t>(kAsked.size()), 1), 600, kAsked);
  EXPECT_EQ(device::kernelCounts()->total(), 3u);
}

TEST_F(Sampling, WhatCannotBeServedIsNamed) {
  cuda::Stream stream;
  const auto message = [&](int64_t vocabulary, int64_t usable, size_t bytes) -> std::string {
    try {
      cuda::sampleRows({}, 1, vocabulary, usable, {}, {}, {}, {}, bytes, stream);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message((1 << 20) + 1, 1, 1 << 30), "sampleRows: vocabulary is 1048577; expected 1 to 1048576");
  EXPECT_EQ(message(1000, 0, 1 << 20), "sampleRows: usable is 0; expected at least 1");
  EXPECT_EQ(message(1000, 1000, 8), "sampleRows: workspaceBytes is 8; expected at least 40");
}

}  // namespace
}  // namespace mlit::test
