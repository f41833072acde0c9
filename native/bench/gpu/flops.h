// How much arithmetic a step is, counted the same for everybody: what the mathematics asks for, each product once, nothing that is padded,
// masked away or computed again. bench/flops.mjs counts the same for the CPU's benchmark.
#pragma once

#include <span>

#include "bench/gpu/documents.h"
#include "model/config.h"

namespace mlit::bench {

// Forward and backward over some documents with LoRA on all linear layers: the frozen matrices in both directions, the adapters'
// six products, attention in its window, the head on supervised tokens.
double trainingFlops(const ModelConfig& config, int64_t rank, std::span<const Lengths> documents);

int64_t parameterCount(const ModelConfig& config);  // of the matrices

}  // namespace mlit::bench
