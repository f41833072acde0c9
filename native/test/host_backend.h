// A backend that is as unlike the CPU's as the contract allows, to show which code only works by the CPU's kindness: its
// addresses are mapped nowhere, nothing happens before synchronize(), uploads are read and downloads delivered only
// then, outputs are NaN until written, and every pointer must lie inside one live allocation.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace mlit::test {

class HostBackend final : public Backend {
 public:
  // deviceBytes: what it says of its memory.
  explicit HostBackend(std::unique_ptr<Backend> inner, int64_t deviceBytes = -1)
      : inner_(std::move(inner)), deviceBytes_(deviceBytes) {}
  ~HostBackend() override;

  std::string name() const override { return "host"; }
  std::string description() const override { return "queued, over " + inner_->description(); }
  ElementType activationType() const override { return inner_->activationType(); }
  size_t fixedBytes() const override { return inner_->fixedBytes(); }
  int64_t deviceBytes() const override { return deviceBytes_; }
  size_t pendingOps() const { return queue_.size(); }
  size_t liveBytes() const {
    size_t bytes = 0;
    for (const auto& [address, allocation] : allocations_) bytes += allocation.bytes;
    return bytes;
  }
  uint64_t allocationMark() const { return nextAddress_; }  // moves with every allocation

  DevicePtr<std::byte> allocate(size_t bytes) override;
  void release(DevicePtr<std::byte> memory, size_t bytes) override;
  void upload(DevicePtr<std::byte> to, const void* from, size_t bytes) override;
  void download(void* to, DevicePtr<const std::byte> from, size_t bytes) override;
  void zero(DevicePtr<std::byte> at, size_t bytes) override;
  void copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) override;
  void synchronize() override;
  void watchCancel(const std::atomic<bool>* flag) override {
    if (flag != nullptr) synchronize();
    inner_->watchCancel(flag);
  }
  // Makes flag true just before the op that comes after `ops` others, which may find it so.
  void setAfter(int64_t ops, std::atomic<bool>* flag) { opsLeft_ = ops, flagToSet_ = flag; }
  int64_t opsRun() const { return opsRun_; }

  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return inner_->weightBytes(out, in, format);
  }
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override;
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override;
  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) override;
  void destroyWeight(WeightId weight) override;
  void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) override;

  void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
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
  struct Allocation {
    std::byte* memory;
    size_t bytes;
  };
  struct Weight {
    int64_t out, in;
  };
  // Real memory behind a pointer, and how much of its allocation follows.
  struct Place {
    std::byte* memory = nullptr;
    size_t bytes = 0;
  };
  // Groups with pointers to real memory, kept alive for as long as the op waits.
  struct Groups {
    std::vector<std::vector<LoraSegment>> segments;
    std::vector<LoraGroup> groups;
    int64_t rank = 0;  // the largest rankTotal
  };

  Place place(const void* address, const char* what) const;
  // rows x width elements with leading dimension ld, all inside one allocation; null stays null where optional.
  template <class T>
  DevicePtr<T> matrix(DevicePtr<T> at, int64_t rows, int64_t ld, int64_t width, const char* what,
                      bool optional = false) const;
  template <class T>
  DevicePtr<T> array(DevicePtr<T> at, int64_t n, const char* what, bool optional = false) const {
    return matrix(at, 1, n, n, what, optional);
  }
  template <bool kConst>
  RealPtr<kConst> matrix(RealPtr<kConst> at, int64_t rows, int64_t ld, int64_t width, const char* what,
                         bool optional = false) const;
  template <bool kConst>
  RealPtr<kConst> array(RealPtr<kConst> at, int64_t n, const char* what, bool optional = false) const {
    return matrix(at, 1, n, n, what, optional);
  }
  // Elements from `at` to the end of its allocation.
  int64_t elementsFrom(DevConstReal at, const char* what) const {
    return static_cast<int64_t>(place(at.bytes().raw(), what).bytes) / elementBytes(at.type());
  }
  const Weight& weightAt(WeightId weight) const;
  std::shared_ptr<Groups> realGroups(std::span<const LoraGroup> groups, int64_t rows, int64_t out, int64_t in) const;
  void freeReleased();
  void enqueue(std::function<void()> op) { queue_.push_back(std::move(op)); }

  std::unique_ptr<Backend> inner_;
  int64_t deviceBytes_;
  std::map<uint64_t, Allocation> allocations_;  // by address, live ones only
  std::vector<Allocation> released_;            // freed when the ops that wait have run
  std::map<int32_t, Weight> weights_;
  std::vector<std::function<void()>> queue_;
  int64_t opsRun_ = 0;
  int64_t opsLeft_ = -1;
  std::atomic<bool>* flagToSet_ = nullptr;
  uint64_t nextAddress_ = uint64_t{1} << 54;  // no process has memory there; never used twice
};

}  // namespace mlit::test
