// The matrices of a model on the device and the products with them: backend.h's functions on weights, and the base part of
// linearForward and linearBackward. One copy of a weight serves both directions and row gathers.
//
// All work goes to one stream, in which the one workspace is shared; nothing is allocated but by the constructor and createWeight(),
// and the host waits in setWeightRows(), for room in the pinned memory, alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/matmul.h"
#include "backend/cuda/sizes.h"

namespace mlit::cuda {

class CudaWeights {
 public:
  // workspace: sizes.bytes() of device memory, 256-byte aligned, the caller's and for these products alone.
  CudaWeights(const CublasLtApi& api, void* workspace, const WeightWorkspace& sizes = {});

  static constexpr size_t pinnedBytes() { return 2 * kUploadBytes; }  // of host memory, held while this lives

  WeightId createWeight(int64_t out, int64_t in, WeightFormat format, Stream& stream);
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host, Stream& stream);
  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows, Stream& stream);
  void destroyWeight(WeightId weight);  // waits for the device
  int64_t columns(WeightId weight) const { return weightAt(weight).in; }
  void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out, Stream& stream);

  // y [rows, out] = x [rows, in] · Wᵀ. Reals of either type, aligned or not; x and y are apart. All but float32 weights are multiplied as bfloat16, so a
  // float32 x is rounded first; float32 weights as float32. Sums are float32 in any case, rounded once.
  void forward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy, Stream& stream);
  // The same product for a sampler: narrow weights by a kernel of our own (kernels/few_rows.h), in another order of sums.
  void sample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy, Stream& stream);
  // dx [rows, in] = dy [rows, out] · W, or += where accumulate.
  void backward(WeightId weight, DevConstReal dy, int64_t lddy, int64_t rows, DevReal dx, int64_t lddx, bool accumulate,
                Stream& stream);

 private:
  static constexpr size_t kUploadBytes = size_t{4} << 20;

  struct Weight {
    int64_t out = 0, in = 0, ld = 0;
    WeightFormat format = WeightFormat::kF32;
    std::unique_ptr<void, void (*)(void*)> memory{nullptr, nullptr};

    std::byte* at(int64_t row) const;
    float* scalesAt(int64_t row) const;  // of quantised formats
  };
  struct Upload {
    std::unique_ptr<void, void (*)(void*)> pinned{nullptr, nullptr};
    Event copied;
  };
  struct Product;

  const Weight& weightAt(WeightId weight) const;
  void checkRows(const Weight& weight, int64_t firstRow, int64_t count) const;
  int64_t sliceRows(const Weight& weight) const;
  size_t uploadBytes() const;
  void store(const Weight& weight, int64_t firstRow, int64_t count, DevConstF32 rows, Stream& stream);
  void multiply(const Product& product, Stream& stream);
  void multiplyRows(const Product& product, int64_t firstRow, int64_t count, int64_t padded, Stream& stream);
  const void* sliceOf(const Product& product, int64_t row, int64_t rows, Stream& stream);

  WeightWorkspace sizes_;
  std::byte *slice_, *in_, *out_;
  Matmul matmul_;
  std::array<Upload, 2> uploads_;
  size_t turn_ = 0;  // which of them is next
  std::vector<std::unique_ptr<Weight>> weights_;
};

}  // namespace mlit::cuda
