// A backend around another that names what runs and says how long it took: each op by its arguments, and the phases of a step that ops
// are in. The backend below does the very same with it as without. Where nothing is asked for it only passes calls on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/profiled/work.h"

namespace mlit {

// What was spent in ops of one name, in one phase, on one weight (or weights alike).
struct OpSpent {
  std::string phase, op, weight;  // phase and weight may be empty
  int64_t out = 0, in = 0;        // of a product's matrix
  int64_t calls = 0;
  double seconds = 0;
  Work work;
};

struct PhaseSpent {
  int64_t calls = 0;
  double seconds = 0;
};

// One op, or one phase, in time.
struct Span {
  std::string_view name, weight;  // weight: of ops on one
  bool isPhase = false;
  std::chrono::steady_clock::time_point start, end;
  int64_t rows = 0, out = 0, in = 0;
};

class ProfiledBackend final : public Backend {
 public:
  explicit ProfiledBackend(std::shared_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // kTimes waits for the device behind each op, so that times are its own.
  enum class Mode { kOff, kRanges, kTimes };
  void profile(Mode mode) { mode_ = mode; }
  // Called around phases and ops, for a profiler that looks on.
  void watchRanges(void (*open)(const char* name), void (*close)()) { openRange_ = open, closeRange_ = close; }
  // Phases turn by themselves where the head's work begins and ends: of "forward" to "loss" and of that to "backward".
  void watchHead(WeightId head, DevConstF32 finalNorm) { head_ = head, finalNorm_ = finalNorm; }
  // name, as every name here, is a literal.
  void nameWeight(WeightId weight, const char* name) { weights_[weight.index].name = name; }
  // The phase that begins now, null: none. Calls that a phase of its own begins with count.
  void phase(const char* name);

  std::vector<OpSpent> ops() const;
  const std::map<std::string, PhaseSpent>& phases() const { return phases_; }
  // In the order of their ends. Ops are kept of phases that begin while there are fewer than kMostSpans, phases up to as many again.
  static constexpr size_t kMostSpans = 20000;
  const std::vector<Span>& spans() const { return spans_; }
  void forget();

  std::string name() const override { return inner_->name(); }
  std::string description() const override { return inner_->description(); }
  ElementType activationType() const override { return inner_->activationType(); }
  size_t fixedBytes() const override { return inner_->fixedBytes(); }
  size_t logitsBytes() const override { return inner_->logitsBytes(); }
  int64_t deviceBytes() const override { return inner_->deviceBytes(); }
  bool integerProducts() const override { return inner_->integerProducts(); }
  size_t productBytes(int64_t rows, int64_t width) const override { return inner_->productBytes(rows, width); }
  size_t headLossBytes(int64_t rows, int64_t out, int64_t in, WeightFormat format) const override {
    return inner_->headLossBytes(rows, out, in, format);
  }
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return inner_->weightBytes(out, in, format);
  }
  DevicePtr<std::byte> allocate(size_t bytes) override { return inner_->allocate(bytes); }
  void release(DevicePtr<std::byte> memory, size_t bytes) override { inner_->release(memory, bytes); }
  void watchCancel(const std::atomic<bool>* flag) override { inner_->watchCancel(flag); }
  // What runs as a whole has no times inside it.
  void repeated(const std::function<void()>& ops) override { mode_ == Mode::kTimes ? ops() : inner_->repeated(ops); }
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override;
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override {
    inner_->setWeightRows(weight, firstRow, count, host);
  }
  void destroyWeight(WeightId weight) override;
  void watchColumns(bool watch) override { inner_->watchColumns(watch); }
  bool chooseColumns(WeightId weight) override { return inner_->chooseColumns(weight); }
  RoundingError roundingError(WeightId weight) override { return inner_->roundingError(weight); }

