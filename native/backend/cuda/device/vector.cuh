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

}  // namespace mlit::cuda
