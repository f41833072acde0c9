// A card as a Backend: every op is a launcher of kernels/ or a product, enqueued on one stream. What an op has to tell a kernel
// beyond numbers goes through page-locked memory, so that no op waits for the device. Each group of methods lives in the file
// its comment names.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/backend/inbox.h"
#include "backend/cuda/backend/repeated.h"
#include "backend/cuda/cublaslt_api.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/staging.h"
#include "backend/cuda/weights.h"

namespace mlit::cuda {

// Device memory with an owner.
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) : bytes_(bytes), at_(static_cast<std::byte*>(cuda::allocate(bytes))) {}
  ~DeviceMemory() { cuda::release(at_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* at() const { return at_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  std::byte* at_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, const CublasLtApi& cublasLt);
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  // memory.cpp
  std::string name() const override;
  std::string description() const override;
  ElementType activationType() const override { return kActivationType; }
  size_t fixedBytes() const override;
  size_t logitsBytes() const override;
  int64_t deviceBytes() const override;
  DevicePtr<std::byte> allocate(size_t bytes) override;
  void release(DevicePtr<std::byte> memory, size_t bytes) override;
  void upload(DevicePtr<std::byte> to, const void* from, size_t bytes) override;
  void download(void* to, DevicePtr<const std::byte> from, size_t bytes) override;
  void zero(DevicePtr<std::byte> at, size_t bytes) override;
  void copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) override;
  void synchronize() override;
  void watchCancel(const std::atomic<bool>* flag) override;
  void repeated(const std::function<void()>& ops) override;

  // linear.cpp
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override;
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override;
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override;
  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) override;
  void destroyWeight(WeightId weight) override;
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

  // rows.cpp
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
  void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) override;
  void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                   bool accumulate) override;
  void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                    DevF32 logprobs) override;
  void sumSquares(DevConstF32 x, int64_t n, DevF32 out) override;
  void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
             const AdamWParams& params) override;

  // sequences.cpp
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
  void sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
                  DevI32 tokens, DevF32 logprobs) override;

 private:
  // The stream of an op that is about to be enqueued; throws kCancelled instead where that was asked for.
  Stream& next();
  // linear.cpp: y += what the groups' adapters make of x.
  void addAdapters(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                   std::span<const LoraGroup> groups, DevReal p);
  [[noreturn]] void cancel();
  // Where work throws, nothing that was asked for before is delivered later: its place may be gone when the caller has seen the error.
  void orForget(const std::function<void()>& work);
  // The workspace, for an op that wants so much of it.
  DevicePtr<std::byte> workspace(size_t bytes);
  // Where cuSeqlens stands on the device. What is there already is not sent again: layers ask for the same.
  DevConstI32 lengths(std::span<const int32_t> cuSeqlens);
  // So much of what sampling is told, sent to device memory of its own, and ahead of ops that are written down and read it later.
  DevicePtr<const std::byte> sentAhead(const void* from, size_t bytes);

  // The thread's device is this one from here on: another backend may have had its turn in between.
  struct OnDevice {
    explicit OnDevice(int which) : device(which) { here(); }
    void here() const { setDevice(device); }
    void hereIfAlive() const noexcept;  // for what destructors call
    int device;
  };

  OnDevice on_;  // all that follows is allocated there
  DeviceProperties card_;
  Stream stream_;
  Event reached_;
  DeviceMemory workspace_;  // of whatever op runs: ops of one stream take turns
  DeviceMemory lengthsRoom_;
  std::vector<int32_t> lengthsThere_;
  DeviceMemory aheadRoom_;
  size_t aheadUsed_ = 0;  // by the ops that are being written down
  RepeatedWork repeated_;
  DeviceMemory inboxRoom_;
  Inbox inbox_;
  bool busy_ = false;  // ops were enqueued that nobody has waited for
  Staging staging_;
  CudaWeights weights_;
  const std::atomic<bool>* cancelled_ = nullptr;
};

}  // namespace mlit::cuda
