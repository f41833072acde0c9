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

// N floats at once, N = 1 or 4 (then 16-byte aligned): lets one kernel serve rows of any width.
template <int N>
DEVICE void loadFloats(float (&to)[N], const float* from) {
  static_assert(N == 1 || N == 4, "one transaction");
  if constexpr (N == 4) {
    const float4 v = loadFloat4(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    to[0] = *from;
  }
}
template <int N>
DEVICE void storeFloats(float* to, const float (&from)[N]) {
  static_assert(N == 1 || N == 4, "one transaction");
  if constexpr (N == 4) {
    storeFloat4(to, make_float4(from[0], from[1], from[2], from[3]));
  } else {
    *to = from[0];
  }
}

}  // namespace mlit::cuda
