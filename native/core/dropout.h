// Which elements LoRA dropout drops: a pure function of what an element is, so that no mask is stored, a resumed run meets
// the same masks, and neither packing nor threads change them.
#pragma once

#include "core/philox.h"

namespace mlit {

// Of one optimiser step (from 1) of a run with this seed.
inline uint64_t dropoutKey(uint64_t seed, int64_t step) {
  constexpr uint64_t kDropoutStream = uint64_t{0x44726F70} << 32;  // apart from every other use of the seed
  const auto words = philox(seed, kDropoutStream, static_cast<uint64_t>(step));
  return words[0] | uint64_t{words[1]} << 32;
}

// An element is dropped where its 32 bits are below this. 0 <= probability < 1.
inline uint32_t dropoutThreshold(double probability) { return static_cast<uint32_t>(probability * 4294967296.0); }

// What is kept is scaled by this.
inline float dropoutScale(double probability) { return static_cast<float>(1 / (1 - probability)); }

// Features 4 quad .. 4 quad + 3 of the row at `position` of a record (numbered within its step), as projection `module` of the
// model sees them: bit i is set where feature 4 quad + i is kept. It is word i of Philox(key, module | record, position | quad),
// 32 bits each, that decides.
MLIT_HOST_DEVICE inline uint32_t dropoutKeepsFour(uint64_t key, uint32_t module, uint32_t record, uint32_t position,
                                                  uint32_t quad, uint32_t threshold) {
  uint32_t words[4];
  philoxWords(key, uint64_t{module} << 32 | record, uint64_t{position} << 32 | quad, words);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < 4; ++i) kept |= uint32_t{words[i] >= threshold} << i;
  return kept;
}

inline bool dropoutKeeps(uint64_t key, uint32_t module, uint32_t record, uint32_t position, uint32_t feature,
                         double probability) {
  return (dropoutKeepsFour(key, module, record, position, feature / 4, dropoutThreshold(probability)) >> feature % 4 &
          1) != 0;
}

}  // namespace mlit
