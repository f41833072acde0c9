// The transformer's layers as training needs them: forward with what the backward keeps, backward down to the lowest
// adapter and no further, or to the embedding where the model itself is trained. Internal to train/.
#pragma once

#include "train/batch.h"
#include "train/buffers.h"
#include "train/full_gradients.h"

namespace mlit {

class Body {
 public:
  // adapters: the session's own list, an empty slot is null. adaptersChanged() after one came or went.
  Body(std::shared_ptr<Model> model, const std::vector<std::shared_ptr<Adapter>>& adapters,
       const SessionBuffers& buffers, const TrainOptions& options);
  void adaptersChanged();

  // Ids, positions and supervised rows are on the device already. Leaves the supervised rows of the residual stream in
  // buffers.final. At least one row must be supervised.
  void forward(const Batch& batch);
  // buffers.dx holds the gradient of buffers.final (unread where !trainsLayers()); adds to the adapters' gradients. Overwrites what forward() kept.
  void backward(const Batch& batch);

  bool trainsLayers() const { return full_ != nullptr || trainsLayers_; }  // else backward() has nothing to do
  // Null: nothing but adapters is trained.
  void setFullGradients(const FullGradients* full) { full_ = full; }

 private:
  // The rows that the second half of a layer works on, with what flows into it.
  struct Tail {
    const RowSet* rows = nullptr;
    DevReal attention;  // [rows, queryDim]
    DevF32 input;       // [rows, d] residual stream entering the layer
    DevF32 output;      // [rows, d] residual stream leaving it; null where only the kept activations are wanted
  };

  bool isLast(int32_t layer) const { return layer + 1 == model_->config().layers; }
  AttentionShape attentionShape(int32_t layer) const;
  DevConstF32 ropeTableOf(int32_t layer) const;
  std::span<const LoraGroup> groups(int32_t layer, LinearGroup group, const RowSet& rows, bool withGradients);
  void layerForward(int32_t layer, const Batch& batch, bool outputWanted);
  void attentionForward(int32_t layer, const Batch& batch);
  void tailForward(int32_t layer, const Tail& tail);
  void gateUpForward(int32_t layer, const RowSet& rows);
  // dx: gradient of the tail's output, becomes that of its input (the residual path only). Leaves the gradient of the
  // attention's output in wideA. False where nothing below has an adapter.
  bool tailBackward(int32_t layer, const Tail& tail, DevF32 dx);
  void attentionBackward(int32_t layer, const Batch& batch, DevConstReal dAttention, DevF32 dx);
  // Gradient of a sub-block's raw output, through the post-norm where there is one.
  DevConstReal throughPostNorm(DevConstF32 dx, DevConstReal raw, DevConstF32 weight, DevConstF32 invRms, int64_t rows);
  // Of the norm with this factor; nothing where only adapters are trained.
  void normGradient(DevConstF32 weight, DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows,
                    DevConstF32 invRms) const {
    if (full_ != nullptr) full_->norm(weight, dy, lddy, x, rows, invRms);
  }
  bool below(int32_t layer, LinearGroup group) const { return full_ != nullptr || layer > 0 || group > lowest_; }

  std::shared_ptr<Model> model_;
  const std::vector<std::shared_ptr<Adapter>>& adapters_;
  const SessionBuffers& buffers_;
  TrainOptions options_;
  LoraGroupBuilder lora_;
  LinearGroup lowest_ = LinearGroup::kDown;  // of layer 0, with any adapter
  bool trainsLayers_ = false;                // with any adapter
  const FullGradients* full_ = nullptr;
};

}  // namespace mlit
