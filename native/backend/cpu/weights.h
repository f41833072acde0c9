// How a frozen matrix lies in memory: in panels of kPanel outputs, input-major inside a panel, so that one copy feeds
// the same micro-kernel in both directions (y = x·Wᵀ directly, dx = dy·W through transposed 64 x 64 blocks).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/gemm.h"

namespace mlit {

inline constexpr int64_t kPanel = kGemmPanel;  // outputs a panel

// What a weight of integer products keeps in float32 beside its bytes (numerics.md, int8 compute). Columns of x that are much larger
// than the others would cost all of them their precision, and so would what all rows of a vocabulary have in common.
struct KeptColumns {
  std::vector<int32_t> columns;  // ascending; their bytes are zeros
  float* rows = nullptr;         // [panels * kPanel][columns]: those columns of W
  std::vector<float> mask;       // [in]: 0 at those columns, 1 elsewhere; empty where there are none
  std::vector<float> mean;       // [in], taken from every row; empty where nothing is. 0 at those columns
  std::vector<double> noted;     // [in], while x is watched: how large its columns are
};

// Element (o, i) of W[out, in] is number (o / kPanel * in + i) * kPanel + o % kPanel, in bfloat16 bf16Place(o % kPanel); int8 is
// stored + 128, inputs by four (dotPlace). The last panel is padded with zeros.
struct CpuWeight {
  int64_t out = 0;
  int64_t in = 0;
  WeightFormat format = WeightFormat::kF32;
  std::byte* data = nullptr;
  // kI8Channel: one an output, padded to whole panels. kNF4: [panels][blocks of a row][kPanel].
  float* scales = nullptr;
  KeptColumns kept;
  std::vector<RoundingError> rounded;  // by panel, of its first row: products of integers

  CpuWeight() = default;
  ~CpuWeight();
  CpuWeight(const CpuWeight&) = delete;
  CpuWeight& operator=(const CpuWeight&) = delete;

  int64_t panels() const { return (out + kPanel - 1) / kPanel; }
  const std::byte* panelAt(int64_t panel) const;
  // Inputs [first, first + count) of a panel as float32 [count][kPanel]: in place, or decoded into buffer.
  const float* panelRows(const KernelTable& kernels, int64_t panel, int64_t first, int64_t count, float* buffer) const;
  // The same as they are stored, where a product may widen them itself; null otherwise.
  const uint16_t* narrowRows(int64_t panel, int64_t first) const {
    if (format != WeightFormat::kBF16) return nullptr;
    return reinterpret_cast<const uint16_t*>(data) + (panel * in + first) * kPanel;
  }
  // kI8Channel: inputs from `first`, a multiple of kDotSteps, as they are stored.
  const uint8_t* dotRows(int64_t panel, int64_t first) const {
    return reinterpret_cast<const uint8_t*>(panelAt(panel)) + first * kPanel;
  }
  // The same in their stored form, to be prefetched.
  GemmAhead stored(int64_t panel, int64_t first, int64_t count, int64_t panelCount = 1) const;
};

// Columns that a weight with so many inputs keeps where some were noted, and the bytes that they and the rest of it take.
inline constexpr int64_t kMostKept = 16;
inline constexpr int64_t keptColumns(int64_t in) { return in / 16 < kMostKept ? in / 16 : kMostKept; }
size_t keptBytes(int64_t out, int64_t in);

// Page-aligned memory that asks for huge pages where it is large; null where the system refuses. Freed by std::free.
void* allocatePages(size_t bytes);

}  // namespace mlit
