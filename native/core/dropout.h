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

// Element `feature` of the row at `position` of a record (numbered within its step), as projection `module` of the model
// sees it: word feature % 4 of Philox(key, module | record, position | feature / 4), 32 bits each.
inline bool dropoutKeeps(uint64_t key, uint32_t module, uint32_t record, uint32_t position, uint32_t feature,
                         double probability) {
  const auto bits = philox(key, uint64_t{module} << 32 | record, uint64_t{position} << 32 | feature / 4);
  return bits[feature % 4] >= dropoutThreshold(probability);
}

}  // namespace mlit