  // work: what follows the name, of the arguments.
#define MLIT_OP(op, parameters, arguments, ...)                                     \
  void op parameters override {                                                     \
    run(                                                                            \
        #op, [&]() -> Work { return __VA_ARGS__; }, [&] { inner_->op arguments; }); \
  }
  MLIT_OP(upload, (DevicePtr<std::byte> to, const void* from, size_t bytes), (to, from, bytes),
          {static_cast<double>(bytes), 0, 0, 0})
  MLIT_OP(download, (void* to, DevicePtr<const std::byte> from, size_t bytes), (to, from, bytes),
          {static_cast<double>(bytes), 0, 0, 0})
  MLIT_OP(zero, (DevicePtr<std::byte> at, size_t bytes), (at, bytes), {static_cast<double>(bytes), 0, 0, 0})
  MLIT_OP(copy, (DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes), (to, from, bytes),
          {2 * static_cast<double>(bytes), 0, 0, 0})
  MLIT_OP(synchronize, (), (), {})
  MLIT_OP(rmsNormWeightGradient,
          (DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 invRms, DevF32 dWeight),
          (dy, lddy, x, rows, invRms, dWeight), {bytesOf(dy, rows) + bytesOf(x, rows), 0, 0, rows.rows})
  MLIT_OP(biasGradient, (DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias),
          (dy, lddy, rows, n, dBias), {bytesOf(dy, rows, n), 0, 0, rows})
  MLIT_OP(gatherGradient, (DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float by, DevF32 dTable),
          (dy, ids, n, d, by, dTable), {3 * floatBytes(n, d), 0, 0, n})
  MLIT_OP(rope, (DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction),
          (x, rows, positions, table, direction), {2 * bytesOf(x, rows), 0, 0, rows.rows})
  MLIT_OP(gatedForward, (GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h),
          (act, gateUp, rows, f, h), {bytesOf(gateUp, rows, 2 * f) + bytesOf(h, rows, f), 0, 0, rows})
  MLIT_OP(gatedBackward, (GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h),
          (act, gateUp, rows, f, dh, h),
          {bytesOf(gateUp, rows, 4 * f) + bytesOf(dh, rows, f) + bytesOf(h, rows, f), 0, 0, rows})
  MLIT_OP(add, (DevF32 y, DevConstReal x, int64_t n), (y, x, n), {2 * floatBytes(n) + bytesOf(x, n, 1), 0, 0, 0})
  MLIT_OP(addToRows, (DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n), (y, ldy, rows, x, n),
          {2 * bytesOf(y, rows, n), 0, 0, rows})
  MLIT_OP(scale, (DevF32 y, float factor, int64_t n), (y, factor, n), {2 * floatBytes(n), 0, 0, 0})
  MLIT_OP(attentionForward,
          (const AttentionShape& shape, std::span<const int32_t> ends, DevConstReal q, int64_t ldq, DevConstReal k,
           DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo, DevF32 lse),
          (shape, ends, q, ldq, k, v, ldkv, out, ldo, lse), attentionWork(shape, ends, 2))
  MLIT_OP(attentionBackward,
          (const AttentionShape& shape, std::span<const int32_t> ends, DevConstReal q, int64_t ldq, DevConstReal k,
           DevConstReal v, int64_t ldkv, DevConstReal out, DevConstReal dout, int64_t ldo, DevConstF32 lse,
           DevF32 delta, DevReal dq, int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv),
          (shape, ends, q, ldq, k, v, ldkv, out, dout, ldo, lse, delta, dq, lddq, dk, dv, lddkv),
          attentionWork(shape, ends, 4))
  MLIT_OP(kvStore,
          (const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows, DevConstI32 pages,
           DevConstI32 slots, DevReal pool),
          (shape, k, v, ldkv, rows, pages, slots, pool),
          {4 * bytesOf(k, rows, int64_t{shape.kvHeads} * shape.headDim), 0, 0, rows})
  // Which keys its rows see is on the device, and not known here.
  MLIT_OP(attentionCached,
          (const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
           DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool, DevReal out,
           int64_t ldo),
          (shape, q, ldq, rows, positions, rowTables, pageTables, maxPosition, pool, out, ldo), {0, 0, 0, rows})
  MLIT_OP(gatherRows, (DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out),
          (x, ldx, rows, n, d, out), {bytesOf(x, n, d) + bytesOf(out, n, d), 0, 0, n})
  MLIT_OP(scatterRows,
          (DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx, bool accumulate),
          (in, rows, n, d, x, ldx, accumulate), {bytesOf(in, n, d) + (accumulate ? 2 : 1) * bytesOf(x, n, d), 0, 0, n})
  MLIT_OP(crossEntropy,
          (DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights, DevF32 logprobs),
          (logits, n, vocabulary, targets, weights, logprobs), {(weights ? 2 : 1) * floatBytes(n, vocabulary), 0, 0, n})
  MLIT_OP(sampleRows,
          (DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
           DevI32 tokens, DevF32 logprobs),
          (logits, n, vocabulary, usable, params, tokens, logprobs), {floatBytes(n, vocabulary), 0, 0, n})
  MLIT_OP(sumSquares, (DevConstF32 x, int64_t n, DevF32 out), (x, n, out), {floatBytes(n), 0, 0, 0})
  MLIT_OP(adamW,
          (DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 squares,
           const AdamWParams& params),
          (parameters, gradients, m, v, n, squares, params), {7 * floatBytes(n), 0, 0, 0})
#undef MLIT_OP

  void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) override;
  void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) override;
  void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                     std::span<const LoraGroup> groups, DevReal p) override;
  void linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                    std::span<const LoraGroup> groups, DevReal p) override;
  void linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy,
                      DevReal dx, int64_t lddx, bool accumulate, std::span<const LoraGroup> groups, DevReal p,
                      DevReal u) override;
  void headLoss(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstI32 targets, DevConstF32 weights,
                DevF32 logprobs, DevReal dx, int64_t lddx, DevicePtr<std::byte> scratch) override;
  void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
                      DevF32 dW) override;
  void rmsNormForward(DevConstReal x, HeadRows rows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                      DevConstF32 addTo, DevF32 invRms) override;
  void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 weight,
                       DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Weight {
    WeightShape shape;
    std::string_view name;
  };
  struct Spent {
    int64_t calls = 0;
    double seconds = 0;
    Work work;
  };
  using Key = std::tuple<std::string_view, std::string_view, std::string_view, int64_t, int64_t>;

  template <class Asked, class Call>
  void run(const char* op, const Asked& work, const Call& call, const Weight* of = nullptr) {
    if (mode_ == Mode::kOff) return call();
    runNamed(op, of, work(), call);
  }
  void runNamed(const char* op, const Weight* of, const Work& work, const std::function<void()>& call);
  const Weight& weightAt(WeightId weight) const { return weights_.at(weight.index); }
  void turn(std::string_view from, const char* to);  // into the next phase, where that one is on
  void settle();
  void beginRange(const char* name) const {
    if (openRange_ != nullptr) openRange_(name);
  }
  void endRange() const {
    if (closeRange_ != nullptr) closeRange_();
  }

  std::shared_ptr<Backend> inner_;
  Mode mode_ = Mode::kOff;
  void (*openRange_)(const char*) = nullptr;
  void (*closeRange_)() = nullptr;
  WeightId head_;
  DevConstF32 finalNorm_;
  std::map<int32_t, Weight> weights_;
  const char* phase_ = nullptr;
  Clock::time_point phaseStart_;
  bool opsKept_ = true;  // of this phase, as spans
  size_t phaseSpans_ = 0;
  std::map<Key, Spent> ops_;
  std::map<std::string, PhaseSpent> phases_;
  std::vector<Span> spans_;
};

// A phase for as long as it lives; nothing without a backend.
class PhaseScope {
 public:
  PhaseScope(ProfiledBackend* backend, const char* name) : backend_(backend) {
    if (backend_ != nullptr) backend_->phase(name);
  }
  ~PhaseScope() {
    if (backend_ != nullptr) backend_->phase(nullptr);
  }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  ProfiledBackend* backend_;
};

}  // namespace mlit
