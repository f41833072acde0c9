#include "bench/gpu/flops.h"

#include <algorithm>

namespace mlit::bench {

namespace {

// Keys seen by all queries of one document in all layers.
double attentionPairs(const ModelConfig& config, double length) {
  const double full = length * (length + 1) / 2;
  const double rest = config.window > 0 ? std::max(0.0, length - config.window) : 0;
  const double local = full - rest * (rest + 1) / 2;
  double pairs = 0;
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    const bool isLocal = !config.layerIsLocal.empty() && config.layerIsLocal[static_cast<size_t>(layer)] != 0;
    pairs += isLocal ? local : full;
  }
  return pairs;
}

}  // namespace

double trainingFlops(const ModelConfig& c, int64_t rank, std::span<const Lengths> documents) {
  double tokens = 0, supervised = 0, pairs = 0;
  for (const Lengths& document : documents) {
    tokens += static_cast<double>(document.tokens);
    supervised += static_cast<double>(document.supervised);
    pairs += attentionPairs(c, static_cast<double>(document.tokens));
  }
  const auto base = [](double in, double out) { return 2 * in * out; };
  const auto both = [&](double in, double out) {
    return 2 * base(in, out) + 3 * 2 * static_cast<double>(rank) * (in + out);
  };
  const double d = c.hidden, f = c.feedForward, q = c.queryDim(), kv = c.kvDim();
  const double qkv = both(d, q) + 2 * both(d, kv), qkvBase = base(d, q) + 2 * base(d, kv);
  const double tail = both(q, d) + 2 * both(d, f) + both(f, d);
  // Nothing flows below the first layer's adapters; behind the last layer's attention supervised tokens alone count.
  const double body = tokens * (c.layers * qkv - qkvBase) + (tokens * (c.layers - 1) + supervised) * tail;
  return body + pairs * q * 2 * 6 + supervised * 4 * static_cast<double>(c.vocabulary) * d;
}

int64_t parameterCount(const ModelConfig& c) {
  const int64_t d = c.hidden, q = c.queryDim(), kv = c.kvDim(), f = c.feedForward;
  const int64_t layer = d * (q + 2 * kv) + q * d + 3 * d * f;
  return int64_t{c.vocabulary} * d * (c.tiedHead ? 1 : 2) + c.layers * layer;
}

}  // namespace mlit::bench
