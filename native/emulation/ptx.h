// What C++ made from PTX calls (scripts/cuda/ptx): accesses that are checked like those of the source, and the instructions that C++
// has no operator for, as the PTX ISA defines them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "emulation/device.h"

namespace mlit::emulation {

// A kernel of a translated file, by the name that the host's compiler gives it.
struct TranslatedKernel {
  const char* name;
  void (*run)(const void* const* parameters);
  std::vector<size_t> parameterBytes;
};

namespace ptx {

// One for each translated file: enters its kernels.
class Translation {
 public:
  Translation(const char* source, std::initializer_list<TranslatedKernel> kernels);
};

template <class To, class From>
constexpr To bits(From value) {
  return std::bit_cast<To>(value);
}
inline constexpr float kUnset = std::numeric_limits<float>::quiet_NaN();

// Memory. Addresses of shared memory are offsets in its window, all others are generic.
enum class Space { kGeneric, kGlobal, kShared, kLocal, kConstant };
uint64_t sharedBase();
uint64_t sharedOffset(const void* key, size_t bytes, size_t alignment);
uint64_t dynamicSharedOffset();
void beginLocal(void* at, size_t bytes);  // the thread's own memory, of which it has one piece
inline void* sharedAt(uint64_t offset) { return reinterpret_cast<void*>(sharedBase() + offset); }
inline const void* pointer(uint64_t address) { return reinterpret_cast<const void*>(address); }

template <class T>  // uint8_t, uint16_t, uint32_t, uint64_t
T load(uint64_t at, Space space, bool readOnly = false);
template <class T>
void store(uint64_t at, Space space, T value);
void loadVector(void* to, uint64_t at, Space space, size_t bytes, bool readOnly = false);
void storeVector(uint64_t at, const void* from, Space space, size_t bytes);
template <class T>
T parameter(const void* at, size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(at) + offset, sizeof(T));
  return value;
}

// A warp.
inline unsigned lane() {
  return (threadIndex(0) + blockSize(0) * (threadIndex(1) + blockSize(1) * threadIndex(2))) % 32;
}
struct Shuffled {
  uint32_t value;
  bool inRange;
};
// limits: as the instruction has them, the segment's mask in bits 8 to 12 and the last lane that may be asked in 0 to 4.
Shuffled shuffle(ShuffleKind kind, unsigned mask, uint32_t value, uint32_t operand, uint32_t limits, Site site);

// Reals.
float inexactly(float value, float argument, int units);
float exp2Approximately(float x);
float log2Approximately(float x);
float sineApproximately(float x);
float cosineApproximately(float x);
float divideApproximately(float a, float b);

inline float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
inline bool isSubnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL; }
inline float saturate(float x) { return x > 0 ? std::min(x, 1.0f) : 0.0f; }  // of a NaN: 0
template <class T>
T minOrNan(T a, T b) {
  return std::isunordered(a, b) ? std::numeric_limits<T>::quiet_NaN() : std::fmin(a, b);
}
template <class T>
T maxOrNan(T a, T b) {
  return std::isunordered(a, b) ? std::numeric_limits<T>::quiet_NaN() : std::fmax(a, b);
}
template <class T>
bool orderedAndUnequal(T a, T b) {
  return a < b || a > b;
}

enum class Toward { kZero, kDown, kUp };
// a * b + c, rounded once. The product of two floats is a double; what a double's sum leaves over tells on which side it is.
template <Toward Direction>
float fmaToward(float a, float b, float c) {
  const double product = static_cast<double>(a) * b, sum = product + c;
  const double back = sum - product, left = (product - (sum - back)) + (c - back);
  const auto nearest = static_cast<float>(sum);
  if (!std::isfinite(sum)) return nearest;
  const bool above = nearest > sum || (nearest == sum && left < 0),
             below = nearest < sum || (nearest == sum && left > 0);
  const bool down = Direction == Toward::kDown || (Direction == Toward::kZero && sum > 0);
  if (down) return above ? std::nextafter(nearest, -INFINITY) : nearest;
  return below ? std::nextafter(nearest, INFINITY) : nearest;
}

inline uint16_t toBf16(float value) {
  const auto b = bits<uint32_t>(value);
  if (value != value) return 0x7FFF;
  return static_cast<uint16_t>((b + 0x7FFFu + (b >> 16 & 1u)) >> 16);
}
inline uint32_t toBf16x2(float high, float low) { return static_cast<uint32_t>(toBf16(high)) << 16 | toBf16(low); }

