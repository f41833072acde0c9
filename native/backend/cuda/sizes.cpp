// Sizes of weights on a card, and those of a card that a plan only has the name of.
#include "backend/cuda/sizes.h"

#include "backend/cuda/cards.h"

namespace mlit::cuda {
namespace {

constexpr size_t kAlignment = 256;

class CardSizes final : public BackendSizes {
 public:
  explicit CardSizes(const Card& card) : deviceBytes_((card.memoryMiB << 20) - kContextBytes) {}

  ElementType activationType() const override { return kActivationType; }
  size_t fixedBytes() const override { return cudaFixedBytes(); }
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return cuda::weightBytes(out, in, format);
  }
  int64_t deviceBytes() const override { return deviceBytes_; }

 private:
  int64_t deviceBytes_;
};

}  // namespace

int64_t elementBytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return 4;
    case WeightFormat::kBF16:
      return 2;
    case WeightFormat::kI8Channel:
      return 1;
  }
  return 4;
}

int64_t paddedRow(int64_t in, WeightFormat format) {
  const int64_t step = 16 / elementBytes(format);
  return (in + step - 1) / step * step;
}

size_t matrixBytes(int64_t out, int64_t in, WeightFormat format) {
  const auto bytes = static_cast<size_t>(out * paddedRow(in, format) * elementBytes(format));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

size_t weightBytes(int64_t out, int64_t in, WeightFormat format) {
  const size_t scales = format == WeightFormat::kI8Channel ? static_cast<size_t>(out) * sizeof(float) : 0;
  return matrixBytes(out, in, format) + scales;
}

std::unique_ptr<BackendSizes> createCudaSizes(const Card& card) { return std::make_unique<CardSizes>(card); }

}  // namespace mlit::cuda
