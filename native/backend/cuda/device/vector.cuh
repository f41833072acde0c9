// Accesses of 16 and 8 bytes as ONE transaction, whose alignment is checked in emulation; a struct read by members would be
// several there.
#pragma once

namespace mlit::cuda {

namespace detail {
template <class Vector>
DEVICE Vector load(const void* from) {
#ifdef __CUDACC__
  return *static_cast<const Vector*>(from);
#else
  Vector value;
  emulation::loadWide(&value, from, sizeof(Vector));
  return value;
#endif
}
template <class Vector>
DEVICE void store(void* to, Vector value) {
#ifdef __CUDACC__
  *static_cast<Vector*>(to) = value;
#else
  emulation::storeWide(to, &value, sizeof(Vector));
#endif
}
}  // namespace detail

DEVICE uint4 load16(const void* from) { return detail::load<uint4>(from); }
DEVICE void store16(void* to, uint4 value) { detail::store(to, value); }
DEVICE float4 loadFloat4(const float* from) { return detail::load<float4>(from); }
DEVICE void storeFloat4(float* to, float4 value) { detail::store(to, value); }
DEVICE float2 loadFloat2(const float* from) { return detail::load<float2>(from); }
DEVICE void storeFloat2(float* to, float2 value) { detail::store(to, value); }

DEVICE uint2 load8(const void* from) { return detail::load<uint2>(from); }
DEVICE void store8(void* to, uint2 value) { detail::store(to, value); }

// Two bfloat16, low element first, and back.
DEVICE float2 unpackBf16(unsigned bits) {
  return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xFFFF0000u));
}
DEVICE unsigned packBf16(float low, float high) {
  return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(low))) |
         static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

// N reals at once, of either type, as floats: N = 1, 4 or 8. More than one: aligned to their size, at most 16 bytes. Lets one
// kernel serve rows of any width and of both types.
template <int N>
DEVICE void loadFloats(float (&to)[N], const float* from) {
  static_assert(N == 1 || N == 4 || N == 8, "whole transactions");
  if constexpr (N == 1) {
    to[0] = *from;
  } else {
    UNROLL
    for (int i = 0; i < N; i += 4) {
      const float4 v = loadFloat4(from + i);
      to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    }
  }
}
template <int N>
DEVICE void loadFloats(float (&to)[N], const __nv_bfloat16* from) {
  static_assert(N == 1 || N == 4 || N == 8, "one transaction");
  if constexpr (N == 1) {
    to[0] = __bfloat162float(*from);
  } else if constexpr (N == 4) {
    const uint2 v = load8(from);
    const float2 a = unpackBf16(v.x), b = unpackBf16(v.y);
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y;
  } else {
    const uint4 v = load16(from);
    const float2 a = unpackBf16(v.x), b = unpackBf16(v.y), c = unpackBf16(v.z), d = unpackBf16(v.w);
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y, to[4] = c.x, to[5] = c.y, to[6] = d.x, to[7] = d.y;
  }
}
template <int N>
DEVICE void storeFloats(float* to, const float (&from)[N]) {
  static_assert(N == 1 || N == 4 || N == 8, "whole transactions");
  if constexpr (N == 1) {
    *to = from[0];
  } else {
    UNROLL
    for (int i = 0; i < N; i += 4) storeFloat4(to + i, make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]));
  }
}
template <int N>
DEVICE void storeFloats(__nv_bfloat16* to, const float (&from)[N]) {
  static_assert(N == 1 || N == 4 || N == 8, "one transaction");
  if constexpr (N == 1) {
    *to = __float2bfloat16_rn(from[0]);
  } else if constexpr (N == 4) {
    store8(to, make_uint2(packBf16(from[0], from[1]), packBf16(from[2], from[3])));
  } else {
    store16(to, make_uint4(packBf16(from[0], from[1]), packBf16(from[2], from[3]), packBf16(from[4], from[5]),
                           packBf16(from[6], from[7])));
  }
}

}  // namespace mlit::cuda
