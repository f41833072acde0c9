// GGUF metadata → ModelConfig. The format leaves out much of what Gemma 3 needs: the defaults for that are here.
#include <cmath>

#include "core/error.h"
#include "model/config_check.h"

namespace mlit {

namespace {

// Keys of one architecture: all begin with its name.
struct Keys {
  const GgufFile& file;
  std::string prefix;

  std::string full(const std::string& key) const { return prefix + "." + key; }
  bool has(const std::string& key) const { return file.has(full(key)); }
  int32_t size(const std::string& key) const {
    if (!has(key)) damagedKey(file.path(), full(key), "absent", "a number");
    return checkedSize(file.path(), full(key), file.integer(full(key)));
  }
  int32_t size(const std::string& key, int32_t otherwise) const { return has(key) ? size(key) : otherwise; }
  double number(const std::string& key, double otherwise) const {
    return has(key) ? file.number(full(key)) : otherwise;
  }
};

void readRope(const Keys& keys, ModelConfig& config) {
  const GgufFile& file = keys.file;
  if (keys.has("rope.dimension_count") && keys.size("rope.dimension_count") != config.headDim) {
    refuseOption(file.path(), keys.full("rope.dimension_count"), std::to_string(keys.size("rope.dimension_count")),
                 "the size of a head, " + std::to_string(config.headDim));
  }
  if (keys.has("rope.scaling.type")) {
    config.rope.scaling =
        ropeScaling(file.path(), keys.full("rope.scaling.type"), file.text(keys.full("rope.scaling.type")));
    config.rope.factor = keys.number("rope.scaling.factor", 1);
  } else if (keys.has("rope.scale_linear")) {
    config.rope.scaling = RopeSpec::Scaling::kLinear;
    config.rope.factor = keys.number("rope.scale_linear", 1);
  }
  if (config.rope.scaling == RopeSpec::Scaling::kLlama3) {
    refuseOption(file.path(), keys.full("rope.scaling.type"), "llama3",
                 "the tensor rope_freqs.weight instead, as converters write it");
  }
  if (const TensorInfo* divisors = file.find("rope_freqs.weight")) {
    if (elementCount(divisors->shape) != config.headDim / 2) {
      throw Error(ErrorCode::kTensorMismatch,
                  "rope_freqs.weight has shape " + shapeText(divisors->shape) + ", expected [" +
                      std::to_string(config.headDim / 2) + "] in " + file.path(),
                  {{"tensor", "rope_freqs.weight"}, {"file", file.path()}});
    }
    config.rope.divisors.resize(static_cast<size_t>(config.headDim / 2));
    file.readRows(*divisors, 0, 1, config.rope.divisors.data());
  }
}

// The window pattern: a period, or one flag a layer (true = local).
void readPattern(const Keys& keys, ModelConfig& config) {
  const std::string key = keys.full("attention.sliding_window_pattern");
  const auto found = keys.file.metadata().find(key);
  if (found == keys.file.metadata().end()) return everySixthGlobal(config);
  config.layerIsLocal.assign(static_cast<size_t>(config.layers), 0);
  const auto flags = [&](const auto& values) {
    if (values.size() != static_cast<size_t>(config.layers)) {
      damagedKey(keys.file.path(), key, std::to_string(values.size()) + " entries", std::to_string(config.layers));
    }
    for (size_t i = 0; i < values.size(); ++i) config.layerIsLocal[i] = values[i] ? 1 : 0;
  };
  if (const auto* bools = std::get_if<std::vector<bool>>(&found->second)) return flags(*bools);
  if (const auto* ints = std::get_if<std::vector<int32_t>>(&found->second)) return flags(*ints);
  everySixthGlobal(config, checkedSize(keys.file.path(), key, keys.file.integer(key)));
}

bool tokenIs(const GgufFile& file, size_t id, const std::string& text) {
  const auto found = file.metadata().find("tokenizer.ggml.tokens");
  if (found == file.metadata().end()) return false;
  const auto* tokens = std::get_if<std::vector<std::string>>(&found->second);
  return tokens != nullptr && id < tokens->size() && (*tokens)[id] == text;
}

void readEos(const GgufFile& file, ModelConfig& config) {
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (file.has(key)) config.eosIds.push_back(idOf(file.integer(key)));
  }
  constexpr int32_t kGemmaEndOfTurn = 106;
  if (config.architecture == Architecture::kGemma3 && !file.has("tokenizer.ggml.eot_token_id") &&
      tokenIs(file, kGemmaEndOfTurn, "<end_of_turn>")) {
    config.eosIds.push_back(kGemmaEndOfTurn);
  }
}

void readGemma3(const Keys& keys, ModelConfig& config) {
  config.qkNorm = true;
  config.postNorms = true;
  config.activation = GatedActivation::kGeluTanh;
  config.embeddingScale = std::sqrt(static_cast<float>(config.hidden));
  constexpr int32_t kLayersOf27B = 62;
  const double queryScalar =
      config.layers == kLayersOf27B ? static_cast<double>(config.hidden) / config.heads : config.headDim;
  config.attentionScale = static_cast<float>(keys.number("attention.scale", 1 / std::sqrt(queryScalar)));
  config.window = keys.size("attention.sliding_window", 0);
  if (config.window > 0) readPattern(keys, config);
  config.ropeLocal.base = keys.number("rope.freq_base_swa", 10000);
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (keys.number(cap, 0) != 0)
      refuseOption(keys.file.path(), keys.full(cap), std::to_string(keys.number(cap, 0)), "none");
  }
}

