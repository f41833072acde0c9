// What the tests of single ops share: matrices with a leading dimension wider than their rows, sentinels that show a
// write outside, NaN wherever an output is about to be, and comparison with a float64 reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "test/backend_cases.h"

namespace mlit::test {

using Doubles = std::vector<double>;

inline Doubles toDoubles(const std::vector<float>& values) { return Doubles(values.begin(), values.end()); }

inline std::vector<float> scaled(std::vector<float> values, float factor, float offset = 0) {
  for (float& value : values) value = value * factor + offset;
  return values;
}

// Each element within tolerance, relative to itself or, for the small ones, to the root mean square of all (or to least,
// where everything may be zero).
inline void expectClose(const std::vector<float>& got, const Doubles& want, double tolerance, const std::string& what,
                        double least = 0) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double squares = 0;
  for (const double value : want) squares += value * value;
  const double floor = std::max(least, std::sqrt(squares / static_cast<double>(std::max<size_t>(1, want.size()))));
  int shown = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - want[i]);
    if (error <= tolerance * std::max(std::abs(want[i]), floor)) continue;  // false for NaN
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << want[i];
    if (++shown == 5) return;
  }
}

template <class T>
void expectSameBytes(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) == 0) continue;
    ADD_FAILURE() << what << ": element " << i << " is " << a[i] << " and " << b[i];
    return;
  }
}

// rows x width floats on a device with leading dimension width + padding; the padding holds a sentinel.
class DeviceMatrix {
 public:
  static constexpr float kSentinel = 12345.5f;

  DeviceMatrix(Backend& backend, int64_t rows, int64_t width, int64_t padding, const std::vector<float>& values)
      : rows_(rows), width_(width), ld_(width + padding), memory_(backend, spread(rows, width, padding, values)) {}
  DeviceMatrix(Backend& backend, int64_t rows, int64_t width, int64_t padding, float value)
      : DeviceMatrix(backend, rows, width, padding, std::vector<float>(static_cast<size_t>(rows * width), value)) {}

  DevF32 ptr() const { return memory_.ptr(); }
  int64_t ld() const { return ld_; }

  // The values without padding; a changed sentinel fails the test.
  std::vector<float> read() const {
    const std::vector<float> all = memory_.read();
    std::vector<float> values;
    values.reserve(static_cast<size_t>(rows_ * width_));
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < ld_; ++c) {
        const float value = all[static_cast<size_t>(r * ld_ + c)];
        if (c < width_) {
          values.push_back(value);
        } else if (value != kSentinel) {
          ADD_FAILURE() << "padding of row " << r << " was written";
        }
      }
    }
    return values;
  }

 private:
  static std::vector<float> spread(int64_t rows, int64_t width, int64_t padding, const std::vector<float>& values) {
    std::vector<float> all(static_cast<size_t>(rows * (width + padding)), kSentinel);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(values.begin() + r * width, width, all.begin() + r * (width + padding));
    }
    return all;
  }

  int64_t rows_, width_, ld_;
  DeviceFloats memory_;
};

class OpTest : public ::testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override { backend_ = GetParam().create(); }
  Backend& backend() { return *backend_; }
  // Of the backend under test, for a second one beside it.
  std::string isa() const {
    return GetParam().name == "host" ? "auto" : GetParam().name.substr(0, GetParam().name.find('_'));
  }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace mlit::test
