// How a frozen matrix lies in memory: in panels of kPanel outputs, input-major inside a panel, so that one copy feeds
// the same micro-kernel in both directions (y = x·Wᵀ directly, dx = dy·W through a transposed 64 x 64 block).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/backend.h"

namespace mlit {

inline constexpr int64_t kPanel = 64;  // outputs a panel

// Element (o, i) of W[out, in] is at data[(o / kPanel * in + i) * kPanel + o % kPanel]; the last panel is padded with zeros.
struct CpuWeight {
  int64_t out = 0;
  int64_t in = 0;
  WeightFormat format = WeightFormat::kF32;
  std::byte* data = nullptr;
  float* scales = nullptr;  // kI8Channel: one an output, padded to whole panels

  int64_t panels() const { return (out + kPanel - 1) / kPanel; }
  ~CpuWeight();
};

}  // namespace mlit
