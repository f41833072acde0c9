// PEFT's adapter_config.json (https://github.com/huggingface/peft): which of its many options an adapter uses, with every
// option that would change the mathematics refused by name instead of ignored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlit {

inline constexpr const char* kPeftConfigFile = "adapter_config.json";
inline constexpr const char* kPeftTensorFile = "adapter_model.safetensors";
inline constexpr const char* kPeftHead = "lm_head";

struct PeftOptions {
  int32_t rank = 0;
  double alpha = 0;
  bool rslora = false;
  std::vector<std::string> targets;  // names of linear modules; empty: "all-linear"
  std::string baseModel;             // base_model_name_or_path, may be empty
  double dropout = 0;                // lora_dropout
  bool targetsByPattern = false;     // a regular expression: which modules it met, the tensors tell
};

// file: path of an adapter_config.json. kModelUnsupported naming the option, kFileDamaged naming the key.
PeftOptions readPeftOptions(const std::string& file);
// The text of an adapter_config.json that peft loads for a causal language model; equal input gives equal bytes.
// modulePath other than "model.": the targets are written as a pattern that leaves the model's other towers alone.
std::string peftOptionsText(const PeftOptions& options, const std::string& modulePath);

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", "base_model.model.lm_head.lora_A.weight" (of no layer);
// factor is 'A' or 'B'. modulePath: where the model's class keeps the decoder, "model." or one of kPeftMultimodalPaths.
std::string peftTensorName(const std::string& modulePath, int32_t layer, const std::string& module, char factor);
// peft copies the frozen head into the file of an adapter that has a LoRA on it: the copy's name.
std::string peftHeadCopy(const std::string& modulePath);

// The paths under which peft's files of a multimodal model may have the decoder: since transformers 4.52 and before, when
// the head was not beside the decoder's tower but inside of it.
inline constexpr const char* kPeftMultimodalPaths[] = {"model.language_model.", "language_model.model."};
// The one of them, or "model.", that a tensor's name shows; empty where it shows none, as a plain head does not.
std::string peftModulePath(std::string_view tensorName);

}  // namespace mlit
