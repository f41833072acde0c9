// Backward through the layers. Normalised inputs and act(gate) * up are computed again rather than kept; the gradients of
// gate and up take their places.
#include "train/body.h"

namespace mlit {

void Body::backward(const Batch& batch) {
  if (batch.supervised.adapters.empty() || !trainsLayers()) return;  // the bare base has no gradients
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  DevF32 dx = buffers_.dx;
  for (int32_t layer = c.layers; layer-- > 0;) {
    const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
    if (!isLast(layer)) {
      if (options_.recompute == Recompute::kLayer) layerForward(layer, batch, false);
      if (options_.recompute == Recompute::kActivations) gateUpForward(layer, batch.all);
    }
    Tail tail{&batch.all, a.attention, a.input, {}};
    if (isLast(layer)) tail = {&batch.supervised, buffers_.rowAttention, buffers_.rowInput, {}};
    if (!tailBackward(layer, tail, dx)) return;
    DevReal dAttention = buffers_.wideA;
    if (isLast(layer)) {
      // Back from supervised rows to all rows: the others' gradients are zero. The gathered copies have done their duty.
      const int64_t n = batch.supervised.rows, rows = batch.all.rows;
      const int64_t attentionBytes = elementBytes(buffers_.rowAttention.type());
      backend.zero(buffers_.rowAttention.bytes(), static_cast<size_t>(rows * c.queryDim() * attentionBytes));
      backend.scatterRows(dAttention, buffers_.rows, n, c.queryDim(), buffers_.rowAttention, c.queryDim(), false);
      backend.zero(buffers_.rowInput.as<std::byte>(), static_cast<size_t>(rows * c.hidden) * sizeof(float));
      backend.scatterRows(dx, buffers_.rows, n, c.hidden, buffers_.rowInput, c.hidden, false);
      dAttention = buffers_.rowAttention;
      dx = buffers_.rowInput;
    }
    attentionBackward(layer, batch, dAttention, dx);
  }
  if (full_ != nullptr) full_->embedding(dx, batch.all.rows);
}

DevConstReal Body::throughPostNorm(DevConstF32 dx, DevConstReal raw, DevConstF32 weight, DevConstF32 invRms,
                                   int64_t rows) {
  const ModelConfig& c = model_->config();
  if (!c.postNorms) return dx;
  normGradient(weight, dx, c.hidden, raw, {rows, c.hidden, 1, c.hidden}, invRms);
  model_->backend().rmsNormBackward(dx, c.hidden, raw, {rows, c.hidden, 1, c.hidden}, weight, invRms, buffers_.narrow,
                                    c.hidden, false);
  return buffers_.narrow;
}

bool Body::tailBackward(int32_t layer, const Tail& tail, DevF32 dx) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(layer)];
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  Backend& backend = model_->backend();
  const RowSet& rows = *tail.rows;
  const int64_t n = rows.rows, d = c.hidden, f = c.feedForward;
  const HeadRows residual{n, d, 1, c.hidden};
  const SessionBuffers& b = buffers_;

  std::span<const LoraGroup> lora = groups(layer, LinearGroup::kDown, rows, true);
  if (!lora.empty() || full_ != nullptr) backend.gatedForward(c.activation, a.gateUp, n, f, b.wideA);
  const DevConstReal dDown = throughPostNorm(dx, a.downOut, w.postMlpNorm, a.downInvRms, n);
  if (full_ != nullptr) full_->matrix(full_->layer(layer).down, b.wideA, f, n, dDown, d, d, f);
  const bool belowDown = below(layer, LinearGroup::kDown);
  backend.linearBackward(w.down, b.wideA, f, n, dDown, d, belowDown ? b.wideB : DevReal(), f, false, lora, b.p, b.u);
  if (!belowDown) return false;

  backend.gatedBackward(c.activation, a.gateUp, n, f, b.wideB, {});
  lora = groups(layer, LinearGroup::kGateUp, rows, true);
  if (!lora.empty() || full_ != nullptr)
    backend.rmsNormForward(a.mid, residual, w.mlpNorm, c.rmsEps, b.normed, d, {}, {});
  if (full_ != nullptr) full_->matrix(full_->layer(layer).gateUp, b.normed, d, n, a.gateUp, 2 * f, 2 * f, d);
  const bool belowGateUp = below(layer, LinearGroup::kGateUp);
  backend.linearBackward(w.gateUp, b.normed, d, n, a.gateUp, 2 * f, belowGateUp ? b.narrow : DevReal(), d, false, lora,
                         b.p, b.u);
  if (!belowGateUp) return false;
  normGradient(w.mlpNorm, b.narrow, d, a.mid, residual, a.midInvRms);
  backend.rmsNormBackward(b.narrow, d, a.mid, residual, w.mlpNorm, a.midInvRms, dx, d, true);

  const DevConstReal dO = throughPostNorm(dx, a.oOut, w.postAttentionNorm, a.oInvRms, n);
  if (full_ != nullptr) full_->matrix(full_->layer(layer).o, tail.attention, c.queryDim(), n, dO, d, d, c.queryDim());
  lora = groups(layer, LinearGroup::kO, rows, true);
  const bool belowO = below(layer, LinearGroup::kO);
  backend.linearBackward(w.o, tail.attention, c.queryDim(), n, dO, d, belowO ? b.wideA : DevReal(), c.queryDim(), false,
                         lora, b.p, b.u);
  return belowO;
}

