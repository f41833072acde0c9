// The optimiser's two kernels on a range of parameters.
#pragma once

#include <cstdint>

namespace mlit {

// One AdamW step with everything that does not depend on the element worked out beforehand.
struct AdamWFactors {
  float gradient;  // gradScale times the clip factor
  float beta1, oneMinusBeta1;
  float beta2, oneMinusBeta2;
  float keep;              // 1 - learningRate * weightDecay
  float stepSize;          // learningRate / (1 - beta1^step)
  float inverseRootBias2;  // 1 / sqrt(1 - beta2^step)
  float epsilon;
};

struct OptimizerKernels {
  double (*sumSquares)(const float* x, int64_t n);
  void (*adamW)(float* parameters, const float* gradients, float* m, float* v, int64_t n, const AdamWFactors& factors);
};

}  // namespace mlit
