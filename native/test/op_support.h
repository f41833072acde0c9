// What the tests of single ops share: matrices with a leading dimension wider than their rows, sentinels that show a
// write outside, NaN wherever an output is about to be, and comparison with a float64 reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/half.h"
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

// What a backend's reals of the type hold of the values.
inline float rounded(ElementType type, float value) {
  return type == ElementType::kF32 ? value : bfloat16ToFloat(floatToBfloat16(value));
}
inline std::vector<float> rounded(ElementType type, std::vector<float> values) {
  for (float& value : values) value = rounded(type, value);
  return values;
}

// How far one rounding to the type may lead, relative to what is rounded, where a reference is compared by magnitudes: float32's
// are part of every tolerance already.
inline double unitOf(ElementType type) { return type == ElementType::kF32 ? 0 : 0x1p-8; }

// The same for reals of a type: in bfloat16 each is the rounding of a value within the tolerance.
inline void expectReals(ElementType type, const std::vector<float>& got, const Doubles& want, double tolerance,
                        const std::string& what, double least = 0) {
  if (type == ElementType::kF32) return expectClose(got, want, tolerance, what, least);
  ASSERT_EQ(got.size(), want.size()) << what;
  double squares = 0;
  for (const double value : want) squares += value * value;
  const double floor = std::max(least, std::sqrt(squares / static_cast<double>(std::max<size_t>(1, want.size()))));
  const auto round = [&](double value) { return rounded(type, static_cast<float>(value)); };
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = tolerance * std::max(std::abs(want[i]), floor);
    if (round(want[i] - error) <= got[i] && got[i] <= round(want[i] + error)) continue;  // false for NaN
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << round(want[i]);
    return;
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

// Reals in the type in which a backend keeps activations; floats on the host.
class DeviceReals {
 public:
  DeviceReals(Backend& backend, const std::vector<float>& values) : type_(backend.activationType()) {
    if (type_ == ElementType::kF32) {
      floats_ = std::make_unique<DeviceFloats>(backend, values);
      return;
    }
    std::vector<uint16_t> halves;
    for (const float value : values) halves.push_back(floatToBfloat16(value));
    halves_ = std::make_unique<DeviceArray<uint16_t>>(backend, halves);
  }
  DeviceReals(Backend& backend, int64_t count, float value)
      : DeviceReals(backend, std::vector<float>(static_cast<size_t>(count), value)) {}

  DevReal ptr() const {
    if (floats_) return floats_->ptr();
    return {halves_->ptr().as<std::byte>(), type_};
  }
  ElementType type() const { return type_; }
  std::vector<float> read() const {
    if (floats_) return floats_->read();
    std::vector<float> values;
    for (const uint16_t half : halves_->read()) values.push_back(bfloat16ToFloat(half));
    return values;
  }

 private:
  ElementType type_;
  std::unique_ptr<DeviceFloats> floats_;
  std::unique_ptr<DeviceArray<uint16_t>> halves_;
};

// rows x width elements on a device with leading dimension width + padding; the padding holds a sentinel.
template <class Memory>
class MatrixOf {
 public:
  static constexpr float kSentinel = 12352.0f;  // exact in bfloat16

  MatrixOf(Backend& backend, int64_t rows, int64_t width, int64_t padding, const std::vector<float>& values)
      : rows_(rows), width_(width), ld_(width + padding), memory_(backend, spread(rows, width, padding, values)) {}
  MatrixOf(Backend& backend, int64_t rows, int64_t width, int64_t padding, float value)
      : MatrixOf(backend, rows, width, padding, std::vector<float>(static_cast<size_t>(rows * width), value)) {}

  auto ptr() const { return memory_.ptr(); }
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
  Memory memory_;
};
using DeviceMatrix = MatrixOf<DeviceFloats>;
using RealMatrix = MatrixOf<DeviceReals>;

class OpTest : public ::testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override {
    GetParam().begin();
    backend_ = GetParam().create();
  }
  void TearDown() override {
    other_.reset();
    backend_.reset();
    GetParam().end();
  }
  Backend& backend() { return *backend_; }
  ElementType type() const { return backend_->activationType(); }
  // Beside backend(): the same inputs have to give the same bits on it.
  Backend& other() {
    if (!other_) other_ = GetParam().other ? GetParam().other() : GetParam().create();
    return *other_;
  }
  bool emulated() const { return GetParam().emulated; }
  // Random floats that the backend's reals hold exactly.
  std::vector<float> randomReals(int64_t n, uint64_t seed, float factor = 1) const {
    return rounded(type(), scaled(randomFloats(n, seed), factor));
  }

  // Every case at least once, and as often as there are seeds, drawing from the next each time.
  template <class Cases, class Body>
  void forEach(const Cases& cases, Body body) {
    const size_t count = std::size(cases), times = std::max<size_t>(count, GetParam().seeds);
    for (size_t i = 0; i < times; ++i) {
      GetParam().draw(i + 1);
      body(*(std::begin(cases) + static_cast<std::ptrdiff_t>(i % count)));
      if (HasFatalFailure()) return;
    }
  }

 private:
  std::unique_ptr<Backend> backend_, other_;
};

}  // namespace mlit::test