void Body::attentionBackward(int32_t layer, const Batch& batch, DevConstReal dAttention, DevF32 dx) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(layer)];
  const LayerBuffers& a = buffers_.layers[static_cast<size_t>(layer)];
  const SessionBuffers& b = buffers_;
  Backend& backend = model_->backend();
  const int64_t n = batch.all.rows, d = c.hidden, stride = b.qkvStride, dStride = c.qkvDim();
  const DevReal dq = b.wideB, dk = dq + c.queryDim(), dv = dk + c.kvDim();
  const DevReal q = c.qkNorm ? a.q : a.qkv, k = a.qkv + (c.qkNorm ? c.qkvDim() : c.queryDim());
  const DevReal v = a.qkv + c.queryDim() + c.kvDim();
  const int64_t ldq = c.qkNorm ? c.queryDim() : stride;
  backend.attentionBackward(attentionShape(layer), batch.cuSeqlens, q, ldq, k, v, stride, a.attention, dAttention,
                            c.queryDim(), a.lse, b.delta, dq, dStride, dk, dv, dStride);
  const HeadRows both{n, dStride, c.heads + c.kvHeads, c.headDim};  // dk stands behind dq
  backend.rope(dq, both, b.positions, ropeTableOf(layer), -1);
  if (c.qkNorm) {
    normGradient(w.qNorm, dq, dStride, a.qkv, {n, stride, c.heads, c.headDim}, a.qInvRms);
    normGradient(w.kNorm, dk, dStride, a.qkv + c.queryDim(), {n, stride, c.kvHeads, c.headDim}, a.kInvRms);
    backend.rmsNormBackward(dq, dStride, a.qkv, {n, stride, c.heads, c.headDim}, w.qNorm, a.qInvRms, dq, dStride,
                            false);
    backend.rmsNormBackward(dk, dStride, a.qkv + c.queryDim(), {n, stride, c.kvHeads, c.headDim}, w.kNorm, a.kInvRms,
                            dk, dStride, false);
  }
  const std::span<const LoraGroup> lora = groups(layer, LinearGroup::kQkv, batch.all, true);
  if (!lora.empty() || full_ != nullptr)
    backend.rmsNormForward(a.input, {n, d, 1, c.hidden}, w.attentionNorm, c.rmsEps, b.normed, d, {}, {});
  if (full_ != nullptr && w.qkvBias) full_->bias(w.qkvBias, b.wideB, dStride, n, dStride);
  if (full_ != nullptr) full_->matrix(full_->layer(layer).qkv, b.normed, d, n, b.wideB, dStride, dStride, d);
  const bool more = layer > 0 || full_ != nullptr;
  backend.linearBackward(w.qkv, b.normed, d, n, b.wideB, dStride, more ? b.narrow : DevReal(), d, false, lora, b.p,
                         b.u);
  if (!more) return;
  normGradient(w.attentionNorm, b.narrow, d, a.input, {n, d, 1, c.hidden}, a.inputInvRms);
  backend.rmsNormBackward(b.narrow, d, a.input, {n, d, 1, c.hidden}, w.attentionNorm, a.inputInvRms, dx, d, true);
}

}  // namespace mlit
