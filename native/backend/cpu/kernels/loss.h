// Softmax statistics and gradient of one row of logits, as wide as the vocabulary.
#pragma once

#include <cstdint>

namespace mlit {

struct LossKernels {
  // *max: the largest element (NaN ignored); *sum: sum of exp(x[i] - *max), NaN if any x is. One pass over memory.
  void (*softmaxStatistics)(const float* x, int64_t n, float* max, double* sum);
  // x[i] = exp(x[i] - max) * factor.
  void (*softmaxScaled)(float* x, int64_t n, float max, float factor);
};

}  // namespace mlit
