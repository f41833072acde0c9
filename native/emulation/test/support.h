// What the emulated tests share: a fresh device with a seed for each, nothing found at its end, and arrays between gaps.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"
#include "core/philox.h"
#include "emulation/emulator.h"

namespace mlit::test {

inline constexpr uint64_t kSeeds = 20;

class Emulated : public ::testing::Test {
 protected:
  void SetUp() override { begin(1); }
  void TearDown() override {
    for (const emulation::Finding& finding : emulation::takeFindings()) ADD_FAILURE() << emulation::describe(finding);
  }
  static void begin(uint64_t seed, int architecture = 80) {
    emulation::Options options;
    options.seed = seed;
    options.architecture = architecture;
    emulation::reset(options);
  }
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
  explicit DeviceArray(size_t count) : count_(count), at_(static_cast<T*>(cuda::allocate(count * sizeof(T)))) {}
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

}  // namespace mlit::test
