// How much an op does, as a function of its arguments: what the mathematics asks for, each product once, and each operand's bytes once
// however often a backend's loops touch them. Times are held against it.
#pragma once

#include <span>

#include "backend/backend.h"

namespace mlit {

struct Work {
  double bytes = 0;         // read and written
  double flops = 0;         // multiply-adds × 2 in floating point
  double integerFlops = 0;  // the same of integers
  int64_t rows = 0;

  Work& operator+=(const Work& other);
};

// A weight as its products see it.
struct WeightShape {
  int64_t out = 0, in = 0;
  double bytes = 0;
  bool integers = false;  // its products are of integers
};

inline double bytesOf(DevConstReal reals, int64_t rows, int64_t width) {
  return reals ? static_cast<double>(rows) * static_cast<double>(width * elementBytes(reals.type())) : 0;
}
inline double floatBytes(int64_t rows, int64_t width = 1) {
  return 4 * static_cast<double>(rows) * static_cast<double>(width);
}
inline double bytesOf(DevConstReal reals, const HeadRows& rows) {
  return bytesOf(reals, rows.rows, int64_t{rows.heads} * rows.dim);
}

Work forwardWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal y,
                 std::span<const LoraGroup> groups);
Work backwardWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal dy, DevConstReal dx,
                  bool accumulate, std::span<const LoraGroup> groups);
// The head both ways, forward alone where dx is null; what a block of words has on its way is in a cache.
Work headLossWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal dx);
// products: two forward, four backward, of each query with each key that it sees.
Work attentionWork(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, int products);

}  // namespace mlit
