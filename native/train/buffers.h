// All device memory of a session, laid out once in one arena; the same code tells the plan, so that plan and truth cannot
// differ. Internal to train/.
#pragma once

#include <vector>

#include "model/adapter.h"
#include "model/plan.h"
#include "train/session.h"

namespace mlit {

// One allocation of a backend.
class DeviceBlock {
 public:
  DeviceBlock(Backend& backend, size_t bytes) : backend_(backend), at_(backend.allocate(bytes)), bytes_(bytes) {}
  ~DeviceBlock() { backend_.release(at_, bytes_); }
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(const DeviceBlock&) = delete;
  DevicePtr<std::byte> at() const { return at_; }

 private:
  Backend& backend_;
  DevicePtr<std::byte> at_;
  size_t bytes_;
};

// Hands out 256-byte aligned pieces of one block and counts them by plan item. Without a block it only counts.
class Arena {
 public:
  // activation: the backend's type of activations.
  Arena(ElementType activation, DevicePtr<std::byte> base = {}) : base_(base), activation_(activation) {}
  DevF32 floats(const char* item, int64_t n) { return take(item, n * 4).as<float>(); }
  DevI32 ints(const char* item, int64_t n) { return take(item, n * 4).as<int32_t>(); }
  DevReal activations(const char* item, int64_t n) { return {take(item, n * elementBytes(activation_)), activation_}; }
  size_t bytes() const { return bytes_; }
  const MemoryPlan& items() const { return items_; }

 private:
  DevicePtr<std::byte> take(const char* item, int64_t bytes);
  DevicePtr<std::byte> base_;
  ElementType activation_;
  size_t bytes_ = 0;
  MemoryPlan items_;
};

// What the backward pass needs of one layer; T = maxTokens. With Recompute::kActivations all layers share `gateUp`; with
// kLayer, and without training, everything but `input`.
struct LayerBuffers {
  DevF32 input;        // [T, d] residual stream entering the layer
  DevF32 inputInvRms;  // [T]
  DevReal qkv;  // [T, qkvStride]: q, k, v (before their norms where there are any), then k after norm and rotation
  DevReal q;    // [T, queryDim] after norm and rotation; null without q/k norms: rotated inside qkv
  DevF32 qInvRms, kInvRms;  // [T, heads], [T, kvHeads] with q/k norms
  DevReal attention;        // [T, queryDim]
  DevF32 lse;               // [heads, T]
  // Those of the second half have R = maxTargets rows in the last layer.
  DevReal oOut, downOut;       // [T, d] with post-norms
  DevF32 oInvRms, downInvRms;  // [T]
  DevF32 mid, midInvRms;       // [T, d] residual stream after attention, [T]
  DevReal gateUp;              // [T, 2f]
};

struct SessionBuffers {
  std::vector<LayerBuffers> layers;
  DevF32 final, finalInvRms;  // [R, d], [R]: supervised rows after the last layer, R = maxTargets
  DevReal rowAttention;       // [T, queryDim] ([R] without training): the last layer's, supervised rows only
  DevF32 rowInput;            // [T, d] likewise
  DevReal normed;             // [T, d] normalised input of the linear at hand
  DevReal narrow;             // [T, d] output of a linear, or its gradient
  DevF32 dx;                  // [R, d] gradient of the last layer's output (training)
  DevReal wideA, wideB;       // [T, max(f, queryDim)], [T, max(f, qkvDim)]
  DevF32 delta;               // [heads, T] (training)
  DevReal p, u;               // [T, largest stacked rank] (u: training)
  DevF32 logits;              // [chunkRows, V], or what the loss of lossRows without logits takes
  DevF32 weights, logprobs;   // [T]
  DevI32 tokens, positions, rows, targets;   // [T]
  DevI32 records, rowRecords, rowPositions;  // [T] with dropout (training)
  DevF32 rope, ropeLocal;                    // [positions, headDim]; equal where no layer is local
  DevF32 sumSquares;                         // [1] (training)
  DevF32 parameters;                         // of the model itself, flat (full tuning)
  std::vector<DevF32> gradients, m, v;       // by adapter, or one of the model itself (training)
  int64_t targetRows = 0;                    // R
  int64_t chunkRows = 0;                     // rows of logits at once
  int64_t lossRows = 0;                      // rows at once of a loss without logits; 0: there is none
  int64_t positionCount = 0;
  int64_t qkvStride = 0;
};

SessionBuffers placeBuffers(Arena& arena, const ModelConfig& config, const std::vector<AdapterSpec>& adapters,
                            const TrainOptions& options, const BackendSizes& backend, WeightFormat format);
// Whether one of them has factors of the head.
bool anyOnHead(const ModelConfig& config, const std::vector<AdapterSpec>& adapters);

}  // namespace mlit
