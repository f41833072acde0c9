// One pass: gather embeddings, run the layers against the cache, norm and head on the rows that draw, sample.
#include "sample/decoder.h"

#include <algorithm>
#include <array>

#include "core/host_memory.h"

namespace mlit {

namespace {

constexpr int64_t kLogitRows =
    32;  // rows of logits held at once; rows do not know each other, so chunks change nothing

struct Sizes {
  int64_t hidden, qkv, query, feedForward, vocabulary;
  explicit Sizes(const ModelConfig& c)
      : hidden(c.hidden), qkv(c.qkvDim()), query(c.queryDim()), feedForward(c.feedForward), vocabulary(c.vocabulary) {}
};

size_t pageFloats(const ModelConfig& config) { return size_t{2} * kKvPageTokens * static_cast<size_t>(config.kvDim()); }

int64_t tablePositions(const ModelConfig& config, const Decoder::Limits& limits) {
  const int64_t cached = int64_t{limits.pages} * kKvPageTokens;
  return std::max<int64_t>(1, config.contextLength > 0 ? std::min<int64_t>(config.contextLength, cached) : cached);
}

// One function for the plan and for the allocation: visit(plan item, index, bytes).
template <class Visit>
void forEachBuffer(const ModelConfig& config, ElementType activation, const Decoder::Limits& limits,
                   int32_t maxGroupRank, const Visit& visitBytes) {
  const Sizes s(config);
  const auto visit = [&](const char* item, int index, int64_t elements) {
    visitBytes(item, index, static_cast<size_t>(std::max<int64_t>(elements, 1)) * 4);
  };
  const auto visitReals = [&](const char* item, int index, int64_t elements) {
    visitBytes(item, index, static_cast<size_t>(std::max<int64_t>(elements, 1) * elementBytes(activation)));
  };
  const auto rows = int64_t{limits.rows};
  const auto sequences = int64_t{limits.sequences};
  visit("activations", 0, rows * s.hidden);                // x
  visitReals("activations", 1, rows * s.hidden);           // normed
  visitReals("activations", 2, rows * s.qkv);              // q, k, v
  visitReals("activations", 3, rows * s.query);            // attention output
  visitReals("activations", 4, rows * 2 * s.feedForward);  // gate, up
  visitReals("activations", 5, rows * s.feedForward);      // act(gate) * up
  visitReals("activations", 6, rows * s.hidden);           // output of o and down
  visitReals("activations", 7, rows * std::max(maxGroupRank, 1));
  visit("activations", 8, rows * s.hidden);  // rows that draw or are scored
  visit("logits", 9, std::min(sequences, kLogitRows) * s.vocabulary);
  visit("scratch", 10, 5 * rows);  // tokens, positions, pages, slots, tables
  visit("scratch", 12, 3 * rows);  // output rows and target rows, drawn tokens and targets, log-probabilities of both
  const int64_t positions = tablePositions(config, limits);
  // Tables of sequences that share pages name them each.
  visit("scratch", 11, sequences * ((positions + kKvPageTokens - 1) / kKvPageTokens));
  visit("scratch", 13, positions * config.headDim);
  visit("scratch", 14, config.window > 0 ? positions * config.headDim : 0);
  visitReals("cache", 15, int64_t{config.layers} * limits.pages * static_cast<int64_t>(pageFloats(config)));
}

constexpr int kBuffers = 16;

// Rows that the loss without logits has room for in the logits' place; 0 where there is no such loss, or where an adapter changes
// the head. It is one for all batches of a decoder: the bits of the two roads differ.
int64_t lossRowsOf(const Model& model, const std::vector<std::shared_ptr<Adapter>>& adapters, int64_t rows,
                   size_t bytes) {
  const auto onHead = [](const std::shared_ptr<Adapter>& adapter) {
    const auto [begin, end] = adapter->layout().groupSlots(0, LinearGroup::kHead);
    return begin != end;
  };
  const ModelConfig& c = model.config();
  const Backend& backend = model.backend();
  const WeightFormat format = tableFormat(model.format(), backend);
  const auto needed = [&](int64_t n) { return backend.headLossBytes(n, c.vocabulary, c.hidden, format); };
  if (needed(1) == 0 || std::any_of(adapters.begin(), adapters.end(), onHead)) return 0;
  while (rows > 1 && needed(rows) > bytes) --rows;
  return needed(rows) <= bytes ? rows : 0;
}

// The k largest of n numbers, in order, ties to the smaller index.
void largest(std::span<const float> numbers, size_t k, std::vector<TokenLogprob>& out) {
  out.clear();
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (out.size() == k && !(numbers[i] > out.back().logprob)) continue;
    const auto place = std::upper_bound(out.begin(), out.end(), numbers[i],
                                        [](float number, const TokenLogprob& other) { return number > other.logprob; });
    out.insert(place, {static_cast<int32_t>(i), numbers[i]});
    if (out.size() > k) out.pop_back();
  }
}

}  // namespace

