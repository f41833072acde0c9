// What a TrainSession holds; shared by the files that implement its primitives.
#pragma once

#include <optional>

#include "core/error.h"
#include "train/batch.h"
#include "train/body.h"
#include "train/buffers.h"
#include "train/head.h"
#include "train/session.h"

namespace mlit {

// One flat vector that an optimiser step moves: an adapter's, or the model's own.
struct TrainedVector {
  DevF32 parameters;
  int64_t count = 0;
  int64_t decayed = 0;  // floats at its beginning that weight decay applies to
  std::string name;     // "adapter.0", "model": of its tensors in a state file
  std::string layout;   // everything that decides where a parameter lies in it
};

struct TrainSession::Impl {
  Impl(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters, const TrainOptions& options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Reads and uploads a batch, runs the body; false where no row is supervised (nothing was computed).
  bool runBody(const PackedBatch& packed, Supervision supervision, bool dropout);
  void prepareDropout(const PackedBatch& packed);
  void sendInputs(const Batch& of);
  void sendAhead(const PackedBatch& next, Supervision supervision);
  // Log-probabilities of the supervised rows, on their way to the host; there after synchronize(), where kNotFinite may show.
  void askForLogprobs();
  const std::vector<float>& arrivedLogprobs() const;
  // Of a call that has ended: sums, and log-probabilities by row where those are wanted.
  StepSums told(std::span<float> logprobs) const;
  void scatterLogprobs(std::span<const float> bySupervised, std::span<float> byRow) const;
  StepSums sums(std::span<const float> logprobs) const;
  void markPending();  // before anything is added to the gradients of the batch at hand
  void requireTraining(const char* call) const;
  void checkLogprobsSpan(std::span<const float> logprobs, size_t tokens) const;
  size_t trainedIndex(int32_t adapter) const;
  void requireWhole(const char* call) const;  // that the call is not of one slot
  size_t filledIndex(int32_t adapter) const;  // also refuses an empty slot
  void saveState(const std::string& path, size_t begin, size_t many) const;
  void loadState(const std::string& path, size_t begin, size_t many);
  bool hasSlots() const { return !options.slots.empty(); }
  void zeroGradients() { zeroGradients(0, pending.size()); }
  void zeroGradients(size_t begin, size_t many);
  void cleanGradients();     // before any use of them
  void parametersChanged();  // after `trained` was written to
  void discard();
  // Runs call, which a cancel flag may stop; when it throws, gradients and kept activations are discarded.
  template <class Call>
  auto guarded(const Call& call) -> decltype(call());

  std::shared_ptr<Model> model;
  std::vector<std::shared_ptr<Adapter>> adapters;
  TrainOptions options;
  ModelUse use;
  std::unique_ptr<DeviceBlock> memory;                   // everything in `buffers` but what slots hold
  std::vector<std::unique_ptr<DeviceBlock>> slotMemory;  // gradients and moments of what is in each
  MemoryPlan plan;
  SessionBuffers buffers;
  Body body;
  Head head;
  std::optional<FullParameters> full;  // with the gradients below: of the model itself
  std::optional<FullGradients> fullGradients;
  std::vector<TrainedVector> trained;
  Batch batch;
  Batch ahead;                        // whose inputs were sent before its turn
  bool isAhead = false;               // nothing else was sent since
  std::vector<uint64_t> dropoutKeys;  // by adapter, of the batch at hand
  BatchLimits limits;
  const std::atomic<bool>* cancelFlag = nullptr;
  std::shared_ptr<Ranks> ranks;
  std::vector<float> arrived;    // log-probabilities by supervised row
  bool activationsKept = false;  // between forward() and backward()
  std::vector<uint8_t> pending;  // by trained vector
  std::vector<uint8_t> dirty;    // by trained vector: discarded, and not zero yet
  std::vector<int64_t> steps;    // by trained vector
  std::vector<uint64_t> seeds;   // by trained vector: of its dropout
};

std::vector<TrainedVector> trainedVectors(const Model& model, const std::vector<std::shared_ptr<Adapter>>& adapters,
                                          const std::optional<FullParameters>& full);     // state.cpp
TrainedVector trainedAdapter(const Model& model, const Adapter& adapter, size_t number);  // state.cpp

template <class Call>
auto TrainSession::Impl::guarded(const Call& call) -> decltype(call()) {
  try {
    const CancelScope scope(model->backend(), cancelFlag);
    return call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) discard();
    throw;
  } catch (...) {
    discard();
    throw;
  }
}

}  // namespace mlit
