// PEFT's adapter_config.json (https://github.com/huggingface/peft): which of its many options an adapter uses, with every
// option that would change the mathematics refused by name instead of ignored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlit {

inline constexpr const char* kPeftConfigFile = "adapter_config.json";
inline constexpr const char* kPeftTensorFile = "adapter_model.safetensors";
inline constexpr const char* kPeftHead = "lm_head";
// peft copies the frozen head into the file of an adapter that has a LoRA on it.
inline constexpr const char* kPeftHeadCopy = "base_model.model.lm_head.base_layer.weight";

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

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", "base_model.model.lm_head.lora_A.weight" (of no layer);
// factor is 'A' or 'B'.
std::string peftTensorName(int32_t layer, const std::string& module, char factor);

}  // namespace mlit
