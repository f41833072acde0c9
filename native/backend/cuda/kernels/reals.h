// From the backend's addresses of reals, whose type is known at run time, to the pointers of kernels, whose type is a parameter.
// Included by .cu files after dev.cuh.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "backend/device_pointer.h"
#include "core/error.h"

namespace mlit::cuda {

inline constexpr ElementType kActivations = ElementType::kBF16;

// The pointer, where the type is known already.
template <class T>
const T* realsOf(DevConstReal reals) {
  return reinterpret_cast<const T*>(reals.bytes().raw());
}
template <class T>
T* realsOf(DevReal reals) {
  return reinterpret_cast<T*>(reals.bytes().raw());
}

// f(pointer to const float, or to const __nv_bfloat16)
template <class F>
auto withReals(DevConstReal reals, F f) {
  if (reals.type() == ElementType::kF32) return f(realsOf<float>(reals));
  return f(realsOf<__nv_bfloat16>(reals));
}
// f(pointer to float, or to __nv_bfloat16)
template <class F>
auto withReals(DevReal reals, F f) {
  if (reals.type() == ElementType::kF32) return f(realsOf<float>(reals));
  return f(realsOf<__nv_bfloat16>(reals));
}

// For types that no caller brings together, and that have no kernel therefore.
[[noreturn]] inline void refuseReals(const char* operation,
                                     std::initializer_list<std::pair<const char*, ElementType>> operands) {
  std::string types;
  for (const auto& [name, type] : operands) {
    types += (types.empty() ? "" : ", ") + std::string(name) + (type == ElementType::kF32 ? " f32" : " bf16");
  }
  throw Error(ErrorCode::kInternal, std::string(operation) + " has no kernel for " + types,
              {{"operation", operation}, {"types", types}});
}

}  // namespace mlit::cuda
