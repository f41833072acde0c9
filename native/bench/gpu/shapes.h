// Shapes of known models by name, so that a benchmark or a test can make one from a seed: no file has to be fetched or copied.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "model/config.h"

namespace mlit::bench {

enum class Family { kGemma3, kLlama3, kMistral, kQwen2, kQwen3 };

struct Shape {
  const char* name;
  Family family;
  int32_t hidden, layers, feedForward, heads, kvHeads, headDim, vocabulary, context;
  bool tiedHead;
  int32_t window;  // of local layers, 0: none
};

std::span<const Shape> shapes();
// Throws kInvalidArgument, with the names that there are.
const Shape& findShape(const std::string& name);

// What its config.json says, for transformers as for us.
nlohmann::json configJson(const Shape& shape);
ModelConfig configOf(const Shape& shape);

}  // namespace mlit::bench