void DecodeBatch::clear() {
  tokens.clear();
  positions.clear();
  rowPages.clear();
  rowSlots.clear();
  rowTables.clear();
  pageTables.clear();
  adapterRows.clear();
  outputRows.clear();
  params.clear();
  wishes.clear();
  targetRows.clear();
  targets.clear();
  copies.clear();
  maxPosition = 0;
}

struct Decoder::Buffers {
  Backend& backend;
  DevicePtr<std::byte> at[kBuffers];
  size_t bytes[kBuffers] = {};

  Buffers(Backend& b, const ModelConfig& config, const Limits& limits, int32_t maxGroupRank) : backend(b) {
    try {
      forEachBuffer(config, backend.activationType(), limits, maxGroupRank, [&](const char*, int index, size_t wanted) {
        at[index] = backend.allocate(wanted);
        bytes[index] = wanted;
      });
    } catch (...) {
      releaseAll();
      throw;
    }
  }
  ~Buffers() { releaseAll(); }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  void releaseAll() {
    for (int i = 0; i < kBuffers; ++i) {
      if (at[i]) backend.release(at[i], bytes[i]);
      at[i] = {};
    }
  }
  DevF32 f(int index) const { return at[index].as<float>(); }
  DevI32 i(int index) const { return at[index].as<int32_t>(); }
  DevReal r(int index) const { return {at[index], backend.activationType()}; }
  DevI32 drawn(const Limits& limits) const { return i(12) + limits.rows; }
  DevF32 drawnLogprobs(const Limits& limits) const { return (i(12) + 2 * int64_t{limits.rows}).as<float>(); }
};

Decoder::Decoder(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters, const Limits& limits)
    : model_(std::move(model)), adapters_(std::move(adapters)), limits_(limits) {
  int32_t rank = 0;
  for (const auto& adapter : adapters_) rank = std::max(rank, adapter->layout().maxGroupRank());
  const ModelConfig& config = model_->config();
  Backend& backend = model_->backend();
  memory_ = plan(config, backend, limits_, rank);
  returnFreedMemory();
  buffers_ = std::make_unique<Buffers>(backend, config, limits_, rank);
  lossRows_ = lossRowsOf(*model_, adapters_, limits_.rows, buffers_->bytes[9]);
  const int64_t positions = tablePositions(config, limits_);
  const std::vector<float> global = ropeTable(config.rope, config.headDim, positions);
  backend.upload(buffers_->at[13], global.data(), global.size() * sizeof(float));
  std::vector<float> local;
  if (config.window > 0) {
    local = ropeTable(config.ropeLocal, config.headDim, positions);
    backend.upload(buffers_->at[14], local.data(), local.size() * sizeof(float));
  }
  backend.synchronize();
}

Decoder::~Decoder() = default;

MemoryPlan Decoder::plan(const ModelConfig& config, const BackendSizes& backend, const Limits& limits,
                         int32_t maxGroupRank) {
  MemoryPlan plan = {
      {"backend", backend.fixedBytes() + productBytes(config, backend, limits.rows, limits.sequences, false)}};
  forEachBuffer(config, backend.activationType(), limits, maxGroupRank, [&](const char* name, int, size_t bytes) {
    const auto item = std::find_if(plan.begin(), plan.end(), [&](const PlanItem& p) { return p.name == name; });
    if (item != plan.end()) {
      item->bytes += bytes;
    } else {
      plan.push_back({name, bytes});
    }
  });
  return plan;
}

std::span<const LoraGroup> Decoder::groups(int32_t layer, LinearGroup group, const DecodeBatch& batch) {
  return lora_.build(adapters_, batch.adapterRows, layer, group);
}

