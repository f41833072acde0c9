// The logits' buffer holds logits, then their gradient, then the next chunk's logits.
#include "train/head.h"

#include <algorithm>

namespace mlit {

void Head::logitsOf(int64_t first, int64_t count) {
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  backend.rmsNormForward(buffers_.final + first * d, {count, d, 1, c.hidden}, model_->finalNorm(), c.rmsEps,
                         buffers_.normed, d, {}, buffers_.finalInvRms);
  backend.linearForward(model_->head(), buffers_.normed, d, count, buffers_.logits, c.vocabulary, {}, {});
}

void Head::run(int64_t rows, Gradients gradients, const Body& body) {
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  for (int64_t first = 0; first < rows; first += buffers_.chunkRows) {
    body.checkCancelled();
    const int64_t n = std::min(buffers_.chunkRows, rows - first);
    logitsOf(first, n);
    const bool wanted = gradients == Gradients::kOfFinal;
    backend.crossEntropy(buffers_.logits, n, c.vocabulary, buffers_.targets + first,
                         wanted ? buffers_.weights + first : DevF32(), buffers_.logprobs + first);
    if (!wanted) continue;
    body.checkCancelled();
    backend.linearBackward(model_->head(), buffers_.normed, d, n, buffers_.logits, c.vocabulary, buffers_.narrow, d,
                           false, {}, {}, {});
    backend.rmsNormBackward(buffers_.narrow, d, buffers_.final + first * d, {n, d, 1, c.hidden}, model_->finalNorm(),
                            buffers_.finalInvRms, buffers_.dx + first * d, d, false);
  }
}

std::vector<float> Head::logitsToHost(int64_t rows) {
  const int64_t vocabulary = model_->config().vocabulary;
  std::vector<float> logits(static_cast<size_t>(rows * vocabulary));
  for (int64_t first = 0; first < rows; first += buffers_.chunkRows) {
    const int64_t n = std::min(buffers_.chunkRows, rows - first);
    logitsOf(first, n);
    model_->backend().download(logits.data() + first * vocabulary, buffers_.logits.as<const std::byte>(),
                               static_cast<size_t>(n * vocabulary) * sizeof(float));
    model_->backend().synchronize();
  }
  return logits;
}

}  // namespace mlit
