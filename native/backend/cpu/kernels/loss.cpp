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

constexpr int64_t kWide = 16;       // lanes of the widest vectors: sums are formed in so many parts everywhere
constexpr float kTiny = 0x1p-100f;  // 127 / it is still a number; what is smaller counts as zero
constexpr int64_t kParts = kWide / kLanes;

// Sixteen interleaved sums or maxima of whole vectors, joined in one order.
template <class Vector, class At, class Join>
HWY_INLINE Vector joined(int64_t n, Vector first, At at, Join join) {
  Vector parts[kParts];
  for (int64_t p = 0; p < kParts; ++p) parts[p] = first;
  for (int64_t i = 0; i < n; i += kWide) {
    for (int64_t p = 0; p < kParts; ++p) parts[p] = join(parts[p], at(i + p * kLanes));
  }
  for (int64_t step = kParts / 2; step > 0; step /= 2) {
    for (int64_t p = 0; p < step; ++p) parts[p] = join(parts[p], parts[p + step]);
  }
  return parts[0];
}

// The lanes that are left of sixteen, halves onto halves.
HWY_INLINE float sumOfLanes(Floats v) {
  alignas(64) float lanes[kLanes];
  hn::Store(v, kF, lanes);
  for (int64_t step = kLanes / 2; step > 0; step /= 2) {
    for (int64_t i = 0; i < step; ++i) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}

void roundedBlock(const LossBlock& b) {
  const int64_t whole = (b.n + kWide - 1) / kWide * kWide;
  const auto larger = [](Floats x, Floats y) { return hn::Max(y, x); };  // NaN is skipped, as above
  for (int64_t i = b.n; i < whole; ++i) b.logits[i] = -__builtin_inff();
  const float max = maxLanes(joined(
      whole, set(kLowest), [&](int64_t i) { return load(b.logits + i); }, larger));
  const Floats m = set(max);
  const Floats sum = joined(
      whole, hn::Zero(kF),
      [&](int64_t i) {
        const Floats e = expOf(hn::Sub(load(b.logits + i), m));
        store(e, b.logits + i);
        return e;
      },
      [](Floats x, Floats y) { return hn::Add(x, y); });
  *b.max = max;
  *b.sum = sumOfLanes(sum);
  if (b.to == nullptr) return;
  if (b.target >= 0) b.logits[b.target] = 0;
  const auto valueAt = [&](int64_t i) { return hn::Mul(load(b.logits + i), load(b.factors + i)); };
  const float largest = maxLanes(joined(whole, hn::Zero(kF), valueAt, larger));
  const int64_t padded = (b.n + 63) / 64 * 64;
  if (!(largest >= kTiny)) {
    *b.scale = 0, *b.start = 0;
    for (int64_t i = 0; i < padded; ++i) b.to[i] = 0;
    return;
  }
  *b.scale = largest / 127.0f;
  const Floats inverse = set(127.0f / largest);
  const hn::Rebind<int8_t, FloatTag> bytes;
  const Ints total = joined(
      whole, hn::Zero(kI),
      [&](int64_t i) {
        const Ints q = hn::NearestInt(hn::Mul(valueAt(i), inverse));
        hn::StoreU(hn::DemoteTo(bytes, q), bytes, b.to + i);
        return q;
      },
      [](Ints x, Ints y) { return hn::Add(x, y); });
  *b.start = -128 * hn::GetLane(hn::SumOfLanes(kI, total));
  for (int64_t i = whole; i < padded; ++i) b.to[i] = 0;
}

}  // namespace

const LossKernels lossKernels = {softmaxStatistics, softmaxScaled, roundedBlock};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
