// From a row of logits to a token, in the order that transformers filters in: temperature, top-k, top-p, min-p. The
// filters come down to one threshold in the order (logit descending, id ascending), found by bisection and a short sort;
// then one draw over what is left, in the order of ids. A row's token depends on its logits, seed and position alone.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/loss.h"
#include "backend/cpu/kernels/sampling.h"
#include "core/draw.h"

namespace mlit {
namespace {

constexpr int64_t kCandidates = 4096;  // the longest list that is ever sorted
constexpr int64_t kMaximaBlock = 64;
constexpr int64_t kDrawBlock = 1024;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kAnyId = std::numeric_limits<int32_t>::max();

// Floats as integers in the same order, so that a bisection ends after 32 halvings whatever the values.
int32_t orderedBits(float x) {
  const int32_t bits = std::bit_cast<int32_t>(x == 0 ? 0.0f : x);
  return bits >= 0 ? bits : std::numeric_limits<int32_t>::min() - bits;
}

float floatOfOrdered(int32_t ordered) {
  return std::bit_cast<float>(ordered >= 0 ? ordered : std::numeric_limits<int32_t>::min() - ordered);
}

class RowSampler {
 public:
  RowSampler(const KernelTable& kernels, const float* row, int64_t usable, float* scratch)
      : kernels_(*kernels.sample), row_(row), usable_(usable), scratch_(scratch) {}

  int32_t choose(const SampleParams& params) {
    max_ = kernels_.maximum(row_, usable_);
    const int64_t best = kernels_.firstEqual(row_, usable_, max_);
    if (best < 0) return 0;  // no number in the row: the log-probability says so
    inverseTemperature_ = 1.0f / params.temperature;
    if (!(params.temperature > 0) || !std::isfinite(inverseTemperature_) || !std::isfinite(max_))
      return static_cast<int32_t>(best);

    cut_ = SampleCut{-kInfinity, kAnyId, std::min(params.minP, 1.0f)};
    if (params.topK > 0 && params.topK < usable_) applyTopK(params.topK);
    if (!(params.topP > 0)) return static_cast<int32_t>(best);
    if (params.topP < 1) applyTopP(static_cast<double>(params.topP));
    const int32_t token = draw(static_cast<double>(drawBits(params.seed, params.position)) * 0x1p-53);
    if (token < 0) return static_cast<int32_t>(best);
    return ids_ == nullptr ? token : ids_[token];
  }

 private:
  double mass(const SampleCut& cut) const {
    return kernels_.expSum(row_, usable_, 0, max_, inverseTemperature_, cut, nullptr);
  }
  static SampleCut from(float value) { return SampleCut{value, kAnyId, 0.0f}; }

  // Goes on with the tokens at or above low alone where they are few, in the order of their ids as before; from then on
  // positions in the list stand for ids.
  void narrow(float low) {
    if (ids_ != nullptr || kernels_.countBetween(row_, usable_, low, high()) > kCandidates) return;
    float* values = scratch_ + 3 * kCandidates;
    int32_t* ids = reinterpret_cast<int32_t*>(scratch_ + 4 * kCandidates);
    usable_ = kernels_.collect(row_, usable_, low, high(), values, ids, kCandidates);
    row_ = values;
    ids_ = ids;
  }

  float high() const { return std::nextafter(max_, kInfinity); }  // just above everything

  // Keeps the k largest logits and whatever ties with the k-th.
  void applyTopK(int64_t k) {
    // The k-th largest of the blocks' maxima has k elements at or above it.
    const int64_t blocks = (usable_ + kMaximaBlock - 1) / kMaximaBlock;
    float low = -kInfinity;
    if (k <= blocks && blocks <= static_cast<int64_t>(CpuBackend::kThreadScratchBytes / sizeof(float))) {
      kernels_.blockMaxima(row_, usable_, scratch_);
      std::nth_element(scratch_, scratch_ + (k - 1), scratch_ + blocks, std::greater<>());
      low = scratch_[k - 1];
    }
    // Elements at or above high are fewer than k; those at or above low are k or more.
    float high = this->high();
    int64_t above = 0;
    int64_t inside = kernels_.countBetween(row_, usable_, low, high);
    if (inside < k) return;  // NaN in the row: fewer than k numbers
    for (int step = 0; inside > kCandidates; ++step) {
      const float middle = between(low, high, step);
      if (!(middle > low)) break;
      const int64_t upper = kernels_.countBetween(row_, usable_, middle, high);
      if (above + upper >= k) {
        low = middle;
        inside = upper;
      } else {
        high = middle;
        above += upper;
        inside -= upper;
      }
    }
    if (inside > kCandidates) {  // nothing but ties
      cut_.value = low;
      return;
    }
    const int64_t count = collect(low, high);
    float* values = candidateValues();
    std::nth_element(values, values + (k - 1 - above), values + count, std::greater<>());
    cut_.value = values[k - 1 - above];
    narrow(cut_.value);
  }