void Decoder::layer(int32_t index, int32_t rows, const DecodeBatch& batch) {
  const ModelConfig& c = model_->config();
  const LayerWeights& w = model_->layers()[static_cast<size_t>(index)];
  Backend& b = model_->backend();
  const Buffers& m = *buffers_;
  const Sizes s(c);
  const bool local = c.layerIsLocal[static_cast<size_t>(index)] != 0;
  const DevF32 x = m.f(0);
  const DevReal normed = m.r(1), qkv = m.r(2), attention = m.r(3), gateUp = m.r(4), act = m.r(5), out = m.r(6),
                p = m.r(7);
  const DevReal q = qkv, k = qkv + s.query, v = qkv + s.query + c.kvDim();
  const HeadRows hidden{rows, s.hidden, 1, c.hidden};
  const HeadRows queries{rows, s.qkv, c.heads, c.headDim};
  const HeadRows keys{rows, s.qkv, c.kvHeads, c.headDim};
  const DevConstI32 positions = m.i(10) + limits_.rows;

  const auto residual = [&](DevConstF32 postNorm) {
    if (postNorm) {
      b.rmsNormForward(out, hidden, postNorm, c.rmsEps, x, s.hidden, x, {});
    } else {
      b.add(x, out, rows * s.hidden);
    }
  };

  b.rmsNormForward(x, hidden, w.attentionNorm, c.rmsEps, normed, s.hidden, {}, {});
  b.linearSample(w.qkv, normed, s.hidden, rows, qkv, s.qkv, groups(index, LinearGroup::kQkv, batch), p);
  if (w.qkvBias) b.addToRows(qkv, s.qkv, rows, w.qkvBias, s.qkv);
  if (c.qkNorm) {
    b.rmsNormForward(q, queries, w.qNorm, c.rmsEps, q, s.qkv, {}, {});
    b.rmsNormForward(k, keys, w.kNorm, c.rmsEps, k, s.qkv, {}, {});
  }
  const DevConstF32 table = local ? m.f(14) : m.f(13);
  b.rope(q, {rows, s.qkv, c.heads + c.kvHeads, c.headDim}, positions, table, 1);  // and k, which stands behind it
  const AttentionShape shape{c.heads, c.kvHeads, c.headDim, c.attentionScale, local ? c.window : 0};
  const DevReal pool = m.r(15) + static_cast<int64_t>(index) * limits_.pages * static_cast<int64_t>(pageFloats(c));
  b.kvStore(shape, k, v, s.qkv, rows, m.i(10) + 2 * int64_t{limits_.rows}, m.i(10) + 3 * int64_t{limits_.rows}, pool);
  b.attentionCached(shape, q, s.qkv, rows, positions, m.i(10) + 4 * int64_t{limits_.rows}, m.i(11), batch.maxPosition,
                    pool, attention, s.query);
  b.linearSample(w.o, attention, s.query, rows, out, s.hidden, groups(index, LinearGroup::kO, batch), p);
  residual(w.postAttentionNorm);

  b.rmsNormForward(x, hidden, w.mlpNorm, c.rmsEps, normed, s.hidden, {}, {});
  b.linearSample(w.gateUp, normed, s.hidden, rows, gateUp, 2 * s.feedForward,
                 groups(index, LinearGroup::kGateUp, batch), p);
  b.gatedForward(c.activation, gateUp, rows, s.feedForward, act);
  b.linearSample(w.down, act, s.feedForward, rows, out, s.hidden, groups(index, LinearGroup::kDown, batch), p);
  residual(w.postMlpNorm);
}

// A page holds the keys of its tokens, then their values.
void Decoder::copyPages(const DecodeBatch& batch) {
  const ModelConfig& c = model_->config();
  Backend& b = model_->backend();
  const auto token = static_cast<int64_t>(c.kvDim()) * elementBytes(b.activationType());
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    for (const PageCopy& copy : batch.copies) {
      for (const int64_t half : {0, 1}) {
        const auto at = [&](int64_t page) {
          return buffers_->at[15] + ((layer * limits_.pages + page) * 2 + half) * kKvPageTokens * token;
        };
        b.copy(at(copy.to), at(copy.from), static_cast<size_t>(copy.tokens * token));
      }
    }
  }
}

void Decoder::layers(const DecodeBatch& batch) {
  const ModelConfig& c = model_->config();
  const auto rows = static_cast<int32_t>(batch.tokens.size());
  model_->backend().gatherWeightRows(model_->embedding(), buffers_->i(10), rows, c.embeddingScale, buffers_->f(0));
  for (int32_t index = 0; index < c.layers; ++index) layer(index, rows, batch);
}

