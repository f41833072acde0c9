// Documents of many lengths, laid end to end into one micro-batch, from a seed: what a step of a benchmark trains on.
#pragma once

#include <cstdint>
#include <vector>

#include "train/session.h"

namespace mlit::bench {

struct Lengths {
  int64_t tokens = 0;      // of the document
  int64_t supervised = 0;  // of those, tokens that are learnt: all behind the prompt
};

// Owns the arrays of a PackedBatch.
struct Documents {
  std::vector<Lengths> lengths;
  std::vector<int32_t> tokens, positions, cuSeqlens = {0}, targets, adapters;
  std::vector<float> weights;

  // So many tokens in all; each document has 32 to maxLength, as many of 32 to 64 as of 512 to 1024; a third of it is prompt.
  Documents(int64_t totalTokens, int64_t maxLength, int32_t vocabulary, uint64_t seed);
  PackedBatch view() const { return {tokens, positions, cuSeqlens, targets, weights, adapters}; }
  int64_t supervised() const;
};

}  // namespace mlit::bench
