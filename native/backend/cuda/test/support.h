// What the tests of kernels share: a fresh device with a seed for each, nothing found at its end, arrays between gaps, and what a
// kernel's result of either type may be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"
#include "backend/cuda/test/device_under_test.h"
#include "backend/cuda/test/seeds.h"
#include "backend/device_pointer.h"
#include "core/half.h"
#include "core/philox.h"

namespace mlit::test {
inline namespace on_device {  // apart from what native/test has of the same names

class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override { begin(1); }
  void TearDown() override { device::expectNothingFound(); }
  static void begin(uint64_t seed, int architecture = 80) { device::begin(seed, architecture); }
};

// Values in (-1, 1): a function of (seed, index) alone.
inline std::vector<float> randomFloats(int64_t n, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * unitFloat(philox(seed, 7, i)[0]) - 1;
  return values;
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count), at_(static_cast<T*>(cuda::allocate(count * sizeof(T)))) {
    device::poison(at_, count * sizeof(T));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    cuda::Stream stream;
    cuda::copyToDevice(at_, values.data(), count_ * sizeof(T), stream);
    stream.synchronize();
  }
  ~DeviceArray() { cuda::release(at_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return at_; }
  size_t count() const { return count_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    cuda::Stream stream;
    cuda::copyToHost(values.data(), at_, count_ * sizeof(T), stream);
    stream.synchronize();
    return values;
  }

 private:
  size_t count_;
  T* at_;
};

// What a buffer of the type holds of the values.
inline std::vector<float> roundedTo(ElementType type, std::vector<float> values) {
  if (type == ElementType::kBF16) {
    for (float& value : values) value = bfloat16ToFloat(floatToBfloat16(value));
  }
  return values;
}

// Reals of either type on the device, floats on the host.
class DeviceReals {
 public:
  DeviceReals(ElementType type, const std::vector<float>& values)
      : type_(type), bytes_(bytesOf(type, values)), count_(values.size()) {}
  // Unwritten: a kernel that reads one is found out.
  DeviceReals(ElementType type, size_t count)
      : type_(type), bytes_(count * static_cast<size_t>(elementBytes(type))), count_(count) {}

  DevReal get() const { return {DevicePtr(bytes_.get()), type_}; }
  std::vector<float> read() const {
    const std::vector<std::byte> bytes = bytes_.read();
    std::vector<float> values(count_);
    for (size_t i = 0; i < count_; ++i) {
      uint16_t half;
      if (type_ == ElementType::kF32) {
        std::memcpy(&values[i], &bytes[i * 4], 4);
      } else {
        std::memcpy(&half, &bytes[i * 2], 2);
        values[i] = bfloat16ToFloat(half);
      }
    }
    return values;
  }

 private:
  static std::vector<std::byte> bytesOf(ElementType type, const std::vector<float>& values) {
    const auto size = static_cast<size_t>(elementBytes(type));
    std::vector<std::byte> bytes(values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = floatToBfloat16(values[i]);
      std::memcpy(&bytes[i * size], size == 4 ? static_cast<const void*>(&values[i]) : &half, size);
    }
    return bytes;
  }

  ElementType type_;
  DeviceArray<std::byte> bytes_;
  size_t count_;
};

inline const char* typeName(ElementType type) { return type == ElementType::kF32 ? "f32" : "bf16"; }

// Between the rows of a wider matrix; exact in bfloat16.
inline constexpr float kSentinel = 12352.0f;

// [rows, width] inside rows of ld, with the sentinel between.
inline std::vector<float> spread(const std::vector<float>& values, int64_t rows, int64_t ld) {
  std::vector<float> all(static_cast<size_t>(rows * ld), kSentinel);
  const size_t width = values.size() / static_cast<size_t>(rows);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(r * width), width,
                all.begin() + static_cast<std::ptrdiff_t>(r * static_cast<size_t>(ld)));
  }
  return all;
}

// The other way, and the sentinels must be there still.
inline std::vector<float> gather(const std::vector<float>& all, int64_t rows, int64_t width) {
  const size_t ld = all.size() / static_cast<size_t>(rows);
  std::vector<float> values;
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    for (size_t c = 0; c < ld; ++c) {
      if (c < static_cast<size_t>(width)) {
        values.push_back(all[r * ld + c]);
      } else {
        EXPECT_EQ(all[r * ld + c], kSentinel) << "padding of row " << r << " was written";
      }
    }
  }
  return values;
}

// Each element within tolerance, relative to itself or, for the small ones, to the root mean square of all.
inline void expectClose(const std::vector<float>& got, const std::vector<double>& want, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double squares = 0;
  for (const double value : want) squares += value * value;
  const double floor = std::sqrt(squares / static_cast<double>(want.size()));
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::abs(static_cast<double>(got[i]) - want[i]) <= tolerance * std::max(std::abs(want[i]), floor)) continue;
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << want[i];
    return;
  }
}

// The same for a result of either type. In bfloat16 it is the rounding of a value within the tolerance, which is nearly always
// the rounding of the exact one.
inline void expectReals(ElementType type, const std::vector<float>& got, const std::vector<double>& want,
                        double tolerance, const std::string& what) {
  if (type == ElementType::kF32) return expectClose(got, want, tolerance, what);
  ASSERT_EQ(got.size(), want.size()) << what;
  const auto round = [](double value) { return bfloat16ToFloat(floatToBfloat16(static_cast<float>(value))); };
  double squares = 0;
  for (const double value : want) squares += value * value;
  const double floor = std::sqrt(squares / static_cast<double>(want.size()));
  size_t different = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = tolerance * std::max(std::abs(want[i]), floor);
    different += got[i] != round(want[i]);
    if (round(want[i] - error) <= got[i] && got[i] <= round(want[i] + error)) continue;
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << round(want[i]);
    return;
  }
  EXPECT_LE(different, 1 + want.size() / 50) << what << ": too many bfloat16 differ from the rounding of float64";
}

}  // namespace on_device
}  // namespace mlit::test
