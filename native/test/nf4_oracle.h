// What NF4 keeps of a matrix, in float64 and from the levels alone: the nearest one. (bitsandbytes' bounds are not quite in the middle
// of two levels: a number within 2^-23 of it may go the other way. Random ones in tests don't.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/nf4.h"

namespace mlit::test {

// Of rows `in` wide. The quotient is the float product with 1 / scale, which is where bitsandbytes rounds.
inline std::vector<float> nf4Rounded(std::vector<float> values, int64_t in) {
  const auto count = static_cast<int64_t>(values.size());
  for (int64_t row = 0; row < count; row += in) {
    for (int64_t first = 0; first < in; first += kNf4Block) {
      float* const block = values.data() + row + first;
      const int64_t n = std::min(kNf4Block, in - first);
      float scale = 0;
      for (int64_t i = 0; i < n; ++i) scale = std::max(scale, std::fabs(block[i]));
      const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
      for (int64_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(block[i] * inverse);
        unsigned best = 0;
        for (unsigned code = 1; code < 16; ++code) {
          if (std::fabs(x - static_cast<double>(nf4Level(code))) < std::fabs(x - static_cast<double>(nf4Level(best)))) {
            best = code;
          }
        }
        block[i] = nf4Level(best) * scale;
      }
    }
  }
  return values;
}

}  // namespace mlit::test
