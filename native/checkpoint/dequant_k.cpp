// The K formats: superblocks of 256 values whose sub-blocks have small integer scales (and minima), themselves scaled by one or
// two halves. Layouts after ggml (https://github.com/ggml-org/ggml, ggml-quants).
#include "checkpoint/dequant_blocks.h"

namespace mlit::blocks {

namespace {

struct ScaleAndMin {
  int scale;
  int min;
};

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each whole in bytes 0..7, the last four as
// nibbles of bytes 8..11 with their two upper bits on top of bytes 0..7.
ScaleAndMin unpackScale(const uint8_t* packed, int index) {
  if (index < 4) return {packed[index] & 63, packed[index + 4] & 63};
  return {(packed[index + 4] & 15) | (packed[index - 4] >> 6) << 4, (packed[index + 4] >> 4) | (packed[index] >> 6)
                                                                                                   << 4};
}

}  // namespace

// half d, half dmin, 12 packed bytes, 128 bytes of nibbles: each 32 bytes hold sub-block 2k low and 2k + 1 high.
void decodeQ4_K(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const float dmin = loadHalf(block + 2);
  const uint8_t* packed = block + 4;
  const uint8_t* q = block + 16;
  for (int pair = 0; pair < 4; ++pair, q += 32, out += 64) {
    const ScaleAndMin low = unpackScale(packed, 2 * pair);
    const ScaleAndMin high = unpackScale(packed, 2 * pair + 1);
    const float d0 = d * static_cast<float>(low.scale), m0 = dmin * static_cast<float>(low.min);
    const float d1 = d * static_cast<float>(high.scale), m1 = dmin * static_cast<float>(high.min);
    for (int i = 0; i < 32; ++i) {
      out[i] = d0 * static_cast<float>(q[i] & 15) - m0;
      out[i + 32] = d1 * static_cast<float>(q[i] >> 4) - m1;
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit s of byte i belongs to value i of sub-block s.
void decodeQ5_K(const uint8_t* block, float* out) {
  const float d = loadHalf(block);
  const float dmin = loadHalf(block + 2);
  const uint8_t* packed = block + 4;
  const uint8_t* fifth = block + 16;
  const uint8_t* q = block + 48;
  for (int pair = 0; pair < 4; ++pair, q += 32, out += 64) {
    const ScaleAndMin low = unpackScale(packed, 2 * pair);
    const ScaleAndMin high = unpackScale(packed, 2 * pair + 1);
    const float d0 = d * static_cast<float>(low.scale), m0 = dmin * static_cast<float>(low.min);
    const float d1 = d * static_cast<float>(high.scale), m1 = dmin * static_cast<float>(high.min);
    for (int i = 0; i < 32; ++i) {
      const int v0 = (q[i] & 15) | ((fifth[i] >> (2 * pair)) & 1) << 4;
      const int v1 = (q[i] >> 4) | ((fifth[i] >> (2 * pair + 1)) & 1) << 4;
      out[i] = d0 * static_cast<float>(v0) - m0;
      out[i + 32] = d1 * static_cast<float>(v1) - m1;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales (one for 16 values), half d. Each half of
// the superblock is four runs of 32 values: the low nibbles of 2 × 32 bytes, then their high nibbles.
void decodeQ6_K(const uint8_t* block, float* out) {
  const uint8_t* low = block;
  const uint8_t* upper = block + 128;
  const uint8_t* scales = block + 192;
  const float d = loadHalf(block + 208);
  for (int half = 0; half < 2; ++half, low += 64, upper += 32, scales += 8, out += 128) {
    for (int run = 0; run < 4; ++run) {
      const uint8_t* nibbles = low + (run & 1) * 32;
      const int shift = run < 2 ? 0 : 4;
      for (int part = 0; part < 2; ++part) {
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[run * 2 + part]));
        for (int i = part * 16; i < part * 16 + 16; ++i) {
          const int value = ((nibbles[i] >> shift) & 15) | ((upper[i] >> (2 * run)) & 3) << 4;
          out[run * 32 + i] = scale * static_cast<float>(value - 32);
        }
      }
    }
  }
}

}  // namespace mlit::blocks
