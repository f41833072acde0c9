// Vector exp, tails and reductions shared by the kernels: written here rather than taken from libm, because a
// softmax over a vocabulary is one exp an element and because every lane, full or tail, must take the same path.
#pragma once

#include <stdint.h>

#include <hwy/highway.h>

namespace mlit {
namespace MLIT_ISA_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;
using IntTag = hn::RebindToSigned<FloatTag>;
using Floats = hn::Vec<FloatTag>;
using Ints = hn::Vec<IntTag>;
using FloatMask = hn::Mask<FloatTag>;

inline constexpr FloatTag kF;
inline constexpr IntTag kI;
inline constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(FloatTag()));

HWY_INLINE Floats load(const float* p) { return hn::LoadU(kF, p); }
HWY_INLINE void store(Floats v, float* p) { hn::StoreU(v, kF, p); }
HWY_INLINE Floats set(float x) { return hn::Set(kF, x); }

// The first n < kLanes elements at p, zeros above; memory beyond them is not touched.
HWY_INLINE Floats loadFirst(const float* p, int64_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  alignas(64) float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return hn::Load(kF, lanes);
#else
  return hn::MaskedLoad(hn::FirstN(kF, static_cast<size_t>(n)), kF, p);
#endif
}

HWY_INLINE void storeFirst(Floats v, float* p, int64_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  alignas(64) float lanes[kLanes];
  hn::Store(v, kF, lanes);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
#else
  hn::BlendedStore(v, hn::FirstN(kF, static_cast<size_t>(n)), kF, p);
#endif
}

// Runs step(i, n) over [0, count) in whole vectors, then once with what is left (n < kLanes).
template <class Whole, class Tail>
HWY_INLINE void forVectors(int64_t count, Whole whole, Tail tail) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) whole(i);
  if (i < count) tail(i, count - i);
}

HWY_INLINE float sumLanes(Floats v) { return hn::GetLane(hn::SumOfLanes(kF, v)); }
HWY_INLINE float maxLanes(Floats v) { return hn::GetLane(hn::MaxOfLanes(kF, v)); }

HWY_INLINE double sumLanesDouble(Floats v) {
  alignas(64) float lanes[kLanes];
  hn::Store(v, kF, lanes);
  double sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += static_cast<double>(lanes[i]);
  return sum;
}

// x held in [low, high], NaN as it is: minps and maxps return their second operand when one is NaN, Arm's instructions the number.
HWY_INLINE Floats clamp(Floats low, Floats x, Floats high) {
#if HWY_ARCH_X86
  return hn::Max(low, hn::Min(high, x));
#else
  return hn::IfThenElse(hn::Lt(x, low), low, hn::IfThenElse(hn::Lt(high, x), high, x));
#endif
}

// exp(x) to about one unit in the last place; 0 below -87.3 (no subnormals), exp(88.3) above, NaN stays NaN.
// Cody-Waite reduction by ln 2 and the polynomial of Cephes' expf.
HWY_INLINE Floats expOf(Floats x) {
  const Floats lowest = set(-87.33654f);
  const Floats c = clamp(lowest, x, set(88.3f));
  const Floats magic = set(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Floats shifted = hn::MulAdd(c, set(1.44269504088896341f), magic);
  const Floats n = hn::Sub(shifted, magic);
  Floats r = hn::NegMulAdd(n, set(0.693359375f), c);
  r = hn::NegMulAdd(n, set(-2.12194440e-4f), r);
  Floats p = set(1.9875691500e-4f);
  p = hn::MulAdd(p, r, set(1.3981999507e-3f));
  p = hn::MulAdd(p, r, set(8.3334519073e-3f));
  p = hn::MulAdd(p, r, set(4.1665795894e-2f));
  p = hn::MulAdd(p, r, set(1.6666665459e-1f));
  p = hn::MulAdd(p, r, set(5.0000001201e-1f));
  p = hn::MulAdd(p, hn::Mul(r, r), hn::Add(r, set(1.0f)));
  const Floats power = hn::BitCast(kF, hn::Add(hn::ShiftLeft<23>(hn::BitCast(kI, shifted)), hn::Set(kI, 0x3F800000)));
  return hn::IfThenZeroElse(hn::Lt(x, lowest), hn::Mul(p, power));
}

HWY_INLINE Floats sigmoidOf(Floats x) {
  const Floats one = set(1.0f);
  return hn::Div(one, hn::Add(one, expOf(hn::Neg(x))));
}

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
