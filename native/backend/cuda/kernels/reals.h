// From the backend's addresses of reals, whose type is known at run time, to the pointers of kernels, whose type is a parameter.
// Included by .cu files after dev.cuh.
#pragma once

#include "backend/device_pointer.h"

namespace mlit::cuda {

inline constexpr ElementType kActivations = ElementType::kBF16;

// f(pointer to const float, or to const __nv_bfloat16)
template <class F>
auto withReals(DevConstReal reals, F f) {
  const std::byte* const at = reals.bytes().raw();
  if (reals.type() == ElementType::kF32) return f(reinterpret_cast<const float*>(at));
  return f(reinterpret_cast<const __nv_bfloat16*>(at));
}
// f(pointer to float, or to __nv_bfloat16)
template <class F>
auto withReals(DevReal reals, F f) {
  std::byte* const at = reals.bytes().raw();
  if (reals.type() == ElementType::kF32) return f(reinterpret_cast<float*>(at));
  return f(reinterpret_cast<__nv_bfloat16*>(at));
}

}  // namespace mlit::cuda
