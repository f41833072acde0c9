// Half floats by exhaustion, block formats against the field's own decoder and against blocks worked out by hand.
#include "checkpoint/dequant.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "core/half.h"
#include "test/support.h"

namespace mlit {
namespace {

TEST(Half, EveryBitPatternRoundTrips) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const int exponent = (half >> 10) & 31;
    const int fraction = half & 1023;
    const float value = halfToFloat(half);
    if (exponent == 31 && fraction != 0) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(halfToFloat(floatToHalf(value)))) << bits;
      continue;
    }
    const double magnitude = exponent == 31 ? INFINITY
                             : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                                            : std::ldexp(fraction, -24);
    ASSERT_EQ(value, static_cast<float>(half & 0x8000 ? -magnitude : magnitude)) << bits;
    ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << bits;
    ASSERT_EQ(floatToHalf(value), half) << bits;
  }
}

// Between each two neighbours: the middle goes to the even one, a hair off the middle to the nearer one.
TEST(Half, RoundsToNearestTiesToEven) {
  for (uint16_t half = 0; half < 0x7BFF; ++half) {
    const float middle = (halfToFloat(half) + halfToFloat(static_cast<uint16_t>(half + 1))) / 2;
    const uint16_t even = half & 1 ? static_cast<uint16_t>(half + 1) : half;
    ASSERT_EQ(floatToHalf(middle), even) << half;
    ASSERT_EQ(floatToHalf(std::nextafterf(middle, 0)), half) << half;
    ASSERT_EQ(floatToHalf(std::nextafterf(middle, INFINITY)), half + 1) << half;
    ASSERT_EQ(floatToHalf(-middle), even | 0x8000) << half;
  }
  EXPECT_EQ(floatToHalf(65519.996f), 0x7BFF);
  EXPECT_EQ(floatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(floatToHalf(1e30f), 0x7C00);
}

TEST(Half, Bfloat16RoundsToNearestTiesToEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = bfloat16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bfloat16ToFloat(floatToBfloat16(value))));
    } else {
      ASSERT_EQ(floatToBfloat16(value), bits);
    }
  }
  EXPECT_EQ(floatToBfloat16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(floatToBfloat16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(floatToBfloat16(std::bit_cast<float>(0x3F808001u)), 0x3F81);
  EXPECT_TRUE(std::isnan(bfloat16ToFloat(floatToBfloat16(std::bit_cast<float>(0x7F800001u)))));
}

TEST(Dequant, EveryTypeEqualsTheReferenceBitForBit) {
  const auto stored = openGguf(test::fixture("quant.gguf"));
  const auto expected = openSafetensors(test::fixture("quant-expected.safetensors"));
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"}) {
    const TensorInfo* tensor = stored->find(name);
    const TensorInfo* wanted = expected->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    ASSERT_NE(wanted, nullptr) << name;
    ASSERT_EQ(tensor->shape, (Shape{3, 256})) << name;
    std::vector<float> actual(3 * 256), reference(3 * 256), row(256);
    stored->readRows(*tensor, 0, 3, actual.data());
    expected->readRows(*wanted, 0, 3, reference.data());
    for (size_t i = 0; i < actual.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(reference[i])) << name << " value " << i;
    for (int r = 0; r < 3; ++r) {
      stored->readRows(*tensor, r, 1, row.data());
      EXPECT_EQ(std::memcmp(row.data(), actual.data() + r * 256, 256 * 4), 0) << name << " row " << r;
    }
  }
}

// Scale 2 (0x4000), minimum 0.5 (0x3800) wherever a format has them.
TEST(Dequant, BlocksWorkedOutByHand) {
  std::vector<float> out(256);
  std::vector<uint8_t> q8(34, 0);
  q8[1] = 0x40;
  q8[2] = 0x80;   // -128
  q8[33] = 0x7F;  // 127
  dequantize(DType::kQ8_0, q8.data(), 32, out.data());
  EXPECT_EQ(out[0], -256.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[31], 254.0f);

  std::vector<uint8_t> q4(18, 0);
  q4[1] = 0x40;
  q4[2] = 0xF3;
  dequantize(DType::kQ4_0, q4.data(), 32, out.data());
  EXPECT_EQ(out[0], -10.0f);
  EXPECT_EQ(out[16], 14.0f);
  EXPECT_EQ(out[1], -16.0f);

  std::vector<uint8_t> q51(24, 0);
  q51[1] = 0x40;
  q51[3] = 0x38;
  q51[4] = 0x01;  // fifth bit of value 0
  q51[7] = 0x80;  // and of value 31
  q51[8] = 0x02;
  q51[23] = 0xF0;
  dequantize(DType::kQ5_1, q51.data(), 32, out.data());
  EXPECT_EQ(out[0], 2.0f * 18 + 0.5f);
  EXPECT_EQ(out[31], 2.0f * 31 + 0.5f);
  EXPECT_EQ(out[1], 0.5f);

  std::vector<uint8_t> q4k(144, 0);
  q4k[1] = 0x40;
  q4k[3] = 0x38;
  q4k[4] = 3;         // scale of sub-block 0, and bits 4, 5 of sub-block 4's
  q4k[4 + 4] = 0xC5;  // minimum of sub-block 0, upper bits 3 of sub-block 4's
  q4k[4 + 8] = 0x21;  // low nibbles of sub-block 4: scale 1, minimum 2
  q4k[16] = 0xA7;
  q4k[16 + 64] = 0x09;
  dequantize(DType::kQ4_K, q4k.data(), 256, out.data());
  EXPECT_EQ(out[0], 2.0f * 3 * 7 - 0.5f * 5);
  EXPECT_EQ(out[32], 0.0f);
  EXPECT_EQ(out[128], 2.0f * 1 * 9 - 0.5f * (2 + 48));
}

TEST(Dequant, PlainTypesAndRefusals) {
  const int64_t wide[] = {-3, int64_t{1} << 40};
  const int32_t narrow[] = {-7, 9};
  const uint8_t bytes[] = {0, 255};
  float out[2];
  dequantize(DType::kI64, reinterpret_cast<const uint8_t*>(wide), 2, out);
  EXPECT_EQ(out[0], -3.0f);
  EXPECT_EQ(out[1], 1099511627776.0f);
  dequantize(DType::kI32, reinterpret_cast<const uint8_t*>(narrow), 2, out);
  EXPECT_EQ(out[1], 9.0f);
  dequantize(DType::kU8, bytes, 2, out);
  EXPECT_EQ(out[1], 255.0f);
  test::expectError(ErrorCode::kInvalidArgument, {"31", "Q8_0"}, [&] { dequantize(DType::kQ8_0, bytes, 31, out); });
  test::expectError(ErrorCode::kInvalidArgument, {}, [&] { dequantize(DType::kF32, bytes, -4, out); });
  test::expectError(ErrorCode::kInvalidArgument, {}, [&] { dequantize(DType::kOther, bytes, 1, out); });
}

TEST(Shape, CountsWithoutOverflow) {
  EXPECT_EQ(elementCount({3, 256}), 768);
  EXPECT_EQ(elementCount({}), 1);
  EXPECT_EQ(elementCount({int64_t{1} << 62, 0, int64_t{1} << 62}), 0);
  EXPECT_EQ(shapeText({640, 1024}), "[640, 1024]");
  test::expectError(ErrorCode::kInvalidArgument, {"[4611686018427387904, 2]"}, [] {
    elementCount({int64_t{1} << 62, 2});
  });
  test::expectError(ErrorCode::kInvalidArgument, {"[-1]"}, [] { elementCount({-1}); });
}

}  // namespace
}  // namespace mlit
