// Weights of a small workspace, for tests of their products.
#pragma once

#include "backend/cuda/test/support.h"
#include "backend/cuda/weights.h"

namespace mlit::test {

inline constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel,
                                            WeightFormat::kNF4};
inline constexpr ElementType kTypes[] = {ElementType::kF32, ElementType::kBF16};

// Small enough that rows come in chunks and int8 weights in slices.
inline constexpr cuda::WeightWorkspace kSizes{1024, 2048, 8192, 5120};

// Room for rows of a thousand columns, some of them at a time.
inline constexpr cuda::WeightWorkspace kWideSizes{1024, 32768, 131072, 65536};

struct Rig {
  DeviceArray<std::byte> room;
  cuda::Stream stream;
  cuda::CudaWeights weights;

  explicit Rig(const cuda::WeightWorkspace& sizes = kSizes)
      : room(sizes.bytes()), weights(device::cublasLt(), room.get(), sizes) {}

  WeightId make(int64_t out, int64_t in, WeightFormat format, const std::vector<float>& values) {
    const WeightId id = weights.createWeight(out, in, format, stream);
    weights.setWeightRows(id, 0, out, values.data(), stream);
    return id;
  }
};

}  // namespace mlit::test
