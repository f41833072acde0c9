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
#include "test/host_backend.h"

namespace mlit::test {

struct BackendFactory {
  std::string name;  // letters, digits and underscores: becomes part of the test's name
  std::function<std::unique_ptr<Backend>()> create;
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

// Every backend that the shared cases must hold on.
inline std::vector<BackendFactory> backendFactories() {
  std::vector<BackendFactory> factories;
  for (const std::string& isa : availableIsas()) {
    for (const int threads : {1, 3}) {
      factories.push_back(
          {isa + "_" + std::to_string(threads), [isa, threads] { return createCpuBackend(threads, isa); }});
    }
  }
  factories.push_back({"host", [] { return std::make_unique<HostBackend>(createCpuBackend(2)); }});
  return factories;
}

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

// --- linear with LoRA -----------------------------------------------------------------------------------------------
struct SegmentSpec {
  int32_t outBegin;
  int32_t outEnd;
  int32_t rank;
};
struct GroupSpec {
  int32_t rowBegin;
  int32_t rowEnd;
  float scale;
  std::vector<SegmentSpec> segments;

  int32_t rankTotal() const {
    int32_t rank = 0;
    for (const SegmentSpec& segment : segments) rank += segment.rank;
    return rank;
  }
};
struct LinearCase {
  const char* name;
  int64_t rows;
  int64_t out;
  int64_t in;
  WeightFormat format;
  int64_t padding;  // leading dimensions are so much wider than the rows
  bool accumulate;
  bool wantDx;
  std::vector<GroupSpec> groups;
};

inline std::vector<LinearCase> linearCases() {
  constexpr auto kF32 = WeightFormat::kF32;
  constexpr auto kBF16 = WeightFormat::kBF16;
  constexpr auto kI8 = WeightFormat::kI8Channel;
  constexpr auto kNF4 = WeightFormat::kNF4;
  return {
      {"one_by_one", 1, 1, 1, kF32, 0, false, true, {}},
      {"one_by_one_adapter", 1, 1, 1, kF32, 3, false, true, {{0, 1, 2.0f, {{0, 1, 1}}}}},
      {"no_groups_odd", 5, 67, 33, kF32, 0, false, true, {}},
      {"no_groups_padded_accumulate", 13, 130, 65, kF32, 9, true, true, {}},
      {"deep", 9, 70, 1301, kF32, 1, false, true, {{0, 9, 0.5f, {{0, 70, 3}}}}},
      {"wide", 7, 1500, 17, kF32, 0, true, true, {{2, 7, 1.5f, {{0, 1500, 4}}}}},
      {"many_rows", 301, 72, 40, kF32, 2, false, true, {{0, 301, 2.0f, {{0, 72, 5}}}}},
      {"stacked_segments", 40, 96, 64, kF32, 0, false, true, {{0, 40, 2.0f, {{0, 50, 16}, {50, 73, 3}, {73, 96, 7}}}}},
      {"gap_between_segments", 19, 100, 31, kF32, 5, true, true, {{0, 19, 1.0f, {{3, 40, 2}, {60, 99, 9}}}}},
      {"two_adapters",
       50,
       128,
       96,
       kF32,
       0,
       false,
       true,
       {{0, 23, 2.0f, {{0, 64, 8}, {64, 128, 8}}}, {23, 50, 0.25f, {{0, 64, 3}, {64, 128, 21}}}}},
      {"gaps_between_groups",
       61,
       65,
       66,
       kF32,
       4,
       true,
       true,
       {{5, 6, 3.0f, {{0, 65, 1}}}, {20, 47, 1.0f, {{10, 65, 12}}}}},
      {"empty_group", 11, 30, 30, kF32, 0, false, true, {{4, 4, 1.0f, {{0, 30, 4}}}, {4, 9, 1.0f, {{0, 30, 2}}}}},
      {"rank_over_64", 30, 70, 80, kF32, 0, false, true, {{0, 30, 0.1f, {{0, 35, 70}, {35, 70, 33}}}}},
      {"rank_over_depth", 12, 40, 50, kF32, 0, false, true, {{1, 12, 0.01f, {{0, 40, 700}}}}},
      {"no_dx", 33, 90, 45, kF32, 0, false, false, {{0, 20, 2.0f, {{0, 90, 16}}}}},
      {"bf16", 21, 131, 77, kBF16, 3, false, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"bf16_deep", 4, 1400, 700, kBF16, 0, true, true, {}},
      {"int8", 21, 131, 77, kI8, 3, true, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"int8_deep", 4, 1400, 700, kI8, 0, false, true, {}},
      {"nf4", 21, 131, 77, kNF4, 3, true, true, {{3, 18, 2.0f, {{0, 131, 6}}}}},
      {"nf4_deep", 4, 1400, 700, kNF4, 0, false, true, {}},
  };
}

}  // namespace mlit::test
