// A backend around another that names what runs: a range for each phase of a step and for each op, and, on request, each op's time
// by waiting for the device behind it. Where nothing is asked for it only passes calls on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "backend/backend.h"

namespace mlit::bench {

class ProfiledBackend final : public Backend {
 public:
  explicit ProfiledBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  enum class Mode { kOff, kRanges, kTimes };
  void profile(Mode mode) { mode_ = mode; }
  // The phase that begins now, null: none. "forward" turns into "loss" with the head's product, and that into "backward".
  void phase(const char* name);
  void watchHead(WeightId head) { head_ = head; }

  struct Spent {
    int64_t calls = 0;
    double seconds = 0;
  };
  const std::map<std::string, Spent>& ops() const { return ops_; }
  const std::map<std::string, double>& phases() const { return phases_; }
  void forget() { ops_.clear(), phases_.clear(); }

  std::string name() const override { return inner_->name(); }
  std::string description() const override { return inner_->description(); }
  ElementType activationType() const override { return inner_->activationType(); }
  size_t fixedBytes() const override { return inner_->fixedBytes(); }
  size_t logitsBytes() const override { return inner_->logitsBytes(); }
  int64_t deviceBytes() const override { return inner_->deviceBytes(); }
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return inner_->weightBytes(out, in, format);
  }
  DevicePtr<std::byte> allocate(size_t bytes) override { return inner_->allocate(bytes); }
  void release(DevicePtr<std::byte> memory, size_t bytes) override { inner_->release(memory, bytes); }
  void watchCancel(const std::atomic<bool>* flag) override { inner_->watchCancel(flag); }
  // A graph has no times inside it.
  void repeated(const std::function<void()>& ops) override { mode_ == Mode::kTimes ? ops() : inner_->repeated(ops); }
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override {
    return inner_->createWeight(out, in, format);
  }
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override {
    inner_->setWeightRows(weight, firstRow, count, host);
  }
  void destroyWeight(WeightId weight) override { inner_->destroyWeight(weight); }

#define MLIT_OP(op, parameters, arguments)   \
  void op parameters override {              \
    run(#op, [&] { inner_->op arguments; }); \
  }
  MLIT_OP(upload, (DevicePtr<std::byte> to, const void* from, size_t bytes), (to, from, bytes))
  MLIT_OP(download, (void* to, DevicePtr<const std::byte> from, size_t bytes), (to, from, bytes))
  MLIT_OP(zero, (DevicePtr<std::byte> at, size_t bytes), (at, bytes))
  MLIT_OP(copy, (DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes), (to, from, bytes))
  MLIT_OP(synchronize, (), ())
  MLIT_OP(refreshWeightRows, (WeightId w, int64_t first, int64_t count, DevConstF32 rows), (w, first, count, rows))
  MLIT_OP(gatherWeightRows, (WeightId w, DevConstI32 ids, int64_t n, float by, DevF32 out), (w, ids, n, by, out))
  MLIT_OP(linearSample,
          (WeightId w, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy, std::span<const LoraGroup> g,
           DevReal p),
          (w, x, ldx, rows, y, ldy, g, p))
  MLIT_OP(linearBackward,
          (WeightId w, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, DevReal dx,
           int64_t lddx, bool accumulate, std::span<const LoraGroup> g, DevReal p, DevReal u),
          (w, x, ldx, rows, dy, lddy, dx, lddx, accumulate, g, p, u))
  MLIT_OP(weightGradient,
          (DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
           DevF32 dW),
          (x, ldx, rows, dy, lddy, out, in, dW))
  MLIT_OP(rmsNormWeightGradient,
          (DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 invRms, DevF32 dWeight),
          (dy, lddy, x, rows, invRms, dWeight))
  MLIT_OP(biasGradient, (DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias),
          (dy, lddy, rows, n, dBias))
  MLIT_OP(gatherGradient, (DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float by, DevF32 dTable),
          (dy, ids, n, d, by, dTable))
  MLIT_OP(rmsNormForward,
          (DevConstReal x, HeadRows rows, DevConstF32 weight, float eps, DevReal y, int64_t ldy, DevConstF32 addTo,
           DevF32 invRms),
          (x, rows, weight, eps, y, ldy, addTo, invRms))
  MLIT_OP(rope, (DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction),
          (x, rows, positions, table, direction))
  MLIT_OP(gatedForward, (GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h),
          (act, gateUp, rows, f, h))
  MLIT_OP(gatedBackward, (GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h),
          (act, gateUp, rows, f, dh, h))
  MLIT_OP(add, (DevF32 y, DevConstReal x, int64_t n), (y, x, n))
  MLIT_OP(addToRows, (DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n), (y, ldy, rows, x, n))
  MLIT_OP(scale, (DevF32 y, float factor, int64_t n), (y, factor, n))
  MLIT_OP(attentionForward,
          (const AttentionShape& shape, std::span<const int32_t> ends, DevConstReal q, int64_t ldq, DevConstReal k,
           DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo, DevF32 lse),
          (shape, ends, q, ldq, k, v, ldkv, out, ldo, lse))
  MLIT_OP(attentionBackward,
          (const AttentionShape& shape, std::span<const int32_t> ends, DevConstReal q, int64_t ldq, DevConstReal k,
           DevConstReal v, int64_t ldkv, DevConstReal out, DevConstReal dout, int64_t ldo, DevConstF32 lse,
           DevF32 delta, DevReal dq, int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv),
          (shape, ends, q, ldq, k, v, ldkv, out, dout, ldo, lse, delta, dq, lddq, dk, dv, lddkv))
  MLIT_OP(kvStore,
          (const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows, DevConstI32 pages,
           DevConstI32 slots, DevReal pool),
          (shape, k, v, ldkv, rows, pages, slots, pool))
  MLIT_OP(attentionCached,
          (const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
           DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool, DevReal out,
           int64_t ldo),
          (shape, q, ldq, rows, positions, rowTables, pageTables, maxPosition, pool, out, ldo))
  MLIT_OP(gatherRows, (DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out),
          (x, ldx, rows, n, d, out))
  MLIT_OP(scatterRows,
          (DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx, bool accumulate),
          (in, rows, n, d, x, ldx, accumulate))
  MLIT_OP(crossEntropy,
          (DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights, DevF32 logprobs),
          (logits, n, vocabulary, targets, weights, logprobs))
  MLIT_OP(sampleRows,
          (DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
           DevI32 tokens, DevF32 logprobs),
          (logits, n, vocabulary, usable, params, tokens, logprobs))
  MLIT_OP(sumSquares, (DevConstF32 x, int64_t n, DevF32 out), (x, n, out))
  MLIT_OP(adamW,
          (DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 squares,
           const AdamWParams& params),
          (parameters, gradients, m, v, n, squares, params))
#undef MLIT_OP
  // The two that a phase begins with.
  void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                     std::span<const LoraGroup> groups, DevReal p) override {
    if (weight.index == head_.index) turn("forward", "loss");
    run("linearForward", [&] { inner_->linearForward(weight, x, ldx, rows, y, ldy, groups, p); });
  }
  void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 weight,
                       DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) override {
    turn("loss", "backward");
    run("rmsNormBackward", [&] { inner_->rmsNormBackward(dy, lddy, x, rows, weight, invRms, dx, lddx, accumulate); });
  }

 private:
  using Clock = std::chrono::steady_clock;

  template <class Call>
  void run(const char* op, const Call& call) {
    if (mode_ == Mode::kOff) return call();
    runNamed(op, call);
  }
  void runNamed(const char* op, const std::function<void()>& call);
  void turn(const char* from, const char* to);  // into the next phase, where that one is on
  void settle();

  std::unique_ptr<Backend> inner_;
  Mode mode_ = Mode::kOff;
  WeightId head_;
  const char* phase_ = nullptr;
  Clock::time_point phaseStart_;
  std::map<std::string, Spent> ops_;
  std::map<std::string, double> phases_;
};

}  // namespace mlit::bench
