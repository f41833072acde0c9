// The dialect's functions against their definitions in the CUDA C++ Programming Guide, and its bfloat16 against the core's.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cuda/test/support.h"
#include "core/half.h"
#include "emulation/device.h"
#include "emulation/emulator.h"
#include "emulation/test/planted.h"
#include "emulation/types.h"

namespace mlit::test {
namespace {

class Dialect : public OnDevice {};

TEST_F(Dialect, AtomicsGiveEachThreadWhatWasThereBefore) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    DeviceArray<float> out(size_t{3 * 64});
    cuda::Stream stream;
    runTickets(out.get(), 3, stream);
    stream.synchronize();
    const std::vector<float> got = out.read();
    for (size_t block = 0; block < 3; ++block) {
      for (size_t parity = 0; parity < 2; ++parity) {
        std::vector<float> tickets, want(32);
        for (size_t t = parity; t < 64; t += 2) tickets.push_back(got[block * 64 + t]);
        std::sort(tickets.begin(), tickets.end());
        std::iota(want.begin(), want.end(), 3200.0f);
        EXPECT_EQ(tickets, want);
      }
    }
  }
}

TEST_F(Dialect, Bfloat16RoundsAsTheCore) {
  EXPECT_EQ(sizeof(__nv_bfloat162), 4u);
  for (uint64_t i = 0; i < 200000; ++i) {
    const float value = __uint_as_float(philox(5, 1, i)[0]);  // every kind of float
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(value))));
      continue;
    }
    ASSERT_EQ(__float2bfloat16_rn(value).bits, floatToBfloat16(value)) << value;
    ASSERT_EQ(__bfloat162float(__float2bfloat16_rn(value)), bfloat16ToFloat(floatToBfloat16(value)));
  }
}

TEST_F(Dialect, Exp2OfWhatHasNoNormalResultIsZeroOrInfinityAndAlwaysANumber) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    for (float x = -160; x < -126; x += 0.125f) ASSERT_EQ(emulation::exp2Approximate(x), 0) << x;
    for (float x = 127.5f; x < 128; x += 0x1p-16f) ASSERT_GT(emulation::exp2Approximate(x), 0x1p127f) << x;
    EXPECT_EQ(emulation::exp2Approximate(128), INFINITY);
  }
}

TEST_F(Dialect, Exp2IsWithinTwoUnitsTheSameForOneSeedAndOthersForTheNext) {
  int different = 0, otherwise = 0;
  for (int i = 0; i < 1000; ++i) {
    const float x = static_cast<float>(i) * 0.02f - 10;
    const double want = std::exp2(static_cast<double>(x));
    const float got = emulation::exp2Approximate(x);
    EXPECT_NEAR(got, want, 3 * want * 0x1p-23);
    EXPECT_EQ(got, emulation::exp2Approximate(x));
    different += got != static_cast<float>(want);
    begin(2);
    otherwise += got != emulation::exp2Approximate(x);
    begin(1);
  }
  EXPECT_GT(different, 500);
  EXPECT_GT(otherwise, 500);
  EXPECT_EQ(emulation::exp2Approximate(-130), 0);  // a subnormal result
  EXPECT_EQ(emulation::exp2Approximate(-INFINITY), 0);
  EXPECT_EQ(emulation::exp2Approximate(0) >= 0.9999998f, true);
}

}  // namespace
}  // namespace mlit::test
