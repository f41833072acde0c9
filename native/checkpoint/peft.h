// PEFT's adapter_config.json (https://github.com/huggingface/peft): which of its many options an adapter uses, with every
// option that would change the mathematics refused by name instead of ignored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlit {

inline constexpr const char* kPeftConfigFile = "adapter_config.json";
inline constexpr const char* kPeftTensorFile = "adapter_model.safetensors";

struct PeftOptions {
  int32_t rank = 0;
  double alpha = 0;
  bool rslora = false;
  std::vector<std::string> targets;  // names of linear modules; empty = "all-linear"
  std::string baseModel;             // base_model_name_or_path, may be empty
};

// file: path of an adapter_config.json. kModelUnsupported naming the option, kFileDamaged naming the key.
PeftOptions readPeftOptions(const std::string& file);
// The text of an adapter_config.json that peft loads for a causal language model; equal input gives equal bytes.
std::string peftOptionsText(const PeftOptions& options);

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"; factor is 'A' or 'B'.
std::string peftTensorName(int32_t layer, const std::string& module, char factor);

}  // namespace mlit
