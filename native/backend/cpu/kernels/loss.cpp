// One row of logits is a megabyte for a vocabulary of 262,144: it is read once for maximum and sum together, block by
// block, and once more for the gradient.
#include "backend/cpu/kernels/loss.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kBlock = 2048;  // 8 KiB: the block's second reading comes from L1
constexpr float kLowest = -3.402823466e38f;

// NaN is skipped: maxps returns its second operand then.
HWY_INLINE float blockMaximum(const float* x, int64_t n) {
  Floats m0 = set(kLowest), m1 = m0, m2 = m0, m3 = m0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    m0 = hn::Max(load(x + i), m0);
    m1 = hn::Max(load(x + i + kLanes), m1);
    m2 = hn::Max(load(x + i + 2 * kLanes), m2);
    m3 = hn::Max(load(x + i + 3 * kLanes), m3);
  }
  for (; i + kLanes <= n; i += kLanes) m0 = hn::Max(load(x + i), m0);
  float largest = maxLanes(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)));
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

HWY_INLINE double blockSum(const float* x, int64_t n, float max) {
  const Floats m = set(max);
  Floats s0 = hn::Zero(kF), s1 = s0;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    s0 = hn::Add(s0, expOf(hn::Sub(load(x + i), m)));
    s1 = hn::Add(s1, expOf(hn::Sub(load(x + i + kLanes), m)));
  }
  for (; i + kLanes <= n; i += kLanes) s0 = hn::Add(s0, expOf(hn::Sub(load(x + i), m)));
  if (i < n) {
    const Floats e = expOf(hn::Sub(loadFirst(x + i, n - i), m));
    s1 = hn::Add(s1, hn::IfThenElseZero(hn::FirstN(kF, static_cast<size_t>(n - i)), e));
  }
  return sumLanesDouble(hn::Add(s0, s1));
}

void softmaxStatistics(const float* x, int64_t n, float* max, double* sum) {
  float running = kLowest;
  double total = 0;
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t count = n - b < kBlock ? n - b : kBlock;
    const float largest = blockMaximum(x + b, count);
    if (largest > running) {
      total *= __builtin_exp(static_cast<double>(running) - static_cast<double>(largest));
      running = largest;
    }
    total += blockSum(x + b, count, running);
  }
  *max = running;
  *sum = total;
}

void softmaxScaled(float* x, int64_t n, float max, float factor) {
  const Floats m = set(max), f = set(factor);
  forVectors(
      n, [&](int64_t i) { store(hn::Mul(expOf(hn::Sub(load(x + i), m)), f), x + i); },
      [&](int64_t i, int64_t left) { storeFirst(hn::Mul(expOf(hn::Sub(loadFirst(x + i, left), m)), f), x + i, left); });
}

}  // namespace

const LossKernels lossKernels = {softmaxStatistics, softmaxScaled};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