// Of the chunk whose logits are there: differences of logits are those of log-probabilities, so one log-probability a row, that
// of the likeliest id, gives all others; and an id that ties with it has the same one to the bit.
void Decoder::score(const DecodeBatch& batch, int64_t first, int64_t count, std::span<RowScores> scores) {
  const ModelConfig& c = model_->config();
  Backend& b = model_->backend();
  const Buffers& m = *buffers_;
  const DevF32 logits = m.f(9);
  const auto vocabulary = static_cast<size_t>(c.vocabulary);
  const auto usable = static_cast<size_t>(limits_.usable > 0 ? std::min(limits_.usable, c.vocabulary) : c.vocabulary);
  rowLogits_.resize(vocabulary);
  std::array<int32_t, kLogitRows> best = {};
  std::array<float, kLogitRows> bestLogit = {}, bestLogprob = {};
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(first + i);
    const ScoreWish& wish = batch.wishes[row];
    if (wish.target < 0 && wish.top == 0) continue;
    b.download(rowLogits_.data(), (logits + i * int64_t{c.vocabulary}).as<const std::byte>(),
               vocabulary * sizeof(float));
    b.synchronize();
    RowScores& score = scores[row];
    largest(std::span(rowLogits_).first(usable), static_cast<size_t>(std::max(wish.top, 1)), score.top);
    best[static_cast<size_t>(i)] = score.top.front().token;
    bestLogit[static_cast<size_t>(i)] = score.top.front().logprob;
    if (wish.target >= 0) score.target = rowLogits_[static_cast<size_t>(wish.target)];
  }
  const DevI32 targets = m.drawn(limits_) + first;  // what is drawn comes here later
  const DevF32 logprobs = m.drawnLogprobs(limits_) + first;
  b.upload(targets.as<std::byte>(), best.data(), static_cast<size_t>(count) * sizeof(int32_t));
  b.crossEntropy(logits, count, c.vocabulary, targets, {}, logprobs);
  b.download(bestLogprob.data(), logprobs.as<const std::byte>(), static_cast<size_t>(count) * sizeof(float));
  b.synchronize();
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    const ScoreWish& wish = batch.wishes[static_cast<size_t>(first + i)];
    RowScores& score = scores[static_cast<size_t>(first + i)];
    const auto logprobOf = [&](float logit) { return bestLogprob[at] + (logit - bestLogit[at]); };
    score.target = wish.target < 0 ? 0 : logprobOf(score.target);
    for (TokenLogprob& each : score.top) each.logprob = logprobOf(each.logprob);
    score.top.resize(std::min(score.top.size(), static_cast<size_t>(wish.top)));
  }
}

void Decoder::draw(const DecodeBatch& batch, std::span<RowScores> scores) {
  const ModelConfig& c = model_->config();
  Backend& b = model_->backend();
  const Buffers& m = *buffers_;
  const Sizes s(c);
  const auto outputs = static_cast<int64_t>(batch.outputRows.size());
  const DevF32 last = m.f(8), logits = m.f(9);
  const DevReal normed = m.r(1);  // the layers are done with it
  const int64_t usable = limits_.usable > 0 ? std::min(limits_.usable, c.vocabulary) : c.vocabulary;
  const std::vector<AdapterRows> adapterRows = adapterRowsOf(batch.adapterRows, batch.outputRows);
  // All rows that draw in one go: more there are only where a prompt's own rows are scored.
  for (int64_t group = 0; group < outputs; group += limits_.sequences) {
    const int64_t rows = std::min<int64_t>(limits_.sequences, outputs - group);
    b.gatherRows(m.f(0), s.hidden, m.i(12) + group, rows, s.hidden, last);
    b.rmsNormForward(last, HeadRows{rows, s.hidden, 1, c.hidden}, model_->finalNorm(), c.rmsEps, normed, s.hidden, {},
                     {});
    for (int64_t done = 0; done < rows; done += kLogitRows) {
      const int64_t n = std::min(kLogitRows, rows - done), at = group + done;
      const auto ranges = adapterRowsWithin(adapterRows, static_cast<int32_t>(at), static_cast<int32_t>(at + n));
      b.linearSample(model_->head(), normed + done * s.hidden, s.hidden, n, logits, s.vocabulary,
                     lora_.build(adapters_, ranges, 0, LinearGroup::kHead), m.r(7));
      if (!batch.wishes.empty()) score(batch, at, n, scores);
      b.sampleRows(logits, n, s.vocabulary, usable,
                   std::span(batch.params).subspan(static_cast<size_t>(at), static_cast<size_t>(n)),
                   m.drawn(limits_) + at, m.drawnLogprobs(limits_) + at);
    }
  }
}

