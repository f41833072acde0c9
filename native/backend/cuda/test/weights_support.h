// Weights of a small workspace, for tests of their products.
#pragma once

#include "backend/cuda/test/support.h"
#include "backend/cuda/weights.h"

namespace mlit::test {

inline constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel};
inline constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBF16};

// Small enough that rows come in chunks and int8 weights in slices.
inline constexpr cuda::WeightWorkspace kSizes{1024, 2048, 8192, 5120};

struct Rig {
  DeviceArray<std::byte> room{kSizes.bytes()};
  cuda::Stream stream;
  cuda::CudaWeights weights{device::cublasLt(), room.get(), kSizes};

  WeightId make(int64_t out, int64_t in, WeightFormat format, const std::vector<float>& values) {
    const WeightId id = weights.createWeight(out, in, format, stream);
    weights.setWeightRows(id, 0, out, values.data(), stream);
    return id;
  }
};

}  // namespace mlit::test
