// Cross-entropy over rows of logits: one row a task, the gradient written over the logits, so that no second tensor of
// tokens times vocabulary exists.
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/loss.h"

namespace mlit {

void CpuBackend::crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                              DevF32 logprobs) {
  pool_.run(n, [&](int64_t i, int) {
    float* row = logits.raw() + i * vocabulary;
    const int32_t target = targets.raw()[i];
    float max;
    double sum;
    kernels_.loss->softmaxStatistics(row, vocabulary, &max, &sum);
    // Taken from the maximum, not from the log-sum-exp: with logits of 1e4 the latter has lost three digits.
    const double logprob = (static_cast<double>(row[target]) - static_cast<double>(max)) - std::log(sum);
    logprobs.raw()[i] = static_cast<float>(logprob);
    if (!weights) return;
    const double weight = static_cast<double>(weights.raw()[i]);
    kernels_.loss->softmaxScaled(row, vocabulary, max, static_cast<float>(weight / sum));
    row[target] = static_cast<float>(weight * std::expm1(logprob));  // p - 1 without cancellation
  });
}

}  // namespace mlit
