// What one projection of an adapter sees of x under dropout, made in pieces that fit the cache and thrown away.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dropout.h"
#include "core/dropout.h"

namespace mlit {

class RowMask {
 public:
  RowMask(const KernelTable& kernels, const LoraGroup& group, const LoraSegment& segment)
      : kernels_(kernels.dropout), dropout_(group.dropout), module_(segment.module) {}

  // to (+)= mask * from: rows from `row` of the call, features from `first`, a multiple of 4.
  void apply(const float* from, int64_t ldFrom, int64_t row, int64_t rows, int64_t first, int64_t columns, float* to,
             int64_t ldTo, bool add) const {
    kernels_->apply({rows, first, columns, dropout_.key, module_, dropoutThreshold(dropout_.probability),
                     dropoutScale(dropout_.probability), dropout_.records.raw() + row, dropout_.positions.raw() + row,
                     from, ldFrom, to, ldTo, add});
  }

 private:
  const DropoutKernels* kernels_;
  LoraDropout dropout_;
  uint32_t module_;
};

// Where rows and columns at hand lie in the call that the mask belongs to; a null mask changes nothing.
struct Masked {
  const RowMask* mask = nullptr;
  int64_t row = 0;
  int64_t first = 0;
};

}  // namespace mlit