  // Keeps a token while the mass before it, in order, is below topP of what top-k left.
  void applyTopP(double topP) {
    const double target = topP * mass(SampleCut{cut_.value, cut_.lastId, 0.0f});
    // Most distributions are steep: look first at what is within e^-6 of the best, then e^-12, e^-24.
    float low = cut_.value;
    for (const float distance : {6.0f, 12.0f, 24.0f}) {
      const float guess = max_ - distance / inverseTemperature_;
      if (!(guess > cut_.value)) break;
      if (mass(from(guess)) >= target) {
        low = guess;
        break;
      }
    }
    narrow(low);
    float high = this->high();
    double above = 0;
    int64_t inside = kernels_.countBetween(row_, usable_, low, high);
    for (int step = 0; inside > kCandidates; ++step) {
      const float middle = between(low, high, step);
      if (!(middle > low)) break;
      const double upper = mass(from(middle));
      if (upper >= target) {
        low = middle;
      } else {
        high = middle;
        above = upper;
      }
      inside = kernels_.countBetween(row_, usable_, low, high);
    }
    if (inside > kCandidates) {  // all of one value: they go in the order of ids
      double before = above;
      for (int64_t i = 0; i < usable_; ++i) {
        if (row_[i] != low) continue;
        cut_.value = low;
        cut_.lastId = static_cast<int32_t>(i);
        before += term(low);
        if (before >= target) return;
      }
      return;
    }
    const int64_t count = collect(low, high);
    const float* values = candidateValues();
    const int32_t* ids = candidateIds();
    int32_t* order = candidateOrder();
    for (int64_t i = 0; i < count; ++i) order[i] = static_cast<int32_t>(i);
    std::sort(order, order + count,
              [&](int32_t a, int32_t b) { return values[a] != values[b] ? values[a] > values[b] : ids[a] < ids[b]; });
    double before = above;
    for (int64_t i = 0; i < count; ++i) {
      cut_.value = values[order[i]];
      cut_.lastId = ids[order[i]];
      before += term(cut_.value);
      if (before >= target) return;
    }
  }

  // The first token, by id, at which the running mass passes u times the whole.
  int32_t draw(double u) {
    double* sums = reinterpret_cast<double*>(scratch_);
    float* terms = scratch_ + CpuBackend::kThreadScratchBytes / sizeof(float) - kDrawBlock;
    const int64_t blocks = (usable_ + kDrawBlock - 1) / kDrawBlock;
    const bool keepsSums =
        blocks <= static_cast<int64_t>((CpuBackend::kThreadScratchBytes - kDrawBlock * sizeof(float)) / sizeof(double));
    double total = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const double sum = blockMass(b, nullptr);
      if (keepsSums) sums[b] = sum;
      total += sum;
    }
    if (!(total > 0)) return -1;
    const double aim = u * total;
    double before = 0;  // the mass of all blocks before the chosen one
    int64_t chosen = -1;
    double chosenSum = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const double sum = keepsSums ? sums[b] : blockMass(b, nullptr);
      if (!(sum > 0)) continue;
      if (chosen >= 0) before += chosenSum;
      chosen = b;
      chosenSum = sum;
      if (before + sum > aim) break;
    }
    blockMass(chosen, terms);
    int32_t last = -1;  // rounding may carry the aim past the end: the last token that is left, then
    const int64_t count = std::min(kDrawBlock, usable_ - chosen * kDrawBlock);
    for (int64_t i = 0; i < count; ++i) {
      if (!(terms[i] > 0)) continue;
      before += static_cast<double>(terms[i]);
      last = static_cast<int32_t>(chosen * kDrawBlock + i);
      if (before > aim) break;
    }
    return last;
  }

  double blockMass(int64_t block, float* terms) const {
    const int64_t first = block * kDrawBlock;
    return kernels_.expSum(row_ + first, std::min(kDrawBlock, usable_ - first), static_cast<int32_t>(first), max_,
                           inverseTemperature_, cut_, terms);
  }

  double term(float value) const {
    return kernels_.expSum(&value, 1, 0, max_, inverseTemperature_, from(-kInfinity), nullptr);
  }

  // Halves by value, which suits most logits, and every other time by bits, which ends whatever they are.
  static float between(float low, float high, int step) {
    const float middle = low + (high - low) / 2;
    if (step % 2 == 0 && middle > low && middle < high) return middle;
    const int64_t a = orderedBits(low), b = orderedBits(high);
    return floatOfOrdered(static_cast<int32_t>(a + (b - a) / 2));
  }

  float* candidateValues() const { return scratch_; }
  int32_t* candidateIds() const { return reinterpret_cast<int32_t*>(scratch_ + kCandidates); }
  int32_t* candidateOrder() const { return reinterpret_cast<int32_t*>(scratch_ + 2 * kCandidates); }
  int64_t collect(float low, float high) const {
    return kernels_.collect(row_, usable_, low, high, candidateValues(), candidateIds(), kCandidates);
  }

  const SampleKernels& kernels_;
  const float* row_;
  int64_t usable_;
  float* scratch_;
  const int32_t* ids_ = nullptr;  // of a narrowed row
  float max_ = 0;
  float inverseTemperature_ = 1;
  SampleCut cut_{-kInfinity, kAnyId, 0.0f};
};

}  // namespace

void CpuBackend::sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable,
                            std::span<const SampleParams> params, DevI32 tokens, DevF32 logprobs) {
  pool_.run(n, [&](int64_t i, int thread) {
    const float* row = logits.raw() + i * vocabulary;
    float max;
    double sum;
    kernels_.loss->softmaxStatistics(row, vocabulary, &max, &sum);
    RowSampler sampler(kernels_, row, std::min(usable, vocabulary), scratch(thread));
    const int32_t token = sampler.choose(params[static_cast<size_t>(i)]);
    tokens.raw()[i] = token;
    logprobs.raw()[i] = static_cast<float>(static_cast<double>(row[token]) - static_cast<double>(max) - std::log(sum));
  });
}

}  // namespace mlit
