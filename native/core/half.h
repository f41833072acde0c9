// The two 16-bit float formats of checkpoints, bit by bit in integer arithmetic, so that the results do not
// depend on the processor's flush-to-zero mode or on its conversion instructions.
#pragma once

#include <bit>
#include <cstdint>

namespace mlit {

// IEEE binary16 to binary32: exact.
inline float halfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t fraction = half & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  if (fraction == 0) return std::bit_cast<float>(sign);
  // Subnormal: shift the leading bit up to the hidden place; each step halves the exponent.
  const uint32_t shift = static_cast<uint32_t>(std::countl_zero(fraction)) - 21;
  return std::bit_cast<float>(sign | ((113 - shift) << 23) | ((fraction << (shift + 13)) & 0x7FFFFFu));
}

// binary32 to binary16, to nearest, ties to even; what is too large becomes infinity, NaN stays NaN.
inline uint16_t floatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // from 65520 on
  if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);             // below half the least subnormal
  // Subnormal results take the whole significand, normal ones the bits with the exponent re-biased.
  const bool subnormal = magnitude < 0x38800000u;
  const uint32_t significand = subnormal ? (magnitude & 0x7FFFFFu) | 0x800000u : magnitude - 0x38000000u;
  const uint32_t drop = subnormal ? 126 - (magnitude >> 23) : 13;  // low bits to round away
  const uint32_t kept = significand >> drop;
  const uint32_t rest = significand & ((1u << drop) - 1);
  const uint32_t halfway = 1u << (drop - 1);
  const uint32_t up = rest > halfway || (rest == halfway && (kept & 1u)) ? 1 : 0;
  return static_cast<uint16_t>(sign | (kept + up));
}

// bfloat16 is the upper half of a binary32: exact.
inline float bfloat16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// binary32 to bfloat16, to nearest, ties to even; NaN stays NaN.
inline uint16_t floatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace mlit
