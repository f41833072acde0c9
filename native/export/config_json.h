// config.json for a model that came without one (from a GGUF file), with keys that transformers 4 and 5 both read.
#pragma once

#include <string>

#include "model/config.h"

namespace mlit {

// kModelUnsupported where config.json has no words for it (a rotary scaling that no known rule gives). dtype and the ids of
// special tokens are the caller's to add.
std::string configJson(const ModelConfig& config, const std::string& file);

}  // namespace mlit
