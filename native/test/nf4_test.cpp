// NF4's levels from what they are said to be, and its rounding on both sides of every bound.
#include <gtest/gtest.h>

#include "test/nf4_oracle.h"

namespace mlit::test {
namespace {

// x with P(normal < x) = p, by halving.
double normalQuantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

// QLoRA, appendix E, as bitsandbytes' create_normal_map() has it: eight quantiles above the middle and seven below, evenly spaced in
// probability up to a tail that is as large as the middle of its first and last bin, and zero; divided by the largest.
TEST(Nf4, LevelsAreTheQuantilesOfANormal) {
  constexpr double kOffset = 0.9677083;
  std::vector<double> levels{0};
  for (int i = 0; i < 8; ++i) levels.push_back(normalQuantile(kOffset + (0.5 - kOffset) * i / 8));
  for (int i = 0; i < 7; ++i) levels.push_back(-normalQuantile(kOffset + (0.5 - kOffset) * i / 7));
  std::sort(levels.begin(), levels.end());
  ASSERT_EQ(levels.size(), 16u);
  // bitsandbytes computed them in float32 probabilities: half a unit of 0.97 is 3e-8, times a slope of 1 / density(1.85) = 14.
  for (unsigned code = 0; code < 16; ++code) {
    EXPECT_NEAR(static_cast<double>(nf4Level(code)), levels[code] / levels.back(), 14 * 3e-8 * 2) << code;
  }
  EXPECT_EQ(nf4Level(kNf4Zero), 0.0f);
}

// dQuantizeNF4's, which are the middles between levels but for the last bit or two.
constexpr float kBounds[] = {
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};

TEST(Nf4, ABoundBelongsToTheLowerLevel) {
  for (unsigned code = 0; code < 15; ++code) {
    const double middle = (static_cast<double>(nf4Level(code)) + static_cast<double>(nf4Level(code + 1))) / 2;
    EXPECT_NEAR(static_cast<double>(kBounds[code]), middle, 0x1p-23) << code;
    EXPECT_EQ(nf4Code(kBounds[code]), code);
    EXPECT_EQ(nf4Code(std::nextafter(kBounds[code], 2.0f)), code + 1);
    EXPECT_EQ(nf4Code(nf4Level(code)), code);
  }
  EXPECT_EQ(nf4Code(1.0f), 15u);
}

TEST(Nf4, ABlockOfZerosStaysZero) {
  EXPECT_EQ(nf4Inverse(0), 0.0f);
  EXPECT_EQ(nf4Code(0 * nf4Inverse(0)), kNf4Zero);
  EXPECT_EQ(nf4Rounded(std::vector<float>(70), 70), std::vector<float>(70));
}

}  // namespace
}  // namespace mlit::test
