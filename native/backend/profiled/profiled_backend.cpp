#include "backend/profiled/profiled_backend.h"

namespace mlit {

namespace {

double secondsBetween(std::chrono::steady_clock::time_point start, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace

// So that a phase's or an op's time holds nothing of what came before.
void ProfiledBackend::settle() {
  if (mode_ == Mode::kTimes) inner_->synchronize();
}

void ProfiledBackend::phase(const char* name) {
  if (mode_ == Mode::kOff) return;
  if (phase_ != nullptr) {
    endRange();
    const Clock::time_point now = Clock::now();
    PhaseSpent& spent = phases_[phase_];
    ++spent.calls;
    spent.seconds += secondsBetween(phaseStart_, now);
    if (phaseSpans_ < kMostSpans) {
      spans_.push_back({phase_, {}, true, phaseStart_, now});
      ++phaseSpans_;
    }
  } else {
    opsKept_ = spans_.size() < kMostSpans;
  }
  phase_ = name;
  phaseStart_ = Clock::now();
  if (name != nullptr) beginRange(name);
}

void ProfiledBackend::turn(std::string_view from, const char* to) {
  if (phase_ != nullptr && phase_ == from) phase(to);
}

void ProfiledBackend::runNamed(const char* op, const Weight* of, const Work& work, const std::function<void()>& call) {
  // Closed also where a call throws.
  struct Range {
    const ProfiledBackend& backend;
    ~Range() { backend.endRange(); }
  };
  beginRange(op);
  const Range range{*this};
  settle();
  const Clock::time_point start = Clock::now();
  call();
  settle();
  const Clock::time_point end = Clock::now();
  const std::string_view weight = of == nullptr ? std::string_view() : of->name;
  const int64_t out = of == nullptr ? 0 : of->shape.out, in = of == nullptr ? 0 : of->shape.in;
  Spent& spent = ops_[{phase_ == nullptr ? "" : phase_, op, weight, out, in}];
  ++spent.calls;
  spent.seconds += secondsBetween(start, end);
  spent.work += work;
  if (phase_ != nullptr && opsKept_) spans_.push_back({op, weight, false, start, end, work.rows, out, in});
}

std::vector<OpSpent> ProfiledBackend::ops() const {
  std::vector<OpSpent> all;
  for (const auto& [key, spent] : ops_) {
    const auto& [phase, op, weight, out, in] = key;
    all.push_back(
        {std::string(phase), std::string(op), std::string(weight), out, in, spent.calls, spent.seconds, spent.work});
  }
  return all;
}

void ProfiledBackend::forget() {
  ops_.clear(), phases_.clear(), spans_.clear();
  phaseSpans_ = 0;
}

WeightId ProfiledBackend::createWeight(int64_t out, int64_t in, WeightFormat format) {
  const WeightId weight = inner_->createWeight(out, in, format);
  const bool integers = format == WeightFormat::kI8Channel && inner_->integerProducts();
  weights_[weight.index] = {{out, in, static_cast<double>(inner_->weightBytes(out, in, format)), integers}, {}};
  return weight;
}

void ProfiledBackend::destroyWeight(WeightId weight) {
  inner_->destroyWeight(weight);
  weights_.erase(weight.index);
}

void ProfiledBackend::refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) {
  const Weight& of = weightAt(weight);
  const auto work = [&] { return Work{2 * floatBytes(count, of.shape.in), 0, 0, count}; };
  run(
      "refreshWeightRows", work, [&] { inner_->refreshWeightRows(weight, firstRow, count, rows); }, &of);
}

void ProfiledBackend::gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) {
  const Weight& of = weightAt(weight);
  const auto work = [&] { return Work{2 * floatBytes(n, of.shape.in), 0, 0, n}; };
  run(
      "gatherWeightRows", work, [&] { inner_->gatherWeightRows(weight, ids, n, scale, out); }, &of);
}

void ProfiledBackend::linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                                    std::span<const LoraGroup> groups, DevReal p) {
  const Weight& of = weightAt(weight);
  if (weight.index == head_.index) turn("forward", "loss");
  const auto work = [&] { return forwardWork(of.shape, x, rows, y, groups); };
  run(
      "linearForward", work, [&] { inner_->linearForward(weight, x, ldx, rows, y, ldy, groups, p); }, &of);
}

