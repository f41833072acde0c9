// How the floats of a product of bytes reach its output, whatever unit has multiplied them.
#pragma once

#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {

HWY_INLINE void writeRow(const DotBlock& g, int64_t row, const float* from, float* to) {
  const Floats offset = set(g.offsets == nullptr || g.add ? 0 : g.offsets[row]);
  const auto valueAt = [&](Floats value, Floats factor, Floats before) __attribute__((always_inline)) {
    return g.factors == nullptr ? hn::Add(before, value) : hn::MulAdd(value, factor, before);
  };
  forVectors(
      g.columns,
      [&](int64_t j) {
        store(valueAt(load(from + j), g.factors == nullptr ? hn::Zero(kF) : load(g.factors + j),
                      g.add ? load(to + j) : offset),
              to + j);
      },
      [&](int64_t j, int64_t n) {
        storeFirst(valueAt(load(from + j), g.factors == nullptr ? hn::Zero(kF) : loadFirst(g.factors + j, n),
                           g.add ? loadFirst(to + j, n) : offset),
                   to + j, n);
      });
}

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
