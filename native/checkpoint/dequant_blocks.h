// The block decoders, one function per format; only dequant.cpp's switch calls them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/half.h"

namespace mlit::blocks {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian and read as they lie");

// Checkpoint data may lie at any address.
template <typename T>
T load(const uint8_t* src) {
  T value;
  std::memcpy(&value, src, sizeof value);
  return value;
}

inline float loadHalf(const uint8_t* src) { return halfToFloat(load<uint16_t>(src)); }

// Blocks of 32 values.
void decodeQ8_0(const uint8_t* block, float* out);
void decodeQ4_0(const uint8_t* block, float* out);
void decodeQ4_1(const uint8_t* block, float* out);
void decodeQ5_0(const uint8_t* block, float* out);
void decodeQ5_1(const uint8_t* block, float* out);

// Superblocks of 256 values.
void decodeQ4_K(const uint8_t* block, float* out);
void decodeQ5_K(const uint8_t* block, float* out);
void decodeQ6_K(const uint8_t* block, float* out);

}  // namespace mlit::blocks
