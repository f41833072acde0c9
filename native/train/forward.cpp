// Forward through the layers. The last layer's second half, like everything after it, runs on supervised rows only: no
// other row of it reaches the loss.
#include "train/body.h"

namespace mlit {

Body::Body(std::shared_ptr<Model> model, const std::vector<std::shared_ptr<Adapter>>& adapters,
           const SessionBuffers& buffers, const TrainOptions& options)
    : model_(std::move(model)), adapters_(adapters), buffers_(buffers), options_(options) {
  adaptersChanged();
}

void Body::adaptersChanged() {
  lowest_ = LinearGroup::kDown;
  trainsLayers_ = false;
  for (const auto& adapter : adapters_) {
    if (!adapter) continue;
    trainsLayers_ = trainsLayers_ || !adapter->layout().onlyHead();
    for (int group = kLayerGroups; group-- > 0;) {
      const auto candidate = static_cast<LinearGroup>(group);
      const auto [first, last] = adapter->layout().groupSlots(0, candidate);
      if (first != last && candidate < lowest_) lowest_ = candidate;
    }
  }
}

AttentionShape Body::attentionShape(int32_t layer) const {
  const ModelConfig& c = model_->config();
  return {c.heads, c.kvHeads, c.headDim, c.attentionScale, c.layerIsLocal[static_cast<size_t>(layer)] ? c.window : 0};
}

DevConstF32 Body::ropeTableOf(int32_t layer) const {
  return model_->config().layerIsLocal[static_cast<size_t>(layer)] ? buffers_.ropeLocal : buffers_.rope;
}

std::span<const LoraGroup> Body::groups(int32_t layer, LinearGroup group, const RowSet& rows, bool withGradients) {
  const std::span<const DevF32> gradients =
      withGradients ? std::span<const DevF32>(buffers_.gradients) : std::span<const DevF32>();
  return lora_.build(adapters_, rows.adapters, layer, group, gradients, rows.dropout);
}

void Body::forward(const Batch& batch) {
  const ModelConfig& c = model_->config();
  model_->backend().gatherWeightRows(model_->embedding(), buffers_.tokens, batch.all.rows, c.embeddingScale,
                                     buffers_.layers[0].input);
  for (int32_t layer = 0; layer < c.layers; ++layer) layerForward(layer, batch, true);
}

void Body::layerForward(int32_t layer, const Batch& batch, bool outputWanted) {
  const ModelConfig& c = model_->config();
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  attentionForward(layer, batch);
  Tail tail{&batch.all, a.attention, a.input, {}};
  if (isLast(layer)) {
    Backend& backend = model_->backend();
    const int64_t n = batch.supervised.rows;
    backend.gatherRows(a.attention, c.queryDim(), buffers_.rows, n, c.queryDim(), buffers_.rowAttention);
    backend.gatherRows(a.input, c.hidden, buffers_.rows, n, c.hidden, buffers_.rowInput);
    tail = {&batch.supervised, buffers_.rowAttention, buffers_.rowInput, {}};
  }
  if (outputWanted)
    tail.output = isLast(layer) ? buffers_.final : buffers_.layers[static_cast<size_t>(layer) + 1].input;
  tailForward(layer, tail);
}

void Body::attentionForward(int32_t layer, const Batch& batch) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(layer)];
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  Backend& backend = model_->backend();
  const int64_t n = batch.all.rows, d = c.hidden, stride = buffers_.qkvStride;
  backend.rmsNormForward(a.input, {n, d, 1, c.hidden}, w.attentionNorm, c.rmsEps, buffers_.normed, d, {},
                         a.inputInvRms);
  backend.linearForward(w.qkv, buffers_.normed, d, n, a.qkv, stride, groups(layer, LinearGroup::kQkv, batch.all, false),
                        buffers_.p);
  if (w.qkvBias) backend.addToRows(a.qkv, stride, n, w.qkvBias, c.qkvDim());
  DevReal q = a.qkv, k = a.qkv + c.queryDim();
  const DevReal v = k + c.kvDim();
  int64_t ldq = stride;
  if (c.qkNorm) {
    const DevReal rawQ = q, rawK = k;
    q = a.q, ldq = c.queryDim(), k = a.qkv + c.qkvDim();
    backend.rmsNormForward(rawQ, {n, stride, c.heads, c.headDim}, w.qNorm, c.rmsEps, q, ldq, {}, a.qInvRms);
    backend.rmsNormForward(rawK, {n, stride, c.kvHeads, c.headDim}, w.kNorm, c.rmsEps, k, stride, {}, a.kInvRms);
  }
  const int32_t together = c.qkNorm ? c.heads : c.heads + c.kvHeads;  // without norms k stands behind q
  backend.rope(q, {n, ldq, together, c.headDim}, buffers_.positions, ropeTableOf(layer), 1);
  if (c.qkNorm) backend.rope(k, {n, stride, c.kvHeads, c.headDim}, buffers_.positions, ropeTableOf(layer), 1);
  backend.attentionForward(attentionShape(layer), batch.cuSeqlens, q, ldq, k, v, stride, a.attention, c.queryDim(),
                           a.lse);
}

void Body::tailForward(int32_t layer, const Tail& tail) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(layer)];
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  Backend& backend = model_->backend();
  const RowSet& rows = *tail.rows;
  const int64_t n = rows.rows, d = c.hidden, f = c.feedForward;
  const HeadRows residual{n, d, 1, c.hidden};

  const DevReal o = c.postNorms ? a.oOut : DevReal(a.mid);
  backend.linearForward(w.o, tail.attention, c.queryDim(), n, o, d, groups(layer, LinearGroup::kO, rows, false),
                        buffers_.p);
  if (c.postNorms) {
    backend.rmsNormForward(o, residual, w.postAttentionNorm, c.rmsEps, a.mid, d, tail.input, a.oInvRms);
  } else {
    backend.add(a.mid, tail.input, n * d);
  }

  gateUpForward(layer, rows);
  if (!tail.output && !c.postNorms) return;  // nothing of what follows is kept
  backend.gatedForward(c.activation, a.gateUp, n, f, buffers_.wideA);
  const DevReal down = c.postNorms ? a.downOut : DevReal(tail.output);
  backend.linearForward(w.down, buffers_.wideA, f, n, down, d, groups(layer, LinearGroup::kDown, rows, false),
                        buffers_.p);
  if (c.postNorms) {
    const DevReal output = tail.output ? DevReal(tail.output) : buffers_.normed;
    backend.rmsNormForward(down, residual, w.postMlpNorm, c.rmsEps, output, d, a.mid, a.downInvRms);
  } else {
    backend.add(tail.output, a.mid, n * d);
  }
}

void Body::gateUpForward(int32_t layer, const RowSet& rows) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(layer)];
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  backend.rmsNormForward(a.mid, {rows.rows, d, 1, c.hidden}, w.mlpNorm, c.rmsEps, buffers_.normed, d, {}, a.midInvRms);
  backend.linearForward(w.gateUp, buffers_.normed, d, rows.rows, a.gateUp, 2 * int64_t{c.feedForward},
                        groups(layer, LinearGroup::kGateUp, rows, false), buffers_.p);
}

}  // namespace mlit
