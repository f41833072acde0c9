// A kernel's look at its list of slices: which one its block works on, and what dropout leaves of a row there.
// Included by .cu files after dev.cuh.
#pragma once

#include "backend/cuda/kernels/slices.h"
#include "core/dropout.h"

namespace mlit::cuda {

template <class T, int kInline>
DEVICE T itemOf(const List<T, kInline>& list, int index) {
  T item;
  if (list.more != nullptr) {
    item = list.more[index];
  } else {
    item = list.first[index];
  }
  return item;
}

template <class T, int kInline>
DEVICE int firstTileOf(const List<T, kInline>& list, int index) {
  if (list.more != nullptr) return list.more[index].firstTile;
  return list.first[index].firstTile;
}

// The last slice that begins at this tile or before. Slices without tiles stand before the one that begins where they do.
DEVICE int sliceOfTile(const SliceList& list, int tile) {
  int low = 0, high = static_cast<int>(list.count) - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (firstTileOf(list, middle) <= tile) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Bit i is set where feature `feature` + i (a multiple of 8) of the row is kept.
DEVICE unsigned keptOfEight(const Slice& s, int row, int feature) {
  const auto record = static_cast<uint32_t>(s.records[row]), position = static_cast<uint32_t>(s.positions[row]);
  const auto quad = static_cast<uint32_t>(feature) / 4;
  return dropoutKeepsFour(s.key, s.module, record, position, quad, s.threshold) |
         dropoutKeepsFour(s.key, s.module, record, position, quad + 1, s.threshold) << 4;
}

// Eight bf16 of the row from `feature` on, without those that are dropped.
DEVICE void mask(uint4& bits, const Slice& s, int row, int feature) {
  const unsigned kept = keptOfEight(s, row, feature);
  const auto pair = [&](int i) { return (kept >> i & 1u) * 0xFFFFu | (kept >> (i + 1) & 1u) * 0xFFFF0000u; };
  bits.x &= pair(0), bits.y &= pair(2), bits.z &= pair(4), bits.w &= pair(6);
}

// Which load serves columns of a matrix of bf16: whole pieces, all of them aligned.
template <class T>
bool wholePieces(const Matrix<T>& matrix, int64_t column, int64_t columns) {
  return (reinterpret_cast<uintptr_t>(matrix.at) + static_cast<uintptr_t>(column) * 2) % 16 == 0 &&
         matrix.ld % 8 == 0 && columns % 8 == 0;
}

}  // namespace mlit::cuda
