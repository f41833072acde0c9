// The logits' buffer holds logits, then their gradient, then the next chunk's logits.
#include "train/head.h"

#include <algorithm>

namespace mlit {

std::span<const LoraGroup> Head::groups(const RowSet& rows, int64_t first, int64_t count, bool withGradients) {
  const std::span<const DevF32> gradients =
      withGradients ? std::span<const DevF32>(buffers_.gradients) : std::span<const DevF32>();
  const std::vector<AdapterRows> ranges =
      adapterRowsWithin(rows.adapters, static_cast<int32_t>(first), static_cast<int32_t>(first + count));
  RowDropout dropout = rows.dropout;
  if (!dropout.keys.empty()) dropout.records = dropout.records + first, dropout.positions = dropout.positions + first;
  return lora_.build(adapters_, ranges, 0, LinearGroup::kHead, gradients, dropout);
}

void Head::logitsOf(const RowSet& rows, int64_t first, int64_t count) {
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  backend.rmsNormForward(buffers_.final + first * d, {count, d, 1, c.hidden}, model_->finalNorm(), c.rmsEps,
                         buffers_.normed, d, {}, buffers_.finalInvRms);
  backend.linearForward(model_->head(), buffers_.normed, d, count, buffers_.logits, c.vocabulary,
                        groups(rows, first, count, false), buffers_.p);
}

// A chunk ends where an adapter's rows do, if any adapter has factors of the head: their sums over rows are then cut as they would
// be if the adapter had the batch to itself.
int64_t Head::chunkRows(const RowSet& rows, int64_t first) const {
  const int64_t most = std::min(buffers_.chunkRows, rows.rows - first);
  const auto onHead = [&](const AdapterRows& range) {
    const auto [begin, end] = adapters_[static_cast<size_t>(range.adapter)]->layout().groupSlots(0, LinearGroup::kHead);
    return begin != end;
  };
  if (adapters_.empty() || std::none_of(rows.adapters.begin(), rows.adapters.end(), onHead)) return most;
  for (const AdapterRows& range : rows.adapters) {
    for (const int32_t edge : {range.begin, range.end})
      if (edge > first) return std::min(most, edge - first);
  }
  return most;
}

void Head::run(const RowSet& rows, Gradients gradients, const Body& body) {
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  const DevReal dLogits(buffers_.logits.as<std::byte>(), backend.activationType());
  const int64_t ldLogits = c.vocabulary * int64_t{sizeof(float)} / elementBytes(dLogits.type());
  int64_t n = 0;
  for (int64_t first = 0; first < rows.rows; first += n) {
    n = chunkRows(rows, first);
    logitsOf(rows, first, n);
    const bool wanted = gradients == Gradients::kOfFinal;
    backend.crossEntropy(buffers_.logits, n, c.vocabulary, buffers_.targets + first,
                         wanted ? buffers_.weights + first : DevF32(), buffers_.logprobs + first);
    if (!wanted) continue;
    const bool below = body.trainsLayers();
    backend.linearBackward(model_->head(), buffers_.normed, d, n, dLogits, ldLogits,
                           below ? buffers_.narrow : DevReal(), d, false, groups(rows, first, n, true), buffers_.p,
                           buffers_.u);
    if (!below) continue;
    if (full_ != nullptr) {
      full_->head(buffers_.normed, n, dLogits, ldLogits);
      full_->finalNorm(buffers_.narrow, buffers_.final + first * d, n, buffers_.finalInvRms);
    }
    backend.rmsNormBackward(buffers_.narrow, d, buffers_.final + first * d, {n, d, 1, c.hidden}, model_->finalNorm(),
                            buffers_.finalInvRms, buffers_.dx + first * d, d, false);
  }
}

std::vector<float> Head::logitsToHost(const RowSet& rows) {
  const int64_t vocabulary = model_->config().vocabulary;
  std::vector<float> logits(static_cast<size_t>(rows.rows * vocabulary));
  for (int64_t first = 0; first < rows.rows; first += buffers_.chunkRows) {
    const int64_t n = std::min(buffers_.chunkRows, rows.rows - first);
    logitsOf(rows, first, n);
    model_->backend().download(logits.data() + first * vocabulary, buffers_.logits.as<const std::byte>(),
                               static_cast<size_t>(n * vocabulary) * sizeof(float));
    model_->backend().synchronize();
  }
  return logits;
}

}  // namespace mlit
