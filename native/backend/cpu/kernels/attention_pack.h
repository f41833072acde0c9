// Copies between the caller's strided rows and the padded tiles that the products work on. Padding is zero, so that
// widths which are no multiple of a vector cost a few empty lanes and no special case.
#pragma once

#include "backend/cpu/kernels/attention_tiles.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {

HWY_INLINE int64_t roundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

HWY_INLINE void clearRow(float* to, int64_t padded) {
  for (int64_t i = 0; i < padded; i += kLanes) store(hn::Zero(kF), to + i);
}

// to[0..padded) = factor * from[0..dim), zeros after.
HWY_INLINE void packRow(const float* from, int64_t dim, int64_t padded, float factor, float* to) {
  const Floats f = set(factor);
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) store(hn::Mul(load(from + i), f), to + i);
  if (i < dim) {
    store(hn::Mul(loadFirst(from + i, dim - i), f), to + i);
    i += kLanes;
  }
  for (; i < padded; i += kLanes) store(hn::Zero(kF), to + i);
}

// to = factor * from, or to += factor * from.
HWY_INLINE void unpackRow(const float* from, int64_t dim, float factor, bool add, float* to) {
  const Floats f = set(factor);
  if (add) {
    forVectors(
        dim, [&](int64_t i) { store(hn::MulAdd(load(from + i), f, load(to + i)), to + i); },
        [&](int64_t i, int64_t n) { storeFirst(hn::MulAdd(load(from + i), f, loadFirst(to + i, n)), to + i, n); });
  } else {
    forVectors(
        dim, [&](int64_t i) { store(hn::Mul(load(from + i), f), to + i); },
        [&](int64_t i, int64_t n) { storeFirst(hn::Mul(load(from + i), f), to + i, n); });
  }
}

// (query, head) rows [first, first + rows) of a group, query-major.
HWY_INLINE void packHeadRows(const float* from, int64_t ld, int64_t group, int64_t dim, int64_t first, int64_t rows,
                             float factor, float* to, int64_t ldTo) {
  int64_t token = first / group, head = first % group;
  for (int64_t r = 0; r < rows; ++r) {
    packRow(from + token * ld + head * dim, dim, ldTo - kGranule, factor, to + r * ldTo);
    if (++head == group) {
      head = 0;
      ++token;
    }
  }
}

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
