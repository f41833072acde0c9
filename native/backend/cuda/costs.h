// A card that computes nothing and keeps the books: each op of backend.h says what it moves through the card's memory, what its tensor cores
// do and in how many launches, as functions of its arguments. Model, training and sampling run on it as they are, so what a
// step comes to follows from the code that runs it, for shapes that no emulator and no machine without a card could run.
// Held to the emulator's counts op by op (emulation/test/costs_test.cpp).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace mlit::cuda {

// Of bytes, each counts once an op however often its kernels touch it: caches lose nothing within one launch.
struct Cost {
  double readBytes = 0, writtenBytes = 0;
  double tensorFlops = 0;  // of mma and of cuBLASLt, with what tiles pad
  int64_t launches = 0;    // copies and fills are none

  double bytes() const { return readBytes + writtenBytes; }
  Cost& operator+=(const Cost& other);
};

class CostBackend final : public Backend {
 public:
  // By backend.h's name of the op; what adapters add, and products with float32 weights, have names of their own.
  const std::map<std::string, Cost>& costs() const { return costs_; }
  int64_t waits() const { return waits_; }  // of the host, for the device
  void forget() { costs_.clear(), waits_ = 0; }

  std::string name() const override { return "costs"; }
  std::string description() const override { return "a card that only counts"; }
  ElementType activationType() const override;
  size_t fixedBytes() const override;
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override;
  int64_t deviceBytes() const override { return -1; }

  DevicePtr<std::byte> allocate(size_t bytes) override;
  void release(DevicePtr<std::byte>, size_t) override {}
  void upload(DevicePtr<std::byte> to, const void* from, size_t bytes) override;
  void download(void* to, DevicePtr<const std::byte> from, size_t bytes) override;
  void zero(DevicePtr<std::byte> at, size_t bytes) override;
  void copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) override;
  void synchronize() override { ++waits_; }
  void watchCancel(const std::atomic<bool>*) override {}

  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override;
  void setWeightRows(WeightId, int64_t, int64_t, const float*) override {}
  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) override;
  void destroyWeight(WeightId) override {}
  void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) override;
  void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                     std::span<const LoraGroup> groups, DevReal p) override;
  void linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                    std::span<const LoraGroup> groups, DevReal p) override;
  void linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy,
                      DevReal dx, int64_t lddx, bool accumulate, std::span<const LoraGroup> groups, DevReal p,
                      DevReal u) override;
  void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
                      DevF32 dW) override;
  void rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 invRms,
                             DevF32 dWeight) override;
  void biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) override;
  void gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) override;
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
  void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) override;
  void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                   bool accumulate) override;
  void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                    DevF32 logprobs) override;
  void sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
                  DevI32 tokens, DevF32 logprobs) override;
  void sumSquares(DevConstF32 x, int64_t n, DevF32 out) override;
  void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
             const AdamWParams& params) override;

 private:
  struct Weight {
    int64_t out, in;
    WeightFormat format;
  };
  const Weight& weightAt(WeightId weight) const { return weights_[static_cast<size_t>(weight.index)]; }
  double elementsOf(WeightId weight) const;
  double bytesOf(WeightId weight) const;
  Cost baseProduct(WeightId weight, DevConstReal x, DevReal y, int64_t rows, bool forward, bool accumulate) const;
  void addAdapters(WeightId weight, DevConstReal x, DevReal y, std::span<const LoraGroup> groups);
  void note(const char* op, const Cost& cost) { costs_[op] += cost; }
  // What was uploaded there last: positions and tables decide what attention reads.
  std::span<const int32_t> integersAt(DevConstI32 at, int64_t n) const;
  int64_t differentAt(DevConstI32 at, int64_t n) const;  // of them; all where nothing is known

  std::map<std::string, Cost> costs_;
  std::vector<Weight> weights_;
  std::map<uintptr_t, std::vector<int32_t>> uploads_;
  uintptr_t nextAddress_ = uintptr_t{1} << 54;  // no process has memory there
  int64_t waits_ = 0;
};

}  // namespace mlit::cuda
