// Which rows can be moved several elements at a time: decided by addresses and widths, never by the number of rows, so that a
// row's bits do not depend on its neighbours.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace mlit::cuda {

// How many elements a transaction of 16 bytes moves where elements of these types meet: the widest fills it.
template <class... T>
inline constexpr int kAtOnce = 16 / static_cast<int>(std::max({sizeof(T)...}));

// Whether loadFloats<N> and storeFloats<N> take every row of ld elements from here on. Null is aligned.
template <int N, class T>
bool atOnce(const T* at, int64_t ld = 0) {
  constexpr size_t kBytes = std::min<size_t>(16, N * sizeof(T));
  return reinterpret_cast<uintptr_t>(at) % kBytes == 0 && static_cast<size_t>(ld) * sizeof(T) % kBytes == 0;
}

}  // namespace mlit::cuda
