// Which rows can be moved 16 bytes at a time: decided by addresses and widths, never by the number of rows, so that a row's bits
// do not depend on its neighbours.
#pragma once

#include <cstdint>

namespace mlit::cuda {

inline bool fourAtOnce(const void* at, int64_t ld) {
  return reinterpret_cast<uintptr_t>(at) % 16 == 0 && ld % 4 == 0;  // null is aligned
}

}  // namespace mlit::cuda
