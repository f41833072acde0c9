// What attention's tests share: bfloat16 rows on the device, and inputs of a packed case.
#pragma once

#include <limits>

#include "backend/cuda/test/support.h"
#include "test/ops/attention_reference.h"

namespace mlit::test {

using Floats = std::vector<float>;

inline Floats asFloats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

inline Floats randomBf16(int64_t n, uint64_t seed) { return roundedTo(ElementType::kBF16, randomFloats(n, seed)); }

// bfloat16 rows on the device, apart by `padding` elements. Given no values, they are poisoned.
class Rows {
 public:
  Rows(const Floats& values, int64_t rows, int64_t padding)
      : ld(static_cast<int64_t>(values.size()) / rows + padding),
        rows_(rows),
        width_(ld - padding),
        reals_(ElementType::kBF16, spread(values, rows, ld)) {}
  Rows(int64_t rows, int64_t width, int64_t padding)
      : Rows(Floats(static_cast<size_t>(rows * width), std::numeric_limits<float>::quiet_NaN()), rows, padding) {}

  DevReal at() const { return reals_.get(); }
  Floats read() const { return gather(reals_.read(), rows_, width_); }

  const int64_t ld;

 private:
  int64_t rows_, width_;
  DeviceReals reals_;
};

inline std::string nameOf(const PackedCase& c) {
  std::string name = std::to_string(c.shape.heads) + "/" + std::to_string(c.shape.kvHeads) + " heads of " +
                     std::to_string(c.shape.headDim) + ", window " + std::to_string(c.shape.window) + ", lengths";
  for (const int32_t length : c.lengths) name += " " + std::to_string(length);
  return name;
}

struct Inputs {
  Floats q, k, v, dout;
  Inputs(const PackedCase& c, uint64_t seed)
      : q(randomBf16(c.rows() * c.queryWidth(), seed)),
        k(randomBf16(c.rows() * c.keyWidth(), seed + 100)),
        v(randomBf16(c.rows() * c.keyWidth(), seed + 200)),
        dout(randomBf16(c.rows() * c.queryWidth(), seed + 300)) {}
};

// Scale is that of queries in (-1, 1), times six: softmax that is far from even.
inline PackedCase packed(std::vector<int32_t> lengths, int heads, int kvHeads, int dim, int window = 0) {
  return {std::move(lengths), {heads, kvHeads, dim, 6 / std::sqrt(static_cast<float>(dim)), window}};
}

}  // namespace mlit::test
