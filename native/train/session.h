// Training as four primitives over packed batches: forwardBackward, optimStep, saveState, loadState. A session owns the
// activations, gradients and optimiser moments; all of them are planned and allocated before the first step. It trains
// adapters, or with `full` the model itself, which it must then have to itself (Model's weights change with each step).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/plan.h"

namespace mlit {

class Ranks;

// Documents laid end to end; padding does not exist. All arrays live on the host and are read before the call returns.
struct PackedBatch {
  std::span<const int32_t> tokens;     // [T]
  std::span<const int32_t> positions;  // [T], from 0 in each document
  std::span<const int32_t> cuSeqlens;  // [documents + 1], 0 … T
  std::span<const int32_t> targets;    // [T], the token to predict, -1 = none
  std::span<const float> weights;      // [T], weight of that target (0 = not supervised)
  std::span<const int32_t> adapters;   // [documents], index into the session's adapters, -1 = bare base
  std::span<const int32_t> records =
      {};  // [documents], number of the record within its step; may be empty without dropout
};

// What of a layer's forward is run again in the backward rather than kept. The bits are the same.
enum class Recompute {
  kNone,
  kActivations,  // gate and up, the widest: kept are the residual streams, q, k, v and what attention gave
  kLayer         // all of it: kept is only the layer's input
};

struct TrainOptions {
  int64_t maxTokens = 2048;  // of a micro-batch
  int64_t maxTargets = 0;    // of a micro-batch: rows that the loss is taken of; 0 = maxTokens
  size_t logitsBytes = 0;    // budget of one chunk of logits; 0 = the backend's
  Recompute recompute = Recompute::kNone;
  bool full = false;  // trains the model itself, in float32: no adapters, and adapter index 0 means the model
  uint64_t seed = 0;  // of dropout's masks
  // Slots for adapters that come and go (setAdapter) in place of a fixed list: one for each entry, which says what the largest of
  // them are like. What is in a slot is trained as if it were alone: seed, state file and a loss that is not finite are its own.
  std::vector<AdapterSpec> slots = {};
  bool training = true;  // false: a scorer, no gradients, no moments, activations of one layer only
};

struct StepSums {
  std::vector<double>
      loss;  // [adapters + 1]: sum of weight * nll over the targets of each adapter; the last is the bare base's
  std::vector<double> weight;  // [adapters + 1]
  // [adapters + 1] with slots, else empty: the first row of each whose loss is not finite, -1 = none.
  std::vector<int32_t> notFinite = {};
};

class TrainSession {
 public:
  TrainSession(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters,
               const TrainOptions& options);
  ~TrainSession();

  static MemoryPlan plan(const ModelConfig& config, const BackendSizes& backend,
                         const std::vector<AdapterSpec>& adapters, const TrainOptions& options, WeightFormat format);

  // Accumulates the gradient of sum(weight * nll). logprobs (optional, [T]): log-probability of each target with targets >= 0, else 0.
  // Validates the batch (ids in range, cuSeqlens, positions within the context, T <= maxTokens): kInvalidArgument.
  // Adapters with dropout drop here and in forward(), by masks of their next step; never in score().
  // kNotFinite when a loss is not finite; the gradients are then discarded, parameters untouched. With slots the sums tell instead, and
  // only that adapter's gradients are discarded; score() tells in the same way.
  // next (optional): the batch of the next call, whose inputs are sent while the device works at this one.
  StepSums forwardBackward(const PackedBatch& batch, std::span<float> logprobs = {}, const PackedBatch* next = nullptr);
  // Forward only; every target >= 0 is scored whatever its weight. Gradients accumulated before stay, unless it is cancelled.
  StepSums score(const PackedBatch& batch, std::span<float> logprobs);
  // A custom loss in two calls: forward() keeps the activations and gives logprobs; backward() takes dLoss/dlogprob [T] for them.
  void forward(const PackedBatch& batch, std::span<float> logprobs);
  void backward(std::span<const float> logprobGradients);

  struct OptimResult {
    double gradNorm = 0;  // global L2 of gradient * gradScale, before clipping
  };
  // One AdamW step of one adapter, then its gradients are zero. params.step is set by the session. kNotFinite: nothing is changed.
  // Full tuning: weight decay applies to matrices alone, not to norms. With ranks, gradients are those of all of them: all take the
  // step together, with the same params.
  OptimResult optimStep(int32_t adapter, AdamWParams params);
  void zeroGradients();
  bool gradientsPending() const;

  // Parameters, moments and step counts of all adapters (or of the model itself) in one safetensors file (atomic). kGradientsPending in mid-step.
  void saveState(const std::string& path) const;
  void loadState(const std::string& path);  // kStateMismatch where the layout differs
  // The same of one slot: the file is that of a session which has this adapter alone.
  void saveState(const std::string& path, int32_t slot) const;
  void loadState(const std::string& path, int32_t slot);

  // Puts an adapter that has taken no step into a slot, or empties it (null); gradients and moments of what was there are freed.
  // kInvalidArgument where the adapter is wider than the session was planned for, or in another slot.
  void setAdapter(int32_t slot, std::shared_ptr<Adapter> adapter, uint64_t seed = 0);

  int64_t stepCount(int32_t adapter) const;
  // For tests: flat, in the adapter's layout or the model's (FullLayout).
  std::vector<float> gradientsToHost(int32_t adapter) const;
  std::vector<float> logitsToHost(const PackedBatch& batch);      // for tests: [rows with a target, vocabulary]
  const std::vector<std::shared_ptr<Adapter>>& adapters() const;  // null = an empty slot
  const std::shared_ptr<Model>& model() const;
  const MemoryPlan& memory() const;  // what was really allocated; with slots, for all but what is in them
  // Read every few milliseconds of forwardBackward, score, forward and backward: once it is true they throw kCancelled and
  // whatever gradients there were are discarded. Parameters and moments stay as of the last optimStep, which always ends.
  void setCancelFlag(const std::atomic<bool>* cancel);
  // From here on this session is one of several alike, each with its share of a step's documents.
  void setRanks(std::shared_ptr<Ranks> ranks);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlit
