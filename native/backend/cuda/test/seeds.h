// How many seeds the CUDA backend's tests draw the order of everything from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace mlit::test {

// So many, or as many as MLIT_EMULATION_SEEDS says (`npm run ci:full -- emulation`: 200).
inline uint64_t seedsOr(uint64_t usual) {
  const char* const asked = std::getenv("MLIT_EMULATION_SEEDS");
  return asked == nullptr ? usual : std::max<uint64_t>(1, std::strtoull(asked, nullptr, 10));
}
inline const uint64_t kSeeds = seedsOr(20);

}  // namespace mlit::test
