// The sampler reads a row a handful of times from the cache instead of sorting it once.
#include "backend/cpu/kernels/sampling.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

constexpr float kLowest = -3.402823466e38f;
constexpr int64_t kMaximaBlock = 64;

// Lanes from n on are filled with NaN, which no comparison and no maximum takes.
HWY_INLINE Floats loadOrNan(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  return hn::IfThenElse(hn::FirstN(kF, static_cast<size_t>(n)), loadFirst(p, n), hn::NaN(kF));
}

float maximum(const float* x, int64_t n) {
  Floats m0 = set(kLowest), m1 = m0, m2 = m0, m3 = m0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    m0 = hn::Max(load(x + i), m0);
    m1 = hn::Max(load(x + i + kLanes), m1);
    m2 = hn::Max(load(x + i + 2 * kLanes), m2);
    m3 = hn::Max(load(x + i + 3 * kLanes), m3);
  }
  float largest = maxLanes(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)));
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

int64_t firstEqual(const float* x, int64_t n, float value) {
  const Floats v = set(value);
  for (int64_t i = 0; i < n; i += kLanes) {
    const FloatMask hit = hn::Eq(loadOrNan(x + i, n - i), v);
    if (!hn::AllFalse(kF, hit)) return i + static_cast<int64_t>(hn::FindFirstTrue(kF, hit));
  }
  return -1;
}

void blockMaxima(const float* x, int64_t n, float* maxima) {
  for (int64_t b = 0; b < n; b += kMaximaBlock) {
    maxima[b / kMaximaBlock] = maximum(x + b, n - b < kMaximaBlock ? n - b : kMaximaBlock);
  }
}

HWY_INLINE FloatMask between(Floats v, Floats low, Floats high) { return hn::And(hn::Ge(v, low), hn::Lt(v, high)); }

int64_t countBetween(const float* x, int64_t n, float low, float high) {
  const Floats lo = set(low), hi = set(high);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes)
    count += static_cast<int64_t>(hn::CountTrue(kF, between(loadOrNan(x + i, n - i), lo, hi)));
  return count;
}

double expSum(const float* x, int64_t n, int32_t firstId, float max, float inverseTemperature, const SampleCut& cut,
              float* out) {
  constexpr int64_t kRun = 1024;  // summed in float, then carried in double
  const Floats m = set(max), t = set(inverseTemperature), value = set(cut.value), least = set(cut.leastExp);
  const Ints lastId = hn::Set(kI, cut.lastId);
  double total = 0;
  for (int64_t b = 0; b < n; b += kRun) {
    const int64_t end = n - b < kRun ? n : b + kRun;
    Floats sum = hn::Zero(kF);
    for (int64_t i = b; i < end; i += kLanes) {
      const Floats v = loadOrNan(x + i, end - i);
      const Ints ids = hn::Iota(kI, firstId + static_cast<int32_t>(i));
      const FloatMask early = hn::RebindMask(kF, hn::Not(hn::Gt(ids, lastId)));
      const FloatMask above = hn::Or(hn::Gt(v, value), hn::And(hn::Eq(v, value), early));
      Floats e = expOf(hn::Mul(hn::Sub(v, m), t));
      e = hn::IfThenElseZero(hn::And(above, hn::Ge(e, least)), e);
      sum = hn::Add(sum, e);
      if (out != nullptr) {
        if (end - i >= kLanes) {
          store(e, out + i);
        } else {
          storeFirst(e, out + i, end - i);
        }
      }
    }
    total += sumLanesDouble(sum);
  }
  return total;
}

int64_t collect(const float* x, int64_t n, float low, float high, float* values, int32_t* ids, int64_t capacity) {
  const Floats lo = set(low), hi = set(high);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) {
    if (hn::AllFalse(kF, between(loadOrNan(x + i, n - i), lo, hi))) continue;
    const int64_t end = n - i < kLanes ? n : i + kLanes;
    for (int64_t j = i; j < end; ++j) {
      if (!(x[j] >= low && x[j] < high)) continue;
      if (count == capacity) return count;
      values[count] = x[j];
      ids[count] = static_cast<int32_t>(j);
      ++count;
    }
  }
  return count;
}

}  // namespace

const SampleKernels sampleKernels = {maximum, firstEqual, blockMaxima, countBetween, expSum, collect};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
