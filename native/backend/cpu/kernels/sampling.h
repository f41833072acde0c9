// Scans over one row of logits for the sampler: everything it needs is a count, a sum or a short list, never a sort of
// the whole vocabulary.
#pragma once

#include <cstdint>

namespace mlit {

// Which tokens are left: x > value, or x == value and id <= lastId; and exp of the scaled distance >= leastExp.
struct SampleCut {
  float value;
  int32_t lastId;
  float leastExp;
};

struct SampleKernels {
  // Largest element, NaN ignored (the lowest finite float if there is none).
  float (*maximum)(const float* x, int64_t n);
  // Index of the first element equal to value, or -1.
  int64_t (*firstEqual)(const float* x, int64_t n, float value);
  // Maxima of blocks of 64 elements.
  void (*blockMaxima)(const float* x, int64_t n, float* maxima);
  // How many elements lie in [low, high).
  int64_t (*countBetween)(const float* x, int64_t n, float low, float high);
  // Sum of exp((x[i] - max) * inverseTemperature) over what the cut leaves; x[0] has the id firstId. NaN counts as 0.
  // Where out is given the single terms are written there.
  double (*expSum)(const float* x, int64_t n, int32_t firstId, float max, float inverseTemperature,
                   const SampleCut& cut, float* out);
  // The elements in [low, high) in order of id, as many as fit; returns how many were written.
  int64_t (*collect)(const float* x, int64_t n, float low, float high, float* values, int32_t* ids, int64_t capacity);
};

}  // namespace mlit
