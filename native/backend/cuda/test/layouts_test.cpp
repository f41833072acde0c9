// A warp's instructions, each alone, against plain loops: products through cp.async, ldmatrix and mma, shuffles and votes. All
// kernels are made of these, so a card is asked about them first.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "backend/cuda/test/products.h"
#include "backend/cuda/test/support.h"

namespace mlit::test {
namespace {

uint16_t bfloatBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>(bits >> 16);
}

class Layouts : public OnDevice {};

TEST_F(Layouts, OfBfloat16AreMatrixProducts) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    // Small integers are exact in bfloat16, and their sums in float.
    std::vector<unsigned short> a(256), b(128), bT(128);
    std::vector<float> want(128);
    const auto left = [&](int m, int k) {
      return static_cast<float>((m * 7 + k * 3 + static_cast<int>(seed)) % 11 - 5);
    };
    const auto right = [](int k, int n) { return static_cast<float>((k * 5 + n * 2) % 13 - 6); };
    for (int k = 0; k < 16; ++k) {
      for (int m = 0; m < 16; ++m) a[static_cast<size_t>(m * 16 + k)] = bfloatBits(left(m, k));
      for (int n = 0; n < 8; ++n) {
        b[static_cast<size_t>(n * 16 + k)] = bT[static_cast<size_t>(k * 8 + n)] = bfloatBits(right(k, n));
        for (int m = 0; m < 16; ++m) want[static_cast<size_t>(m * 8 + n)] += left(m, k) * right(k, n);
      }
    }
    DeviceArray<unsigned short> da(a), db(b), dbT(bT);
    DeviceArray<float> out(size_t{128});
    cuda::Stream stream;
    runProduct(da.get(), db.get(), false, out.get(), stream);
    stream.synchronize();
    EXPECT_EQ(out.read(), want);
    runProduct(da.get(), dbT.get(), true, out.get(), stream);
    stream.synchronize();
    EXPECT_EQ(out.read(), want);
  }
}

TEST_F(Layouts, OfBytesAreMatrixProducts) {
  std::vector<signed char> a(512), b(256);
  std::vector<int> want(128);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<signed char>(i * 37 % 256 - 128);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<signed char>(i * 91 % 256 - 128);
  for (size_t m = 0; m < 16; ++m) {
    for (size_t n = 0; n < 8; ++n) {
      for (size_t k = 0; k < 32; ++k) want[m * 8 + n] += a[m * 32 + k] * b[n * 32 + k];
    }
  }
  DeviceArray<signed char> da(a), db(b);
  DeviceArray<int> out(size_t{128});
  cuda::Stream stream;
  runByteProduct(da.get(), db.get(), out.get(), stream);
  stream.synchronize();
  EXPECT_EQ(out.read(), want);
}

TEST_F(Layouts, CallsOfAWarp) {
  const std::vector<float> in = randomFloats(32, 3);
  const auto at = [&](int lane) { return in[static_cast<size_t>(lane)]; };
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    DeviceArray<float> device(in), out(size_t{32 * kWarpCalls});
    cuda::Stream stream;
    runWarpCalls(device.get(), out.get(), stream);
    stream.synchronize();
    const std::vector<float> got = out.read();
    unsigned votes = 0;
    float most = in[0];
    for (int lane = 0; lane < 32; ++lane) {
      votes |= at(lane) > 0 ? 1u << lane : 0;
      most = std::max(most, at(lane));
    }
    for (int lane = 0; lane < 32; ++lane) {
      const auto result = [&](int call) { return got[static_cast<size_t>(call * 32 + lane)]; };
      EXPECT_EQ(result(0), at(3));
      EXPECT_EQ(result(1), at(lane ^ 5));
      EXPECT_EQ(result(2), at(lane < 2 ? lane : lane - 2));
      EXPECT_EQ(result(3), at(lane % 16 >= 14 ? lane : lane + 2));
      EXPECT_EQ(result(4), static_cast<float>(votes % 4096));
      EXPECT_EQ(result(5), 1);
      EXPECT_EQ(result(6), 0);
      EXPECT_EQ(result(7), lane % 3 == 2 ? 10 : 11);
      EXPECT_EQ(result(8), most);
      EXPECT_NEAR(result(9), 2 * std::accumulate(in.begin(), in.end(), 0.0), 1e-5);
      EXPECT_EQ(result(10), 14);
      EXPECT_EQ(result(11), static_cast<float>(lane));
      EXPECT_EQ(result(12), static_cast<float>(lane) + 0.5f + static_cast<float>((lane + 1) / 2 * 2));
    }
  }
}

}  // namespace
}  // namespace mlit::test
