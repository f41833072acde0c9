// Softmax statistics and gradient of one row of logits, as wide as the vocabulary.
#pragma once

#include <cstdint>

namespace mlit {

// One row's logits of a block of words, for a softmax that is put together from blocks, and its gradient as int8.
struct LossBlock {
  int64_t n;
  int64_t target;        // the label's place among them; -1: elsewhere
  float* logits;         // [n, room for the next multiple of 16]; becomes exp(logit - *max), 0 for the label
  float* max;            // the largest of them (NaN ignored)
  float* sum;            // of exp(logit - *max); NaN where a logit is
  const float* factors;  // [n, and as much as logits has]
  int8_t* to;            // round(logits[i] * factors[i] / *scale), to the next multiple of 64; null: not asked for
  float* scale;          // the largest of them / 127
  int32_t* start;        // as RoundedRow has it
};

struct LossKernels {
  // *max: the largest element (NaN ignored); *sum: sum of exp(x[i] - *max), NaN if any x is. One pass over memory.
  void (*softmaxStatistics)(const float* x, int64_t n, float* max, double* sum);
  // x[i] = exp(x[i] - max) * factor.
  void (*softmaxScaled)(float* x, int64_t n, float max, float factor);
  void (*roundedBlock)(const LossBlock& block);
};

}  // namespace mlit