// Beyond the range: its end; of a NaN: 0.
template <class T, class Real>
T toInteger(Real whole) {
  if (whole != whole) return 0;
  const Real end = std::ldexp(static_cast<Real>(1), std::numeric_limits<T>::digits);
  if (whole >= end) return std::numeric_limits<T>::max();
  if (whole < (std::is_signed_v<T> ? -end : static_cast<Real>(0))) return std::numeric_limits<T>::min();
  return static_cast<T>(whole);
}
template <class To, class From>
To clampTo(From value) {
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(value, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

// Integers. Division by zero is not specified: all ones here.
template <class T>
T product(T a, T b) {
  return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
template <class T>
T highProduct(T a, T b) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> (8 * sizeof(T)));
}
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if (std::is_signed_v<T> && b == static_cast<T>(-1))
    return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a));
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return static_cast<T>(a % b);
}
template <class T>
T magnitude(T a) {
  return a < 0 ? static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a)) : a;
}
template <class T>
T shiftLeft(T value, uint32_t amount) {
  return amount >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<std::make_unsigned_t<T>>(value) << amount);
}
template <class T>
T shiftRight(T value, uint32_t amount) {
  if (amount >= 8 * sizeof(T)) return static_cast<T>(value < 0 ? -1 : 0);
  return static_cast<T>(value >> amount);
}
// Of the 64 bits (high, low): the upper word after a shift to the left, the lower one after a shift to the right.
inline uint32_t funnelLeft(uint32_t low, uint32_t high, uint32_t amount) {
  const uint64_t both = static_cast<uint64_t>(high) << 32 | low;
  return amount == 32 ? low : static_cast<uint32_t>(both << amount >> 32);
}
inline uint32_t funnelRight(uint32_t low, uint32_t high, uint32_t amount) {
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> amount);
}
template <class T>
uint32_t onesIn(T value) {
  return static_cast<uint32_t>(std::popcount(value));
}
template <class T>
uint32_t leadingZeros(T value) {
  return static_cast<uint32_t>(std::countl_zero(value));
}
template <class T>
T reversed(T value) {
  T result = 0;
  for (size_t i = 0; i < 8 * sizeof(T); ++i, value = static_cast<T>(value >> 1)) {
    result = static_cast<T>(result << 1 | (value & 1));
  }
  return result;
}
// The place of the highest bit that is not the sign, or how far it must be shifted to be the top one; none: all ones.
template <bool Shift, class T>
uint32_t highestBit(T value) {
  const auto v = static_cast<std::make_unsigned_t<T>>(value < 0 ? ~value : value);
  if (v == 0) return ~0u;
  const uint32_t place = static_cast<uint32_t>(8 * sizeof(T)) - 1 - leadingZeros(v);
  return Shift ? static_cast<uint32_t>(8 * sizeof(T)) - 1 - place : place;
}
template <class T>
T extract(T value, uint32_t begin, uint32_t length) {
  using U = std::make_unsigned_t<T>;
  constexpr uint32_t kBits = 8 * sizeof(T);
  begin &= 255, length &= 255;
  if (length == 0) return 0;
  const uint32_t last = std::min(begin + length - 1, kBits - 1);
  const bool sign = std::is_signed_v<T> && (static_cast<U>(value) >> last & 1) != 0;
  U field = shiftRight(static_cast<U>(value), begin);
  if (length >= kBits) return static_cast<T>(begin == 0 || !sign ? field : field | ~(static_cast<U>(~U{0}) >> begin));
  field &= static_cast<U>((U{1} << length) - 1);
  if (!sign) return static_cast<T>(field);
  const uint32_t there = begin >= kBits ? 0 : std::min(length, kBits - begin);
  return static_cast<T>(there == 0 ? ~U{0} : field | static_cast<U>(~((U{1} << there) - 1)));
}
template <class T>
T insert(T from, T to, uint32_t begin, uint32_t length) {
  begin &= 255, length &= 255;
  if (length == 0 || begin >= 8 * sizeof(T)) return to;
  const T ones = length >= 8 * sizeof(T) ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
  const T mask = static_cast<T>(ones << begin);
  return static_cast<T>((to & ~mask) | (static_cast<T>(from << begin) & mask));
}
inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selection) {
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t choice = selection >> (4 * i) & 15;
    auto byte = static_cast<uint8_t>(both >> (8 * (choice & 7)));
    if (choice & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= static_cast<uint32_t>(byte) << (8 * i);
  }
  return result;
}
// Bit 4 a + 2 b + c of the table, for each bit.
inline uint32_t logic3(uint32_t a, uint32_t b, uint32_t c, unsigned table) {
  uint32_t result = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
  return result;
}
template <class A, class B>
uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (int i = 0; i < 32; i += 8) {
    c += static_cast<uint32_t>(static_cast<int32_t>(static_cast<A>(a >> i)) *
                               static_cast<int32_t>(static_cast<B>(b >> i)));
  }
  return c;
}

}  // namespace ptx
}  // namespace mlit::emulation
