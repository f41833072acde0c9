// The memory plan of training, as code: every buffer once, with its size.
#include "train/buffers.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "model/full_parameters.h"

namespace mlit {

DevicePtr<std::byte> Arena::take(const char* item, int64_t wanted) {
  constexpr size_t kAlignment = 256;
  const size_t bytes = (static_cast<size_t>(wanted) + kAlignment - 1) / kAlignment * kAlignment;
  const size_t offset = bytes_;
  bytes_ += bytes;
  const auto known = std::find_if(items_.begin(), items_.end(), [&](const PlanItem& i) { return i.name == item; });
  if (known != items_.end()) {
    known->bytes += bytes;
  } else {
    items_.push_back({item, bytes});
  }
  return base_ ? base_ + static_cast<int64_t>(offset) : base_;
}

namespace {

// tailRows: those that the layer's second half works on.
void placeActivations(Arena& arena, const ModelConfig& c, int64_t tokens, int64_t tailRows, int64_t qkvStride,
                      LayerBuffers& layer) {
  const auto floats = [&](int64_t perToken) { return arena.floats("activations", tokens * perToken); };
  const auto activations = [&](int64_t perToken) { return arena.activations("activations", tokens * perToken); };
  layer.inputInvRms = floats(1);
  layer.qkv = activations(qkvStride);
  if (c.qkNorm) {
    layer.q = activations(c.queryDim());
    layer.qInvRms = floats(c.heads);
    layer.kInvRms = floats(c.kvHeads);
  }
  layer.attention = activations(c.queryDim());
  layer.lse = floats(c.heads);
  const auto tail = [&](int64_t perRow) { return arena.floats("activations", tailRows * perRow); };
  layer.mid = tail(c.hidden);
  layer.midInvRms = tail(1);
  if (c.postNorms) {
    layer.oOut = arena.activations("activations", tailRows * c.hidden);
    layer.oInvRms = tail(1);
    layer.downOut = arena.activations("activations", tailRows * c.hidden);
    layer.downInvRms = tail(1);
  }
}

// Buffers that layers share are as large as the largest share; only the last layer's second half knows supervised rows alone.
void placeLayers(Arena& arena, const ModelConfig& c, const TrainOptions& options, SessionBuffers& b) {
  b.layers.resize(static_cast<size_t>(c.layers));
  const bool keepAll = options.training && options.recompute != Recompute::kLayer;
  const bool keepWide = options.training && options.recompute == Recompute::kNone;
  const size_t inputs = options.training ? b.layers.size() : std::min<size_t>(2, b.layers.size());
  for (size_t i = 0; i < b.layers.size(); ++i) {
    if (i > 0 && !keepAll) b.layers[i] = b.layers[0];
    b.layers[i].input = i < inputs ? arena.floats("activations", options.maxTokens * c.hidden) : b.layers[i - 2].input;
    const int64_t tailRows = i + 1 == b.layers.size() ? b.targetRows : options.maxTokens;
    if (i == 0 || keepAll) placeActivations(arena, c, options.maxTokens, tailRows, b.qkvStride, b.layers[i]);
    b.layers[i].gateUp =
        i == 0 || keepWide ? arena.activations("activations", tailRows * 2 * c.feedForward) : b.layers[0].gateUp;
  }
}

// Whether there is a loss without logits follows from the format alone, never from a size: its bits are not those of the other.
void placeLogits(Arena& arena, const ModelConfig& c, const std::vector<AdapterSpec>& adapters,
                 const TrainOptions& options, const BackendSizes& backend, WeightFormat format, SessionBuffers& b) {
  const size_t rowBytes = static_cast<size_t>(c.vocabulary) * sizeof(float);
  const auto rowsOf = [&](size_t bytes) {
    return std::clamp<int64_t>(static_cast<int64_t>(bytes / rowBytes), 1, b.targetRows);
  };
  b.chunkRows = rowsOf(options.logitsBytes);
  size_t bytes = static_cast<size_t>(b.chunkRows) * rowBytes;
  const auto lossBytes = [&](int64_t rows) {
    return backend.headLossBytes(rows, c.vocabulary, c.hidden, tableFormat(format, backend));
  };
  if (!options.full && lossBytes(1) > 0) {
    b.lossRows = b.targetRows;
    while (b.lossRows > 1 && lossBytes(b.lossRows) > options.logitsBytes) --b.lossRows;
    const size_t least = std::max(lossBytes(b.lossRows), rowBytes);
    if (anyOnHead(c, adapters)) {
      bytes = std::max(bytes, least);
    } else {
      bytes = least;
      b.chunkRows = rowsOf(bytes);
    }
  }
  b.logits = arena.floats("logits", static_cast<int64_t>((bytes + sizeof(float) - 1) / sizeof(float)));
}

}  // namespace

bool anyOnHead(const ModelConfig& config, const std::vector<AdapterSpec>& adapters) {
  return std::any_of(adapters.begin(), adapters.end(), [&](const AdapterSpec& spec) {
    const auto [begin, end] = AdapterLayout(config, spec).groupSlots(0, LinearGroup::kHead);
    return begin != end;
  });
}

SessionBuffers placeBuffers(Arena& arena, const ModelConfig& c, const std::vector<AdapterSpec>& adapters,
                            const TrainOptions& options, const BackendSizes& backend, WeightFormat format) {
  if (options.maxTokens < 1) {
    throw Error(ErrorCode::kInvalidArgument, "microTokens must be at least 1, not " + std::to_string(options.maxTokens),
                {{"field", "microTokens"}});
  }
  if (options.maxTargets < 0 || options.maxTargets > options.maxTokens) {
    throw Error(ErrorCode::kInvalidArgument,
                "maxTargets must be 0 to microTokens = " + std::to_string(options.maxTokens) + ", not " +
                    std::to_string(options.maxTargets),
                {{"field", "maxTargets"}});
  }
  const int64_t tokens = options.maxTokens, targets = options.maxTargets == 0 ? tokens : options.maxTargets;
  SessionBuffers b;
  b.targetRows = targets;
  b.qkvStride = c.qkvDim() + (c.qkNorm ? c.kvDim() : 0);
  b.positionCount = c.contextLength > 0 ? std::min<int64_t>(c.contextLength, tokens) : tokens;
  for (const AdapterSpec& spec : adapters) {
    if (!options.training || !options.slots.empty()) continue;  // what is in a slot brings its own
    const int64_t n = AdapterLayout(c, spec).parameterCount();
    b.gradients.push_back(arena.floats("optimizer", n));
    b.m.push_back(arena.floats("optimizer", n));
    b.v.push_back(arena.floats("optimizer", n));
  }
  if (options.full) {
    const int64_t n = FullLayout(c).count;
    b.parameters = arena.floats("parameters", n);
    b.gradients.push_back(arena.floats("optimizer", n));
    b.m.push_back(arena.floats("optimizer", n));
    b.v.push_back(arena.floats("optimizer", n));
  }
  placeLayers(arena, c, options, b);
  b.final = arena.floats("activations", targets * c.hidden);
  b.finalInvRms = arena.floats("activations", targets);
  const int64_t gathered = options.training ? tokens : targets;  // the backward lays all rows' gradients there
  b.rowAttention = arena.activations("activations", gathered * c.queryDim());
  b.rowInput = arena.floats("activations", gathered * c.hidden);

  const auto scratch = [&](int64_t perToken) { return arena.activations("scratch", tokens * perToken); };
  const auto floats = [&](int64_t perToken) { return arena.floats("scratch", tokens * perToken); };
  int64_t rank = 0;
  for (const AdapterSpec& spec : adapters) rank = std::max<int64_t>(rank, AdapterLayout(c, spec).maxGroupRank());
  b.normed = scratch(c.hidden);
  b.narrow = scratch(c.hidden);
  b.wideA = scratch(std::max(c.feedForward, c.queryDim()));
  if (options.training) {
    b.wideB = scratch(std::max(c.feedForward, c.qkvDim()));
    b.dx = arena.floats("scratch", targets * c.hidden);
    b.delta = floats(c.heads);
    b.sumSquares = arena.floats("scratch", 1);
  }
  if (rank > 0) {
    b.p = scratch(rank);
    if (options.training) b.u = scratch(rank);
  }
  b.weights = floats(1);
  b.logprobs = floats(1);
  b.tokens = arena.ints("scratch", tokens);
  b.positions = arena.ints("scratch", tokens);
  b.rows = arena.ints("scratch", tokens);
  b.targets = arena.ints("scratch", tokens);
  const bool dropout =
      std::any_of(adapters.begin(), adapters.end(), [](const AdapterSpec& spec) { return spec.dropout > 0; });
  if (options.training && dropout) {
    b.records = arena.ints("scratch", tokens);
    b.rowRecords = arena.ints("scratch", tokens);
    b.rowPositions = arena.ints("scratch", tokens);
  }
  b.rope = arena.floats("scratch", b.positionCount * c.headDim);
  b.ropeLocal = c.window > 0 ? arena.floats("scratch", b.positionCount * c.headDim) : b.rope;
  placeLogits(arena, c, adapters, options, backend, format, b);
  return b;
}

}  // namespace mlit
