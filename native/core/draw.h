// The draw of a sampled token, one for all backends: a function of (seed, position) alone, so that a sequence repeats whatever
// else is sampled beside it.
#pragma once

#include <cstdint>

#include "core/philox.h"

namespace mlit {

// 53 random bits, the draw as a fraction of 2^53.
inline uint64_t drawBits(uint64_t seed, uint64_t position) {
  // Philox streams are shared by everything random in the process; this one is the sampler's.
  constexpr uint64_t kSampleStream = 0x73616d706c65;  // "sample"
  const auto bits = philox(seed, kSampleStream, position);
  return ((uint64_t{bits[0]} << 32) | bits[1]) >> 11;
}

}  // namespace mlit
