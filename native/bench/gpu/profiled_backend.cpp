#include "bench/gpu/profiled_backend.h"

#include <cstring>

#include "bench/gpu/nvtx.h"

namespace mlit::bench {

namespace {

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Closed also where a call throws.
struct Range {
  explicit Range(const char* name) { openRange(name); }
  ~Range() { closeRange(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace

// So that a phase's or an op's time holds nothing of what came before.
void ProfiledBackend::settle() {
  if (mode_ == Mode::kTimes) inner_->synchronize();
}

void ProfiledBackend::phase(const char* name) {
  if (mode_ == Mode::kOff) return;
  settle();
  if (phase_ != nullptr) {
    closeRange();
    phases_[phase_] += secondsSince(phaseStart_);
  }
  phase_ = name;
  phaseStart_ = Clock::now();
  if (name != nullptr) openRange(name);
}

void ProfiledBackend::turn(const char* from, const char* to) {
  if (phase_ != nullptr && std::strcmp(phase_, from) == 0) phase(to);
}

void ProfiledBackend::runNamed(const char* op, const std::function<void()>& call) {
  const Range range(op);
  settle();
  const Clock::time_point start = Clock::now();
  call();
  settle();
  Spent& spent = ops_[op];
  ++spent.calls;
  spent.seconds += secondsSince(start);
}

}  // namespace mlit::bench
