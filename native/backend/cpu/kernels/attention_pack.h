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
HWY_INLINE void packHeadRows(const float* from, int64_t ld, int64_t group, int64_t dim, int64_t first, int64_t rows, float factor,
                             float* to, int64_t ldTo) {
  int64_t token = first / group, head = first % group;
  for (int64_t r = 0; r < rows; ++r) {
    packRow(from + token * ld + head * dim, dim, ldTo - kGranule, factor, to + r * ldTo);
    if (++head == group) {
      head = 0;
      ++token;
    }
  }
}

// to[d * ldTo + j] = from[j * ld + d] for n rows; columns [n, roundUp(n, kGranule)) become zero.
inline void packTransposed(const float* from, int64_t ld, int64_t n, int64_t dim, float* to, int64_t ldTo) {
  const hn::FixedTag<float, 4> four;
  const hn::FixedTag<double, 2> two;
  const int64_t wholeKeys = n / 4 * 4, wholeDim = dim / 4 * 4;
  for (int64_t d = 0; d < wholeDim; d += 4) {
    for (int64_t j = 0; j < wholeKeys; j += 4) {
      const float* p = from + j * ld + d;
      const auto r0 = hn::LoadU(four, p), r1 = hn::LoadU(four, p + ld);
      const auto r2 = hn::LoadU(four, p + 2 * ld), r3 = hn::LoadU(four, p + 3 * ld);
      const auto low01 = hn::BitCast(two, hn::InterleaveLower(four, r0, r1)), high01 = hn::BitCast(two, hn::InterleaveUpper(four, r0, r1));
      const auto low23 = hn::BitCast(two, hn::InterleaveLower(four, r2, r3)), high23 = hn::BitCast(two, hn::InterleaveUpper(four, r2, r3));
      float* t = to + d * ldTo + j;
      hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, low01, low23)), four, t);
      hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, low01, low23)), four, t + ldTo);
      hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, high01, high23)), four, t + 2 * ldTo);
      hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, high01, high23)), four, t + 3 * ldTo);
    }
  }
  const int64_t padded = roundUp(n, kGranule);
  for (int64_t d = 0; d < dim; ++d) {
    const int64_t done = d < wholeDim ? wholeKeys : 0;
    for (int64_t j = done; j < n; ++j) to[d * ldTo + j] = from[j * ld + d];
    for (int64_t j = n; j < padded; ++j) to[d * ldTo + j] = 0;
  }
}

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
