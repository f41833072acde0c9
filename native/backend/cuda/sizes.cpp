// Sizes of weights on a card, and those of a card that a plan only has the name of.
#include "backend/cuda/sizes.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/cards.h"
#include "core/nf4.h"

namespace mlit::cuda {
namespace {

constexpr size_t kAlignment = 256;

class CardSizes final : public BackendSizes {
 public:
  explicit CardSizes(const Card& card) : memoryBytes_(card.memoryMiB << 20) {}

  ElementType activationType() const override { return kActivationType; }
  size_t fixedBytes() const override { return cudaFixedBytes(); }
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return cuda::weightBytes(out, in, format);
  }
  size_t logitsBytes() const override { return cudaLogitsBytes(memoryBytes_); }
  int64_t deviceBytes() const override { return memoryBytes_ - kContextBytes; }

 private:
  int64_t memoryBytes_;
};

}  // namespace

int64_t paddedRow(int64_t in, WeightFormat format) {
  const auto upTo = [in](int64_t step) { return (in + step - 1) / step * step; };
  switch (format) {
    case WeightFormat::kF32:
      return upTo(4);
    case WeightFormat::kBF16:
      return upTo(8);
    case WeightFormat::kI8Channel:
      return upTo(16);
    case WeightFormat::kNF4:
      return upTo(kNf4Block);
  }
  return in;
}

int64_t rowBytes(int64_t in, WeightFormat format) {
  const int64_t columns = paddedRow(in, format);
  switch (format) {
    case WeightFormat::kF32:
      return columns * 4;
    case WeightFormat::kBF16:
      return columns * 2;
    case WeightFormat::kI8Channel:
      return columns;
    case WeightFormat::kNF4:
      return columns / 2;
  }
  return columns * 4;
}

int64_t rowScales(int64_t in, WeightFormat format) {
  if (format == WeightFormat::kNF4) return nf4Blocks(in);
  return format == WeightFormat::kI8Channel ? 1 : 0;
}

size_t matrixBytes(int64_t out, int64_t in, WeightFormat format) {
  const auto bytes = static_cast<size_t>(out * rowBytes(in, format));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

size_t weightBytes(int64_t out, int64_t in, WeightFormat format) {
  return matrixBytes(out, in, format) + static_cast<size_t>(out * rowScales(in, format)) * sizeof(float);
}

size_t cudaLogitsBytes(int64_t memoryBytes) {
  constexpr uint64_t kLeast = uint64_t{64} << 20, kMost = uint64_t{512} << 20;
  return std::clamp(std::bit_floor(static_cast<uint64_t>(memoryBytes) / 64), kLeast, kMost);
}

std::unique_ptr<BackendSizes> createCudaSizes(const Card& card) { return std::make_unique<CardSizes>(card); }

}  // namespace mlit::cuda