// One number a row, which never leaves the device's side as logits do: where the loss can do without them, neither does this.
void Decoder::scoreTargets(const DecodeBatch& batch) {
  const ModelConfig& c = model_->config();
  Backend& b = model_->backend();
  const Buffers& m = *buffers_;
  const Sizes s(c);
  const auto outputs = static_cast<int64_t>(batch.outputRows.size());
  const auto targets = static_cast<int64_t>(batch.targetRows.size());
  const DevF32 last = m.f(8), logits = m.f(9);
  const DevReal normed = m.r(1);
  const std::vector<AdapterRows> adapterRows = adapterRowsOf(batch.adapterRows, batch.targetRows);
  const int64_t most = lossRows_ > 0 ? lossRows_ : std::min<int64_t>(limits_.sequences, kLogitRows);
  int64_t n = 0;
  for (int64_t first = 0; first < targets; first += n) {
    n = std::min(most, targets - first);
    const int64_t at = outputs + first;
    b.gatherRows(m.f(0), s.hidden, m.i(12) + at, n, s.hidden, last);
    b.rmsNormForward(last, HeadRows{n, s.hidden, 1, c.hidden}, model_->finalNorm(), c.rmsEps, normed, s.hidden, {}, {});
    const DevI32 ids = m.drawn(limits_) + at;
    const DevF32 logprobs = m.drawnLogprobs(limits_) + at;
    if (lossRows_ > 0) {
      b.headLoss(model_->head(), normed, s.hidden, n, ids, {}, logprobs, {}, s.hidden, m.at[9]);
      continue;
    }
    const auto ranges = adapterRowsWithin(adapterRows, static_cast<int32_t>(first), static_cast<int32_t>(first + n));
    b.linearSample(model_->head(), normed, s.hidden, n, logits, s.vocabulary,
                   lora_.build(adapters_, ranges, 0, LinearGroup::kHead), m.r(7));
    b.crossEntropy(logits, n, s.vocabulary, ids, {}, logprobs);
  }
}

void Decoder::run(const DecodeBatch& batch, const Results& results, const std::atomic<bool>* cancel) {
  Backend& b = model_->backend();
  const CancelScope scope(b, cancel);
  const Buffers& m = *buffers_;
  const auto rows = static_cast<int32_t>(batch.tokens.size());
  const auto outputs = static_cast<int64_t>(batch.outputRows.size());
  const auto targets = static_cast<int64_t>(batch.targetRows.size());
  const auto up = [&](DevI32 to, const std::vector<int32_t>& from) {
    if (!from.empty()) b.upload(to.as<std::byte>(), from.data(), from.size() * sizeof(int32_t));
  };
  const DevI32 ints = m.i(10);
  up(ints, batch.tokens);
  up(ints + limits_.rows, batch.positions);
  up(ints + 2 * int64_t{limits_.rows}, batch.rowPages);
  up(ints + 3 * int64_t{limits_.rows}, batch.rowSlots);
  up(ints + 4 * int64_t{limits_.rows}, batch.rowTables);
  up(m.i(11), batch.pageTables);
  up(m.i(12), batch.outputRows);
  up(m.i(12) + outputs, batch.targetRows);
  copyPages(batch);

  const auto ops = [&] {
    layers(batch);
    if (outputs > 0) draw(batch, results.scores);
  };
  if (rows == outputs && batch.wishes.empty()) {
    b.repeated(ops);  // every sequence goes on by one token: what the next pass will do as well
  } else {
    ops();
  }
  if (targets > 0) {
    up(m.drawn(limits_) + outputs, batch.targets);
    scoreTargets(batch);
    b.download(results.targetLogprobs.data(), (m.drawnLogprobs(limits_) + outputs).as<const std::byte>(),
               static_cast<size_t>(targets) * sizeof(float));
  }
  if (outputs > 0) {
    b.download(results.tokens.data(), m.drawn(limits_).as<const std::byte>(),
               static_cast<size_t>(outputs) * sizeof(int32_t));
    b.download(results.logprobs.data(), m.drawnLogprobs(limits_).as<const std::byte>(),
               static_cast<size_t>(outputs) * sizeof(float));
  }
  b.synchronize();
}

}  // namespace mlit
