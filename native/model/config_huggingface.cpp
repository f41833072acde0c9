// config.json → ModelConfig, in the form of transformers 4 and of transformers 5 (rope_parameters). Defaults are those of
// the configuration classes, because saved files leave out what equals them.
#include <cmath>
#include <filesystem>

#include "checkpoint/json_file.h"
#include "model/config_check.h"

namespace mlit {

namespace {

using nlohmann::json;

// One JSON object with the file's name for messages. null counts as absent, as it does in transformers.
struct Fields {
  const json& object;
  std::string file;

  const json* find(const std::string& key) const {
    const auto it = object.find(key);
    return it == object.end() || it->is_null() ? nullptr : &*it;
  }
  int32_t size(const std::string& key) const {
    const json* value = find(key);
    if (value == nullptr) damagedKey(file, key, "absent", "a number");
    if (!value->is_number_integer()) damagedKey(file, key, value->dump(), "an integer");
    return checkedSize(file, key, value->get<int64_t>());
  }
  int32_t size(const std::string& key, int32_t otherwise) const { return find(key) ? size(key) : otherwise; }
  double number(const std::string& key, double otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number()) damagedKey(file, key, value->dump(), "a number");
    return value->get<double>();
  }
  bool flag(const std::string& key, bool otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) damagedKey(file, key, value->dump(), "true or false");
    return value->get<bool>();
  }
  std::string text(const std::string& key, const std::string& otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) damagedKey(file, key, value->dump(), "a string");
    return value->get<std::string>();
  }
  void mustBeOff(const std::string& key) const {
    if (const json* value = find(key); value != nullptr && *value != json(false) && *value != json(0.0)) {
      refuseOption(file, key, value->dump(), "none");
    }
  }
};

std::string architectureOf(const Fields& fields) {
  if (const json* list = fields.find("architectures");
      list != nullptr && list->is_array() && !list->empty() && (*list)[0].is_string()) {
    return (*list)[0].get<std::string>();
  }
  std::string type = fields.text("model_type", "(none)");
  if (type == "llama") return "LlamaForCausalLM";
  if (type == "mistral") return "MistralForCausalLM";
  if (type == "gemma3_text") return "Gemma3ForCausalLM";
  return type;
}

// scaling: the object that holds rope_type, factor …; both generations of names are understood.
void readScaling(const Fields& scaling, RopeSpec& rope) {
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  rope.scaling = ropeScaling(scaling.file, "rope_type", type);
  rope.base = scaling.number("rope_theta", rope.base);
  if (rope.scaling == RopeSpec::Scaling::kNone) return;
  if (scaling.find("factor") == nullptr) damagedKey(scaling.file, "the rotary factor", "absent", "a number");
  rope.factor = scaling.number("factor", 1);
  if (rope.scaling != RopeSpec::Scaling::kLlama3) return;
  rope.lowFreqFactor = scaling.number("low_freq_factor", 1);
  rope.highFreqFactor = scaling.number("high_freq_factor", 4);
  rope.originalContext = scaling.size("original_max_position_embeddings", 8192);
}

// The global and the local rotation. transformers 4: rope_theta, rope_scaling, rope_local_base_freq; transformers 5:
// rope_parameters, either flat or one object for each type of layer.
void readRope(const Fields& fields, double defaultBase, ModelConfig& config) {
  config.rope.base = fields.number("rope_theta", defaultBase);
  config.ropeLocal.base = fields.number("rope_local_base_freq", 10000);
  const json* parameters = fields.find("rope_parameters");
  if (parameters == nullptr) parameters = fields.find("rope_scaling");
  if (parameters == nullptr) return;
  if (!parameters->is_object()) damagedKey(fields.file, "rope_parameters", parameters->dump(), "an object");
  const Fields outer{*parameters, fields.file};
  const json* full = outer.find("full_attention");
  const json* sliding = outer.find("sliding_attention");
  if (full == nullptr && sliding == nullptr) return readScaling(outer, config.rope);
  if (full != nullptr) readScaling(Fields{*full, fields.file}, config.rope);
  if (sliding != nullptr) readScaling(Fields{*sliding, fields.file}, config.ropeLocal);
}

