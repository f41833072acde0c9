// Addresses in a backend's memory, typed so that nothing above a backend can read through one by mistake, and so that
// code which knows nothing of bfloat16 can still step through activations that are kept in it.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace mlit {

// An address in a backend's memory. raw() is for backends and their tests.
template <class T>
class DevicePtr {
 public:
  DevicePtr() = default;
  explicit DevicePtr(T* raw) : raw_(raw) {}
  template <class U>
  requires(std::is_convertible_v<U*, T*>) DevicePtr(DevicePtr<U> other)
      : raw_(other.raw()) {}  // NOLINT(google-explicit-constructor): float* to const float*

  T* raw() const { return raw_; }
  explicit operator bool() const { return raw_ != nullptr; }
  DevicePtr operator+(int64_t elements) const { return DevicePtr(raw_ + elements); }
  template <class U>
  DevicePtr<U> as() const {
    return DevicePtr<U>(reinterpret_cast<U*>(raw_));
  }

 private:
  T* raw_ = nullptr;
};

using DevF32 = DevicePtr<float>;
using DevConstF32 = DevicePtr<const float>;
using DevI32 = DevicePtr<int32_t>;
using DevConstI32 = DevicePtr<const int32_t>;

enum class ElementType : uint8_t { kF32, kBF16 };

constexpr int64_t elementBytes(ElementType type) { return type == ElementType::kF32 ? 4 : 2; }

// An address of reals whose type is known at run time: float32, or the type in which the backend keeps activations.
// A float32 address is one of these by itself.
template <bool kConst>
class RealPtr {
 public:
  using Byte = std::conditional_t<kConst, const std::byte, std::byte>;
  using Float = std::conditional_t<kConst, const float, float>;

  RealPtr() = default;
  RealPtr(DevicePtr<Byte> at, ElementType type) : at_(at), type_(type) {}
  template <class U>
  requires(std::is_convertible_v<U*, Float*>) RealPtr(DevicePtr<U> floats)
      : at_(floats.template as<Byte>()) {}  // NOLINT(google-explicit-constructor)
  template <bool kOther>
  requires(kConst && !kOther) RealPtr(RealPtr<kOther> other)
      : at_(other.bytes()), type_(other.type()) {}  // NOLINT(google-explicit-constructor)

  DevicePtr<Byte> bytes() const { return at_; }
  ElementType type() const { return type_; }
  explicit operator bool() const { return bool(at_); }
  RealPtr operator+(int64_t elements) const { return {at_ + elements * elementBytes(type_), type_}; }
  // For backends and their tests, where type() is kF32.
  Float* floats() const {
    assert(!at_ || type_ == ElementType::kF32);
    return at_.template as<Float>().raw();
  }

 private:
  DevicePtr<Byte> at_;
  ElementType type_ = ElementType::kF32;
};

using DevReal = RealPtr<false>;
using DevConstReal = RealPtr<true>;

}  // namespace mlit
