// The processor as a Backend: ops run at once on the caller's thread and the pool's, so "enqueued" and "done" are
// the same moment here. Each group of methods lives in the file its comment names.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "core/thread_pool.h"

namespace mlit {

struct CpuWeight;    // weights.h
struct RoundedRows;  // rounded_rows.h
struct Scratch;      // products.h

class CpuBackend final : public Backend {
 public:
  // Working memory of each thread, 64-byte aligned, for use inside one op.
  static constexpr size_t kThreadScratchBytes = size_t{2} << 20;

  // integers: products with kI8Channel weights are of integers.
  CpuBackend(int threads, const KernelTable& kernels, bool integers = false);
  ~CpuBackend() override;

  // dispatch.cpp
  std::string name() const override;
  std::string description() const override;
  ElementType activationType() const override { return ElementType::kF32; }
  size_t fixedBytes() const override;
  int64_t deviceBytes() const override { return -1; }
  bool integerProducts() const override { return integers_; }
  // Twice as many rows share each transposed block of the head's bytes: products of integers are done with it in half the time.
  size_t logitsBytes() const override { return (integers_ ? 2 : 1) * BackendSizes::logitsBytes(); }

  // memory.cpp
  DevicePtr<std::byte> allocate(size_t bytes) override;
  void release(DevicePtr<std::byte> memory, size_t bytes) override;
  void upload(DevicePtr<std::byte> to, const void* from, size_t bytes) override;
  void download(void* to, DevicePtr<const std::byte> from, size_t bytes) override;
  void zero(DevicePtr<std::byte> at, size_t bytes) override;
  void copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) override;
  void synchronize() override;
  void watchCancel(const std::atomic<bool>* flag) override;

  // weights.cpp
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override;
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override;
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override;
  RoundingError roundingError(WeightId weight) override;
  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) override;
  void destroyWeight(WeightId weight) override;
  void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) override;

  // kept_columns.cpp
  void watchColumns(bool watch) override;
  bool chooseColumns(WeightId weight) override;

  // rounded_rows.cpp
  size_t productBytes(int64_t rows, int64_t width) const override;

  // linear.cpp
  void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                     std::span<const LoraGroup> groups, DevReal p) override;
  void linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy,
                      DevReal dx, int64_t lddx, bool accumulate, std::span<const LoraGroup> groups, DevReal p,
                      DevReal u) override;

  // gradients.cpp
  void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
                      DevF32 dW) override;
  void rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 invRms,
                             DevF32 dWeight) override;
  void biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) override;
  void gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) override;

  // rows.cpp
  void rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                      DevConstF32 addTo, DevF32 invRms) override;
  void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                       DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) override;
  void rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) override;
  void gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) override;
  void gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h) override;
  void add(DevF32 y, DevConstReal x, int64_t n) override;
  void addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) override;
  void scale(DevF32 y, float factor, int64_t n) override;
  void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) override;
  void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                   bool accumulate) override;

  // attention.cpp
  void attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q, int64_t ldq,
                        DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo, DevF32 lse) override;
  void attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q, int64_t ldq,
                         DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out, DevConstReal dout, int64_t ldo,
                         DevConstF32 lse, DevF32 delta, DevReal dq, int64_t lddq, DevReal dk, DevReal dv,
                         int64_t lddkv) override;
  void kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
               DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool) override;
  void attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
                       DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool,
                       DevReal out, int64_t ldo) override;

  // head_loss.cpp
  size_t headLossBytes(int64_t rows, int64_t out, int64_t in, WeightFormat format) const override;
  void headLoss(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstI32 targets, DevConstF32 weights,
                DevF32 logprobs, DevReal dx, int64_t lddx, DevicePtr<std::byte> scratch) override;

  // loss.cpp
  void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                    DevF32 logprobs) override;

  // sampling.cpp
  void sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
                  DevI32 tokens, DevF32 logprobs) override;

  // optimizer.cpp
  void sumSquares(DevConstF32 x, int64_t n, DevF32 out) override;
  void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
             const AdamWParams& params) override;

 private:
  float* scratch(int thread) const { return scratch_[static_cast<size_t>(thread)].get(); }
  CpuWeight& weightAt(WeightId weight);
  static void noteColumns(CpuWeight& weight, const float* x, int64_t ldx, int64_t rows);
  // Rows of x for y = x·Wᵀ, and of dy for dx = dy·W; good until the next call.
  RoundedRows roundInputs(const CpuWeight& weight, const float* x, int64_t ldx, int64_t rows);
  RoundedRows roundGradients(const CpuWeight& weight, const float* dy, int64_t lddy, int64_t rows);
  RoundedRows roundedRows(int64_t rows, int64_t width);
  // dx = dy·W of rounded rows.
  void multiplyBackward(const CpuWeight& weight, const RoundedRows& dy, int64_t rows, float* dx, int64_t lddx);
  void keepColumns(const CpuWeight& weight, const float* dy, int64_t lddy, int64_t rows, float* to,
                   const Scratch& scratch) const;

  struct AlignedFree {
    void operator()(void* memory) const;
  };

  const KernelTable& kernels_;
  const DotKernels& dot_;
  ThreadPool pool_;
  std::vector<std::unique_ptr<float[], AlignedFree>> scratch_;  // one a thread
  std::vector<std::unique_ptr<CpuWeight>> weights_;
  bool integers_;
  bool watching_ = false;
  std::unique_ptr<std::byte, AlignedFree> rounded_;  // the rows of the product at hand
  size_t roundedBytes_ = 0;
};

}  // namespace mlit
