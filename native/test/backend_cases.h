// Cases of backend ops and the list of backends they run on: the tests speak to Backend alone, copy every byte in and
// out by upload and download, and so hold any backend, in whatever address space, to the same numbers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "core/philox.h"

namespace mlit::test {

struct BackendFactory {
  std::string name;  // letters, digits and underscores: becomes part of the test's name
  std::function<std::unique_ptr<Backend>()> create;
  std::function<std::unique_ptr<Backend>()> other = {};  // of which the same bits are asked; none: of a second one
  // Where the order of a backend's work is drawn: of how many seeds each table is computed, and what draws from one from there on.
  uint64_t seeds = 1;
  std::function<void(uint64_t)> draw = [](uint64_t) {};
  std::function<void()> begin = [] {}, end = [] {};  // before there is a backend, and when it is gone
  bool emulated = false;                             // each access costs a call: tables leave out what is merely large
};

inline std::vector<std::string> availableIsas() {
  std::vector<std::string> names;
  for (const char* isa : {"avx512", "avx2", "neon"}) {
    try {
      createCpuBackend(1, isa);
      names.emplace_back(isa);
    } catch (const Error&) {
      // Not compiled in, or not on this processor.
    }
  }
  return names;
}

// Every backend that the shared cases must hold on: of each test binary its own.
std::vector<BackendFactory> backendFactories();

inline std::string factoryName(const ::testing::TestParamInfo<BackendFactory>& info) { return info.param.name; }
inline void PrintTo(const BackendFactory& factory, std::ostream* out) { *out << factory.name; }

inline constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

// Values in (-1, 1): a function of (seed, index) alone.
inline std::vector<float> randomFloats(int64_t n, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    values[static_cast<size_t>(i)] = 2 * unitFloat(philox(seed, 7, static_cast<uint64_t>(i))[0]) - 1;
  }
  return values;
}

// An array of T in a backend's memory, filled from and read back to the host.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Backend& backend, const std::vector<T>& values) : backend_(&backend), count_(values.size()) {
    memory_ = backend.allocate(bytes());
    backend.upload(memory_, values.data(), bytes());
    backend.synchronize();
  }
  DeviceArray(Backend& backend, int64_t count, T value)
      : DeviceArray(backend, std::vector<T>(static_cast<size_t>(count), value)) {}
  ~DeviceArray() { backend_->release(memory_, bytes()); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  DevicePtr<T> ptr() const { return memory_.as<T>(); }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    backend_->download(values.data(), memory_, bytes());
    backend_->synchronize();
    return values;
  }

 private:
  size_t bytes() const { return count_ * sizeof(T); }
  Backend* backend_;
  size_t count_;
  DevicePtr<std::byte> memory_;
};

using DeviceFloats = DeviceArray<float>;

}  // namespace mlit::test
