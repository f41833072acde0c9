// What the kernels of adapters' products are told: a list of slices, each one product of an adapter's matrix with rows and columns of two
// wider ones. All groups and segments of a call are slices of one launch, so that the number of launches does not grow
// with adapters, documents or rows.
//
// An adapter's matrix F [rank, width] is A or Bᵀ. It stands between a wide matrix (x, y, dx, dy: `width` columns from `column` on)
// and a thin one (p, u: `rank` columns from `rankBegin` on):
//   into the rank   thin  = factor * wide·Fᵀ
//   out of it       wide += factor * thin·F
//   over rows       F    += factor * thinᵀ·wide      (F being the gradient of A or Bᵀ)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/philox.h"

namespace mlit::cuda {

// Rows [begin, end) of the call; `before`: rows of the slice's ranges ahead of this one.
struct RowRange {
  int32_t begin, end, before;
};

struct Slice {
  float* matrix = nullptr;
  const int32_t* records = nullptr;  // null: no dropout. Masks what is wide
  const int32_t* positions = nullptr;
  uint64_t key = 0;
  uint32_t module = 0, threshold = 0;
  float factor = 1;
  int32_t begin = 0, end = 0;  // rows of the call; over rows: ranges of the list of ranges
  int32_t column = 0, width = 0, rankBegin = 0, rank = 0;
  int32_t parts = 1;  // out of the rank: so many slices from here on add to the same columns; the others have 0
  int32_t firstTile = 0;
  int16_t wide = 0, thin = 0;  // which of the call's two
};

// The two wide and the two thin matrices of a call, of one type each.
template <class T>
struct Matrix {
  T* at;
  int64_t ld;
};
template <class T>
struct Pair {
  Matrix<T> first, second;
  MLIT_HOST_DEVICE Matrix<T> operator[](int which) const {
    return {which == 0 ? first.at : second.at, which == 0 ? first.ld : second.ld};
  }
};

template <class T, class U>
Pair<T> typed(const Pair<U>& pair) {
  return {{reinterpret_cast<T*>(pair.first.at), pair.first.ld}, {reinterpret_cast<T*>(pair.second.at), pair.second.ld}};
}

// A list as a kernel's parameter: by value where it is short, else in device memory.
template <class T, int kInline>
struct List {
  static constexpr int kMost = kInline;
  const T* more;
  int64_t count;
  T first[kInline];
};
// Of a recording: items behind the last say nothing.
template <class T, int kInline>
size_t tellingBytes(const List<T, kInline>& list) {
  const auto inside = static_cast<size_t>(list.more == nullptr ? list.count : 0);
  return sizeof list - sizeof list.first + inside * sizeof(T);
}
using SliceList = List<Slice, 32>;
using RangeList = List<RowRange, 64>;

// uploaded: where the items lie on the device, or null while they fit into the parameter.
template <class L, class T>
L listOf(const std::vector<T>& items, const T* uploaded) {
  L list = {};
  list.more = uploaded;
  list.count = static_cast<int64_t>(items.size());
  if (uploaded == nullptr) std::copy(items.begin(), items.end(), list.first);
  return list;
}

MLIT_HOST_DEVICE constexpr int32_t tilesOf(int32_t n) { return (n + 63) / 64; }

enum class Product { kIntoRank, kOutOfRank, kOverRows };

// A launch: its slices and, where they do not fit into a parameter, their copy on the device.
struct SliceBatch {
  std::vector<Slice> slices;
  const Slice* uploaded = nullptr;
  int32_t tiles = 0;  // blocks' outputs of 64 x 64

  void numberTiles(Product product) {
    tiles = 0;
    for (Slice& s : slices) {
      s.firstTile = tiles;
      const int32_t rows = tilesOf(s.end - s.begin), ranks = tilesOf(s.rank), columns = tilesOf(s.width);
      if (product == Product::kIntoRank) tiles += rows * ranks;
      if (product == Product::kOutOfRank && s.parts > 0) tiles += rows * columns;
      if (product == Product::kOverRows) tiles += ranks * columns;
    }
  }
};

// Sums over the width are formed in chunks that depend on the width alone and are added in order, so that a row's bits are the
// same whether one block forms them or several.
inline constexpr int32_t kMostChunks = 8;
MLIT_HOST_DEVICE constexpr int32_t chunkOf(int32_t width) {
  const int32_t wanted = (width + 1023) / 1024, chunks = wanted < kMostChunks ? wanted : kMostChunks;
  return tilesOf((width + chunks - 1) / chunks) * 64;
}
MLIT_HOST_DEVICE constexpr int32_t chunksOf(int32_t width) { return (width + chunkOf(width) - 1) / chunkOf(width); }

}  // namespace mlit::cuda