void readLayerTypes(const Fields& fields, ModelConfig& config) {
  const json* types = fields.find("layer_types");
  if (types == nullptr) {
    return everySixthGlobal(config, fields.size("sliding_window_pattern", fields.size("_sliding_window_pattern", 6)));
  }
  if (!types->is_array() || types->size() != static_cast<size_t>(config.layers)) {
    damagedKey(fields.file, "layer_types", types->dump(), "a list of " + std::to_string(config.layers) + " names");
  }
  config.layerIsLocal.clear();
  for (const json& type : *types) {
    const std::string name = type.is_string() ? type.get<std::string>() : type.dump();
    if (name != "sliding_attention" && name != "full_attention") {
      refuseOption(fields.file, "layer_types", name, "sliding_attention or full_attention");
    }
    config.layerIsLocal.push_back(name == "sliding_attention");
  }
}

void readEos(const Fields& fields, ModelConfig& config) {
  const json* value = fields.find("eos_token_id");
  if (value == nullptr) return;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    if (!id.is_number_integer()) damagedKey(fields.file, "eos_token_id", value->dump(), "an id or a list of ids");
    config.eosIds.push_back(static_cast<int32_t>(id.get<int64_t>()));
  }
}

void readLlama(const Fields& fields, bool mistral, ModelConfig& config) {
  config.architecture = Architecture::kLlama;
  const std::string activation = fields.text("hidden_act", "silu");
  if (activation != "silu") refuseOption(fields.file, "hidden_act", activation, "silu");
  config.contextLength = fields.size("max_position_embeddings", mistral ? 131072 : 2048);
  config.tiedHead = fields.flag("tie_word_embeddings", false);
  config.attentionScale = static_cast<float>(1 / std::sqrt(static_cast<double>(config.headDim)));
  readRope(fields, 10000, config);
  config.ropeLocal = config.rope;
  if (!mistral) return;
  // Mistral's class has a window of 4096 unless the file says null.
  const bool given = fields.object.contains("sliding_window");
  config.window = given ? fields.size("sliding_window", 0) : 4096;
  if (config.window > 0) config.layerIsLocal.assign(static_cast<size_t>(config.layers), 1);
}

void readGemma3(const Fields& fields, ModelConfig& config) {
  config.architecture = Architecture::kGemma3;
  const std::string activation = fields.text("hidden_activation", fields.text("hidden_act", "gelu_pytorch_tanh"));
  if (activation != "gelu_pytorch_tanh")
    refuseOption(fields.file, "hidden_activation", activation, "gelu_pytorch_tanh");
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"})
    fields.mustBeOff(cap);
  config.qkNorm = true;
  config.postNorms = true;
  config.activation = GatedActivation::kGeluTanh;
  config.embeddingScale = std::sqrt(static_cast<float>(config.hidden));
  config.attentionScale = static_cast<float>(1 / std::sqrt(fields.number("query_pre_attn_scalar", 256)));
  config.contextLength = fields.size("max_position_embeddings", 131072);
  config.tiedHead = fields.flag("tie_word_embeddings", true);
  config.window = fields.size("sliding_window", 4096);
  readLayerTypes(fields, config);
  readRope(fields, 1e6, config);
}

}  // namespace

ModelConfig configFromHuggingFace(const std::string& folder) {
  const std::string file = (std::filesystem::path(folder) / "config.json").string();
  const json root = readJsonFile(file);
  const Fields fields{root, file};
  const std::string architecture = architectureOf(fields);
  const bool gemma = architecture == "Gemma3ForCausalLM";
  const bool mistral = architecture == "MistralForCausalLM";
  if (!gemma && !mistral && architecture != "LlamaForCausalLM") {
    refuseArchitecture(file, architecture, "LlamaForCausalLM, MistralForCausalLM, Gemma3ForCausalLM");
  }
  ModelConfig config;
  config.layers = fields.size("num_hidden_layers");
  config.hidden = fields.size("hidden_size");
  config.feedForward = fields.size("intermediate_size");
  config.heads = fields.size("num_attention_heads");
  config.kvHeads = fields.size("num_key_value_heads", gemma ? 4 : mistral ? 8 : config.heads);
  config.headDim = fields.size("head_dim", gemma ? 256 : config.hidden / config.heads);
  config.vocabulary = fields.size("vocab_size");
  config.rmsEps = static_cast<float>(fields.number("rms_norm_eps", 1e-6));
  for (const char* bias : {"attention_bias", "mlp_bias", "quantization_config"}) fields.mustBeOff(bias);
  if (gemma) {
    readGemma3(fields, config);
  } else {
    readLlama(fields, mistral, config);
  }
  readEos(fields, config);
  const std::filesystem::path generation = std::filesystem::path(folder) / "generation_config.json";
  if (std::filesystem::exists(generation)) {
    const json values = readJsonFile(generation.string());
    readEos(Fields{values, generation.string()}, config);
  }
  checkConfig(file, config);
  return config;
}

}  // namespace mlit
