// How the test backend checks and poisons: shared by the files that hold its methods.
#pragma once

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"
#include "test/host_backend.h"

namespace mlit::test {

[[noreturn]] inline void refuse(const std::string& what, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, what + ": " + why);
}

inline void poison(DevF32 at, int64_t rows, int64_t ld, int64_t width) {
  if (!at) return;
  for (int64_t r = 0; r < rows; ++r) {
    std::fill_n(at.raw() + r * ld, width, std::numeric_limits<float>::quiet_NaN());
  }
}
inline void poison(DevF32 at, int64_t n) { poison(at, 1, n, n); }
inline void poison(DevReal at, int64_t rows, int64_t ld, int64_t width) {
  poison(DevF32(at.floats()), rows, ld, width);
}
inline void poison(DevReal at, int64_t n) { poison(at, 1, n, n); }

inline void checkBelow(DevConstI32 values, int64_t n, int64_t limit, const char* what) {
  for (int64_t i = 0; i < n; ++i) {
    const int32_t value = values.raw()[i];
    if (value < 0 || value >= limit)
      refuse(what, std::to_string(value) + " is not in [0, " + std::to_string(limit) + ")");
  }
}

template <class T>
DevicePtr<T> HostBackend::matrix(DevicePtr<T> at, int64_t rows, int64_t ld, int64_t width, const char* what,
                                 bool optional) const {
  if (rows <= 0 || width <= 0) return {};
  if (!at) {
    if (optional) return {};
    refuse(what, "null");
  }
  if (rows > 1 && ld < width)
    refuse(what, "leading dimension " + std::to_string(ld) + " for rows of " + std::to_string(width));
  const Place found = place(at.raw(), what);
  const size_t needed = static_cast<size_t>((rows - 1) * ld + width) * sizeof(T);
  if (needed > found.bytes) {
    refuse(what, "needs " + std::to_string(needed) + " bytes where " + std::to_string(found.bytes) +
                     " are left of its allocation");
  }
  return DevicePtr<T>(reinterpret_cast<T*>(found.memory));
}

template <bool kConst>
RealPtr<kConst> HostBackend::matrix(RealPtr<kConst> at, int64_t rows, int64_t ld, int64_t width, const char* what,
                                    bool optional) const {
  const int64_t size = elementBytes(at.type());
  return {matrix(at.bytes(), rows, ld * size, width * size, what, optional), at.type()};
}

}  // namespace mlit::test
