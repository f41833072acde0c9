// The optimiser of the CPU backend. Sums go over chunks of a fixed size and are added in their order, so that the norm,
// and with it every parameter, is the same for any number of threads.
#include <cmath>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/optimizer.h"
#include "backend/cpu/row_tasks.h"

namespace mlit {

void CpuBackend::sumSquares(DevConstF32 x, int64_t n, DevF32 out) {
  constexpr int64_t kChunk = 65536;
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<size_t>(chunks));
  pool_.run(chunks, [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunk;
    partial[static_cast<size_t>(chunk)] = kernels_.optimizer->sumSquares(x.raw() + first, std::min(kChunk, n - first));
  });
  double total = 0;
  for (const double part : partial) total += part;
  *out.raw() = static_cast<float>(total);
}

void CpuBackend::adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
                       const AdamWParams& params) {
  double gradient = static_cast<double>(params.gradScale);
  if (params.maxGradNorm > 0) {
    const double norm = std::sqrt(static_cast<double>(*sumSquares.raw())) * gradient;
    gradient *= std::min(1.0, static_cast<double>(params.maxGradNorm) / (norm + 1e-6));
  }
  const double beta1 = static_cast<double>(params.beta1), beta2 = static_cast<double>(params.beta2);
  const double rate = static_cast<double>(params.learningRate), step = static_cast<double>(params.step);
  AdamWFactors factors;
  factors.gradient = static_cast<float>(gradient);
  factors.beta1 = params.beta1;
  factors.oneMinusBeta1 = static_cast<float>(1.0 - beta1);
  factors.beta2 = params.beta2;
  factors.oneMinusBeta2 = static_cast<float>(1.0 - beta2);
  factors.keep = static_cast<float>(1.0 - rate * static_cast<double>(params.weightDecay));
  factors.stepSize = static_cast<float>(rate / (1.0 - std::pow(beta1, step)));
  factors.inverseRootBias2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step)));
  factors.epsilon = params.epsilon;
  forRanges(pool_, n, 4, [&](int64_t first, int64_t count) {
    kernels_.optimizer->adamW(parameters.raw() + first, gradients.raw() + first, m.raw() + first, v.raw() + first,
                              count, factors);
  });
}

}  // namespace mlit
