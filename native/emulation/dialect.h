// CUDA's device language for the host compiler, as far as kernels here may use it (docs/cuda.md). Included by dev.cuh alone.
// What is missing is missing on purpose: __activemask, atomics but the one below, fences, cooperative groups.
#pragma once

#include <cmath>

#include "emulation/device.h"
#include "emulation/types.h"

// NOLINTBEGIN: the names are CUDA's.
#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#define MLIT_SITE_PARAMETERS const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace mlit::emulation {
template <unsigned (*F)(int), int Axis>
struct Coordinate {
  operator unsigned() const { return F(Axis); }
};
template <unsigned (*F)(int)>
struct Coordinates {
  Coordinate<F, 0> x;
  Coordinate<F, 1> y;
  Coordinate<F, 2> z;
};
template <class T>
uint64_t toBits(T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "4 or 8 bytes are exchanged between lanes");
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T fromBits(uint64_t bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace mlit::emulation

inline constexpr mlit::emulation::Coordinates<mlit::emulation::threadIndex> threadIdx{};
inline constexpr mlit::emulation::Coordinates<mlit::emulation::blockIndex> blockIdx{};
inline constexpr mlit::emulation::Coordinates<mlit::emulation::blockSize> blockDim{};
inline constexpr mlit::emulation::Coordinates<mlit::emulation::gridSize> gridDim{};
inline constexpr int warpSize = 32;

inline void __syncthreads(MLIT_SITE_PARAMETERS) { mlit::emulation::blockBarrier(0, {file, line}); }
inline int __syncthreads_count(int value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::blockBarrier(value, {file, line});
}
inline int __syncthreads_or(int value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::blockBarrier(value, {file, line}) != 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, MLIT_SITE_PARAMETERS) {
  mlit::emulation::warpBarrier(mask, {file, line});
}

#define MLIT_SHUFFLE(name, kind)                                                                                  \
  template <class T>                                                                                              \
  T name(unsigned mask, T value, int operand, int width = 32, MLIT_SITE_PARAMETERS) {                             \
    return mlit::emulation::fromBits<T>(mlit::emulation::shuffle(                                                 \
        mlit::emulation::ShuffleKind::kind, mask, mlit::emulation::toBits(value), operand, width, {file, line})); \
  }
MLIT_SHUFFLE(__shfl_sync, kIndex)
MLIT_SHUFFLE(__shfl_xor_sync, kXor)
MLIT_SHUFFLE(__shfl_up_sync, kUp)
MLIT_SHUFFLE(__shfl_down_sync, kDown)
#undef MLIT_SHUFFLE

inline unsigned __ballot_sync(unsigned mask, int value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::ballot(mask, value != 0, {file, line});
}
inline int __any_sync(unsigned mask, int value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::ballot(mask, value != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::ballot(mask, value == 0, {file, line}) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, MLIT_SITE_PARAMETERS) {
  return mlit::emulation::matchAny(mask, mlit::emulation::toBits(value), {file, line});
}
unsigned __activemask() = delete;

// Of shared memory alone, and of integers: their sum has no order.
inline unsigned atomicAdd(unsigned* at, unsigned value) { return mlit::emulation::atomicAdd(at, value); }

template <class T>
T __ldg(const T* at) {
  return *at;
}

using std::abs;
template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline unsigned long long __float2ull_rn(float x) { return static_cast<unsigned long long>(std::nearbyint(x)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
// NOLINTEND
