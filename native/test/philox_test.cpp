// Known answers from Random123's kat_vectors: the generator must be the published one, for resuming depends on it.
#include "core/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace mlit {
namespace {

using Words = std::array<uint32_t, 4>;

TEST(Philox, MatchesThePublishedVectors) {
  EXPECT_EQ(philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamsAndCountersDiffer) {
  std::set<Words> seen;
  for (uint64_t stream = 0; stream < 16; ++stream)
    for (uint64_t index = 0; index < 64; ++index) seen.insert(philox(7, stream, index));
  EXPECT_EQ(seen.size(), 16u * 64u);
}

TEST(Philox, UnitFloatsFillTheHalfOpenInterval) {
  EXPECT_EQ(unitFloat(0), 0.0f);
  EXPECT_LT(unitFloat(0xFFFFFFFFu), 1.0f);
  EXPECT_EQ(unitFloat(0x80000000u), 0.5f);
  double sum = 0;
  for (uint64_t i = 0; i < 4096; ++i)
    for (const uint32_t word : philox(1, 2, i)) sum += unitFloat(word);
  EXPECT_NEAR(sum / (4 * 4096), 0.5, 0.01);
}

}  // namespace
}  // namespace mlit
