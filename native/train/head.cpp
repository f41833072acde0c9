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

void Head::normalise(int64_t first, int64_t count) {
  const ModelConfig& c = model_->config();
  model_->backend().rmsNormForward(buffers_.final + first * c.hidden, {count, c.hidden, 1, c.hidden},
                                   model_->finalNorm(), c.rmsEps, buffers_.normed, c.hidden, {}, buffers_.finalInvRms);
}

void Head::logitsOf(const RowSet& rows, int64_t first, int64_t count) {
  const ModelConfig& c = model_->config();
  normalise(first, count);
  model_->backend().linearForward(model_->head(), buffers_.normed, c.hidden, count, buffers_.logits, c.vocabulary,
                                  groups(rows, first, count, false), buffers_.p);
}

bool Head::onHead(const AdapterRows& range) const {
  if (adapters_.empty() || range.adapter < 0) return false;  // in full tuning 0 means the model
  const auto [begin, end] = adapters_[static_cast<size_t>(range.adapter)]->layout().groupSlots(0, LinearGroup::kHead);
  return begin != end;
}

// A chunk ends where an adapter's rows do, if any adapter has factors of the head: their sums over rows are then cut as they would
// be if the adapter had the batch to itself. Rows of such an adapter need their logits; whether others do is not its business.
Head::Chunk Head::chunkAt(const RowSet& rows, int64_t first) const {
  const bool any =
      std::any_of(rows.adapters.begin(), rows.adapters.end(), [&](const AdapterRows& r) { return onHead(r); });
  int64_t end = rows.rows;
  bool logits = full_ != nullptr || buffers_.lossRows == 0;
  if (any) {
    for (const AdapterRows& range : rows.adapters) {
      for (const int32_t edge : {range.begin, range.end})
        if (edge > first) end = std::min<int64_t>(end, edge);
      logits = logits || (range.begin <= first && first < range.end && onHead(range));
    }
  }
  return {std::min(logits ? buffers_.chunkRows : buffers_.lossRows, end - first), logits};
}

void Head::run(const RowSet& rows, Gradients gradients, const Body& body) {
  const ModelConfig& c = model_->config();
  Backend& backend = model_->backend();
  const int64_t d = c.hidden;
  const DevReal dLogits(buffers_.logits.as<std::byte>(), backend.activationType());
  const int64_t ldLogits = c.vocabulary * int64_t{sizeof(float)} / elementBytes(dLogits.type());
  const bool wanted = gradients == Gradients::kOfFinal, below = body.trainsLayers();
  int64_t n = 0;
  for (int64_t first = 0; first < rows.rows; first += n) {
    const Chunk chunk = chunkAt(rows, first);
    n = chunk.rows;
    const DevF32 weights = wanted ? buffers_.weights + first : DevF32();
    if (chunk.logits) {
      logitsOf(rows, first, n);
      backend.crossEntropy(buffers_.logits, n, c.vocabulary, buffers_.targets + first, weights,
                           buffers_.logprobs + first);
      if (!wanted) continue;
      backend.linearBackward(model_->head(), buffers_.normed, d, n, dLogits, ldLogits,
                             below ? buffers_.narrow : DevReal(), d, false, groups(rows, first, n, true), buffers_.p,
                             buffers_.u);
    } else {
      normalise(first, n);
      backend.headLoss(model_->head(), buffers_.normed, d, n, buffers_.targets + first, weights,
                       buffers_.logprobs + first, wanted && below ? buffers_.narrow : DevReal(), d,
                       buffers_.logits.as<std::byte>());
    }
    if (!wanted || !below) continue;
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
