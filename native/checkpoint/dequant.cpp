// Plain types, the 32-value formats, and the choice among all. Products are rounded before sums (no fused
// multiply-add, see the build's flags), as in ggml's reference: the result is the same bits on every machine.
#include "checkpoint/dequant.h"

#include <string>

#include "checkpoint/dequant_blocks.h"
#include "core/error.h"

namespace mlit {

namespace blocks {

// half scale, 32 signed bytes.
void decodeQ8_0(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(q[i])) * d;
}

// half scale, 16 bytes: low nibbles are values 0..15, high nibbles 16..31, both less 8.
void decodeQ4_0(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>((q[i] & 15) - 8) * d;
    out[i + 16] = static_cast<float>((q[i] >> 4) - 8) * d;
  }
}

// half scale, half minimum, nibbles as above but unsigned.
void decodeQ4_1(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const float m = loadHalf(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(q[i] & 15) * d + m;
    out[i + 16] = static_cast<float>(q[i] >> 4) * d + m;
  }
}

// As Q4_0 with a fifth bit for each value in a 32-bit word before the nibbles; less 16.
void decodeQ5_0(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const uint32_t high = load<uint32_t>(block + 2);
  const uint8_t* q = block + 6;
  for (int i = 0; i < 16; ++i) {
    const int low = (q[i] & 15) | static_cast<int>((high >> i) & 1) << 4;
    const int upper = (q[i] >> 4) | static_cast<int>((high >> (i + 16)) & 1) << 4;
    out[i] = static_cast<float>(low - 16) * d;
    out[i + 16] = static_cast<float>(upper - 16) * d;
  }
}

void decodeQ5_1(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const float m = loadHalf(block + 2);
  const uint32_t high = load<uint32_t>(block + 4);
  const uint8_t* q = block + 8;
  for (int i = 0; i < 16; ++i) {
    const int low = (q[i] & 15) | static_cast<int>((high >> i) & 1) << 4;
    const int upper = (q[i] >> 4) | static_cast<int>((high >> (i + 16)) & 1) << 4;
    out[i] = static_cast<float>(low) * d + m;
    out[i + 16] = static_cast<float>(upper) * d + m;
  }
}

}  // namespace blocks

namespace {

template <typename Stored, typename Convert>
void convertEach(const uint8_t* src, int64_t n, float* out, Convert convert) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = convert(blocks::load<Stored>(src + i * static_cast<int64_t>(sizeof(Stored))));
}

template <void (*decode)(const uint8_t*, float*)>
void decodeEach(DType dtype, const uint8_t* src, int64_t n, float* out) {
  const BlockShape shape = blockShape(dtype);
  for (int64_t i = 0; i < n; i += shape.elements, src += shape.bytes) decode(src, out + i);
}

}  // namespace

BlockShape blockShape(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {1, 4};
    case DType::kF16:
      return {1, 2};
    case DType::kBF16:
      return {1, 2};
    case DType::kQ8_0:
      return {32, 34};
    case DType::kQ4_0:
      return {32, 18};
    case DType::kQ4_1:
      return {32, 20};
    case DType::kQ5_0:
      return {32, 22};
    case DType::kQ5_1:
      return {32, 24};
    case DType::kQ4_K:
      return {256, 144};
    case DType::kQ5_K:
      return {256, 176};
    case DType::kQ6_K:
      return {256, 210};
    case DType::kI32:
      return {1, 4};
    case DType::kI64:
      return {1, 8};
    case DType::kU8:
      return {1, 1};
    case DType::kOther:
      break;
  }
  throw Error(ErrorCode::kInvalidArgument, "A tensor of a type this build does not know has no block shape.",
              {{"actual", dtypeName(dtype)}});
}

void dequantize(DType dtype, const uint8_t* src, int64_t n, float* out) {
  if (n < 0 || n % blockShape(dtype).elements != 0)
    throw Error(
        ErrorCode::kInvalidArgument,
        std::to_string(n) + " values are not a whole number of " + dtypeName(dtype) + " blocks.",
        {{"actual", std::to_string(n)}, {"expected", "a multiple of " + std::to_string(blockShape(dtype).elements)}});
  switch (dtype) {
    case DType::kF32:
      if (n > 0) std::memcpy(out, src, static_cast<size_t>(n) * 4);
      return;
    case DType::kF16:
      return convertEach<uint16_t>(src, n, out, halfToFloat);
    case DType::kBF16:
      return convertEach<uint16_t>(src, n, out, bfloat16ToFloat);
    case DType::kI32:
      return convertEach<int32_t>(src, n, out, [](int32_t v) { return static_cast<float>(v); });
    case DType::kI64:
      return convertEach<int64_t>(src, n, out, [](int64_t v) { return static_cast<float>(v); });
    case DType::kU8:
      return convertEach<uint8_t>(src, n, out, [](uint8_t v) { return static_cast<float>(v); });
    case DType::kQ8_0:
      return decodeEach<blocks::decodeQ8_0>(dtype, src, n, out);
    case DType::kQ4_0:
      return decodeEach<blocks::decodeQ4_0>(dtype, src, n, out);
    case DType::kQ4_1:
      return decodeEach<blocks::decodeQ4_1>(dtype, src, n, out);
    case DType::kQ5_0:
      return decodeEach<blocks::decodeQ5_0>(dtype, src, n, out);
    case DType::kQ5_1:
      return decodeEach<blocks::decodeQ5_1>(dtype, src, n, out);
    case DType::kQ4_K:
      return decodeEach<blocks::decodeQ4_K>(dtype, src, n, out);
    case DType::kQ5_K:
      return decodeEach<blocks::decodeQ5_K>(dtype, src, n, out);
    case DType::kQ6_K:
      return decodeEach<blocks::decodeQ6_K>(dtype, src, n, out);
    case DType::kOther:
      return;  // refused by blockShape above
  }
}

}  // namespace mlit
