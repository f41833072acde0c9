// Gradients of the model's own parameters, added where the flat vector has them. Body and Head hold one of these or null;
// whatever of a backward pass exists for full tuning alone goes through here. Internal to train/.
#pragma once

#include "model/full_parameters.h"
#include "train/buffers.h"

namespace mlit {

class FullGradients {
 public:
  FullGradients(const Model& model, const FullParameters& parameters, const SessionBuffers& buffers)
      : backend_(model.backend()),
        config_(model.config()),
        model_(model),
        parameters_(parameters),
        flat_(buffers.gradients[0]),
        tokens_(buffers.tokens) {}

  const FullLayout::Layer& layer(int32_t i) const { return parameters_.layout().layers[static_cast<size_t>(i)]; }

  // The matrix [out, in] at `offset`: x [rows, in], dy [rows, out].
  void matrix(int64_t offset, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out,
              int64_t in) const {
    backend_.weightGradient(x, ldx, rows, dy, lddy, out, in, flat_ + offset);
  }
  // The norm whose factor in the model is `weight`; dy is the gradient of its output, x its input.
  void norm(DevConstF32 weight, DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows,
            DevConstF32 invRms) const {
    backend_.rmsNormWeightGradient(dy, lddy, x, rows, invRms, parameters_.vectorIn(flat_, weight));
  }
  void bias(DevConstF32 bias, DevConstReal dy, int64_t lddy, int64_t rows, int64_t n) const {
    backend_.biasGradient(dy, lddy, rows, n, parameters_.vectorIn(flat_, bias));
  }
  // The output head, from a chunk of dlogits; with a tied head the embedding's other share.
  void head(DevConstReal normed, int64_t rows, DevConstReal dLogits, int64_t ldLogits) const {
    matrix(parameters_.layout().head, normed, config_.hidden, rows, dLogits, ldLogits, config_.vocabulary,
           config_.hidden);
  }
  void finalNorm(DevConstReal dy, DevConstF32 x, int64_t rows, DevConstF32 invRms) const {
    norm(model_.finalNorm(), dy, config_.hidden, x, {rows, config_.hidden, 1, config_.hidden}, invRms);
  }
  // dx: gradient of the first layer's input, all rows.
  void embedding(DevConstF32 dx, int64_t rows) const {
    backend_.gatherGradient(dx, tokens_, rows, config_.hidden, config_.embeddingScale,
                            flat_ + parameters_.layout().embedding);
  }

 private:
  Backend& backend_;
  const ModelConfig& config_;
  const Model& model_;
  const FullParameters& parameters_;
  DevF32 flat_;
  DevConstI32 tokens_;
};

}  // namespace mlit