void ProfiledBackend::linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                                   std::span<const LoraGroup> groups, DevReal p) {
  const Weight& of = weightAt(weight);
  const auto work = [&] { return forwardWork(of.shape, x, rows, y, groups); };
  run(
      "linearSample", work, [&] { inner_->linearSample(weight, x, ldx, rows, y, ldy, groups, p); }, &of);
}

void ProfiledBackend::linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy,
                                     int64_t lddy, DevReal dx, int64_t lddx, bool accumulate,
                                     std::span<const LoraGroup> groups, DevReal p, DevReal u) {
  const Weight& of = weightAt(weight);
  if (weight.index != head_.index) turn("loss", "backward");
  const auto work = [&] { return backwardWork(of.shape, x, rows, dy, dx, accumulate, groups); };
  const auto call = [&] { inner_->linearBackward(weight, x, ldx, rows, dy, lddy, dx, lddx, accumulate, groups, p, u); };
  run("linearBackward", work, call, &of);
}

void ProfiledBackend::headLoss(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstI32 targets,
                               DevConstF32 weights, DevF32 logprobs, DevReal dx, int64_t lddx,
                               DevicePtr<std::byte> scratch) {
  const Weight& of = weightAt(weight);
  turn("forward", "loss");
  const auto work = [&] { return headLossWork(of.shape, x, rows, dx); };
  const auto call = [&] { inner_->headLoss(weight, x, ldx, rows, targets, weights, logprobs, dx, lddx, scratch); };
  run("headLoss", work, call, &of);
}

void ProfiledBackend::weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy,
                                     int64_t out, int64_t in, DevF32 dW) {
  Weight of{{out, in, 0, false}, {}};
  for (const auto& [index, weight] : weights_) {
    if (weight.shape.out == out && weight.shape.in == in && !weight.name.empty()) of.name = weight.name;
  }
  const auto work = [&] {
    const double bytes = bytesOf(x, rows, in) + bytesOf(dy, rows, out) + 2 * floatBytes(out, in);
    return Work{bytes, 2 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in), 0, rows};
  };
  run(
      "weightGradient", work, [&] { inner_->weightGradient(x, ldx, rows, dy, lddy, out, in, dW); }, &of);
}

// The final norm is the head's.
void ProfiledBackend::rmsNormForward(DevConstReal x, HeadRows rows, DevConstF32 weight, float eps, DevReal y,
                                     int64_t ldy, DevConstF32 addTo, DevF32 invRms) {
  if (weight.raw() == finalNorm_.raw()) turn("forward", "loss");
  const auto work = [&] {
    const double added = addTo ? floatBytes(rows.rows, int64_t{rows.heads} * rows.dim) : 0;
    return Work{bytesOf(x, rows) + bytesOf(y, rows) + added, 0, 0, rows.rows};
  };
  run("rmsNormForward", work, [&] { inner_->rmsNormForward(x, rows, weight, eps, y, ldy, addTo, invRms); });
}

void ProfiledBackend::rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 weight,
                                      DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) {
  if (weight.raw() != finalNorm_.raw()) turn("loss", "backward");
  const auto work = [&] {
    const double written = (accumulate ? 2 : 1) * bytesOf(dx, rows);
    return Work{bytesOf(dy, rows) + bytesOf(x, rows) + written, 0, 0, rows.rows};
  };
  const auto call = [&] { inner_->rmsNormBackward(dy, lddy, x, rows, weight, invRms, dx, lddx, accumulate); };
  run("rmsNormBackward", work, call);
}

}  // namespace mlit