Architecture architectureNamed(const std::string& path, const std::string& name) {
  std::string known;
  for (const Architecture architecture : kArchitectures) {
    if (name == architectureName(architecture)) return architecture;
    known += std::string(known.empty() ? "" : ", ") + architectureName(architecture);
  }
  refuseArchitecture(path, name, known);
}

}  // namespace

ModelConfig configFromGguf(const GgufFile& file) {
  const std::string& path = file.path();
  if (!file.has("general.architecture")) damagedKey(path, "general.architecture", "absent", "the model's architecture");
  const std::string name = file.text("general.architecture");
  ModelConfig config;
  config.architecture = architectureNamed(path, name);
  const Keys keys{file, name};
  config.layers = keys.size("block_count");
  config.hidden = keys.size("embedding_length");
  config.feedForward = keys.size("feed_forward_length");
  config.heads = keys.size("attention.head_count");
  config.kvHeads = keys.size("attention.head_count_kv", config.heads);
  config.headDim = keys.size("attention.key_length", config.hidden / config.heads);
  if (keys.size("attention.value_length", config.headDim) != config.headDim) {
    refuseOption(path, keys.full("attention.value_length"), std::to_string(keys.size("attention.value_length")),
                 "the same as attention.key_length, " + std::to_string(config.headDim));
  }
  if (keys.has("expert_count") && file.integer(keys.full("expert_count")) > 0) {
    refuseOption(path, keys.full("expert_count"), std::to_string(file.integer(keys.full("expert_count"))),
                 "0 (no mixture of experts)");
  }
  config.contextLength = keys.size("context_length");
  config.rmsEps = static_cast<float>(keys.number("attention.layer_norm_rms_epsilon", 1e-6));
  const TensorInfo* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    throw Error(ErrorCode::kTensorMissing, "token_embd.weight, a matrix, is missing from " + path,
                {{"tensor", "token_embd.weight"}, {"file", path}});
  }
  config.vocabulary = checkedSize(path, "the rows of token_embd.weight", embedding->shape[0]);
  checkSizes(path, config);
  config.tiedHead = file.find("output.weight") == nullptr;
  config.rope.base = keys.number("rope.freq_base", config.architecture == Architecture::kGemma3 ? 1e6 : 1e4);
  readRope(keys, config);
  if (config.architecture == Architecture::kGemma3) {
    readGemma3(keys, config);
  } else {
    config.qkvBias = config.architecture == Architecture::kQwen2;
    config.qkNorm = config.architecture == Architecture::kQwen3;
    config.attentionScale = static_cast<float>(1 / std::sqrt(static_cast<double>(config.headDim)));
    config.window = keys.size("attention.sliding_window", 0);
    if (config.window > 0) config.layerIsLocal.assign(static_cast<size_t>(config.layers), 1);
    config.ropeLocal = config.rope;
  }
  readEos(file, config);
  checkConfig(path, config);
  return config;
}

}  // namespace mlit
