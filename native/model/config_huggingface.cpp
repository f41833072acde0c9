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

// A class of transformers, with those defaults of its configuration that saved files may rely on (0: none).
struct Family {
  const char* className;
  const char* modelType;
  Architecture architecture;
  int32_t kvHeads = 0;  // 0: as many as heads
  int32_t headDim = 0;  // 0: d / heads
  int32_t context = 0;
  int32_t window = 0;       // where the file has no sliding_window
  bool multimodal = false;  // the decoder's values are in text_config
};

constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", "llama", Architecture::kLlama, 0, 0, 2048, 0},
    {"MistralForCausalLM", "mistral", Architecture::kLlama, 8, 0, 131072, 4096},
    {"Qwen2ForCausalLM", "qwen2", Architecture::kQwen2, 32, 0, 32768, 4096},
    {"Qwen3ForCausalLM", "qwen3", Architecture::kQwen3, 32, 128, 32768, 4096},
    {"Gemma3ForCausalLM", "gemma3_text", Architecture::kGemma3, 4, 256, 131072, 4096},
    {"Gemma3ForConditionalGeneration", "gemma3", Architecture::kGemma3, 4, 256, 131072, 4096, true},
};

const Family& familyOf(const Fields& fields) {
  const std::string type = fields.text("model_type", "(none)");
  const json* list = fields.find("architectures");
  const bool named = list != nullptr && list->is_array() && !list->empty() && (*list)[0].is_string();
  const std::string found = named ? (*list)[0].get<std::string>() : type;
  std::string known;
  for (const Family& family : kFamilies) {
    if (found == (named ? family.className : family.modelType)) return family;
    known += std::string(known.empty() ? "" : ", ") + family.className;
  }
  refuseArchitecture(fields.file, found, known);
}

Fields textConfig(const Fields& outer) {
  const json* text = outer.find("text_config");
  if (text == nullptr || !text->is_object())
    damagedKey(outer.file, "text_config", text == nullptr ? "absent" : text->dump(), "an object");
  return {*text, outer.file};
}

void requireWholeHeads(const Fields& fields) {
  const double part = fields.number("partial_rotary_factor", 1);
  if (part != 1) refuseOption(fields.file, "partial_rotary_factor", std::to_string(part), "1: whole heads are rotated");
}

// scaling: the object that holds rope_type, factor …; both generations of names are understood.
void readScaling(const Fields& scaling, RopeSpec& rope) {
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  rope.scaling = ropeScaling(scaling.file, "rope_type", type);
  rope.base = scaling.number("rope_theta", rope.base);
  requireWholeHeads(scaling);
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
  requireWholeHeads(fields);
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

// False where the file has no layer_types.
bool readLayerTypes(const Fields& fields, ModelConfig& config) {
  const json* types = fields.find("layer_types");
  if (types == nullptr) return false;
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
  return true;
}

// null means that there is no window; absent, that the class's default holds.
int32_t windowOf(const Fields& fields, int32_t otherwise) {
  return fields.object.contains("sliding_window") ? fields.size("sliding_window", 0) : otherwise;
}

void readEos(const Fields& fields, ModelConfig& config) {
  const json* value = fields.find("eos_token_id");
  if (value == nullptr) return;
  const auto take = [&](const json& id) {
    if (!id.is_number_integer()) damagedKey(fields.file, "eos_token_id", value->dump(), "an id or a list of ids");
    config.eosIds.push_back(idOf(id.get<int64_t>()));
  };
  if (!value->is_array()) return take(*value);
  for (const json& id : *value) take(id);
}

void requireActivation(const Fields& fields, const std::string& key, const std::string& expected) {
  const std::string found = fields.text(key, expected);
  if (found != expected) refuseOption(fields.file, key, found, expected);
}

void readLlama(const Fields& fields, const Family& family, ModelConfig& config) {
  requireActivation(fields, "hidden_act", "silu");
  config.tiedHead = fields.flag("tie_word_embeddings", false);
  config.attentionScale = static_cast<float>(1 / std::sqrt(static_cast<double>(config.headDim)));
  readRope(fields, 10000, config);
  config.ropeLocal = config.rope;
  if (family.window > 0)
    config.window = windowOf(fields, family.window);  // Llama's class has none, whatever the file says
  if (config.window > 0) config.layerIsLocal.assign(static_cast<size_t>(config.layers), 1);
}

void readQwen(const Fields& fields, const Family& family, ModelConfig& config) {
  readLlama(fields, family, config);
  config.qkvBias = config.architecture == Architecture::kQwen2;
  config.qkNorm = config.architecture == Architecture::kQwen3;
  if (!fields.flag("use_sliding_window", false)) config.window = 0;  // the files name a window that is not used
  if (readLayerTypes(fields, config)) return;
  const double first = fields.number("max_window_layers", 28);
  config.layerIsLocal.resize(static_cast<size_t>(config.layers));
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    config.layerIsLocal[static_cast<size_t>(layer)] = config.window > 0 && layer >= first;
  }
}

void readGemma3(const Fields& fields, const Family& family, ModelConfig& config) {
  requireActivation(fields, fields.find("hidden_activation") ? "hidden_activation" : "hidden_act", "gelu_pytorch_tanh");
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"})
    fields.mustBeOff(cap);
  config.qkNorm = true;
  config.postNorms = true;
  config.activation = GatedActivation::kGeluTanh;
  config.embeddingScale = std::sqrt(static_cast<float>(config.hidden));
  config.attentionScale = static_cast<float>(1 / std::sqrt(fields.number("query_pre_attn_scalar", 256)));
  config.tiedHead = fields.flag("tie_word_embeddings", true);
  config.window = windowOf(fields, family.window);
  if (!readLayerTypes(fields, config))
    everySixthGlobal(config, fields.size("sliding_window_pattern", fields.size("_sliding_window_pattern", 6)));
  readRope(fields, 1e6, config);
}

}  // namespace

ModelConfig configFromHuggingFace(const std::string& folder) {
  const std::string file = (std::filesystem::path(folder) / "config.json").string();
  const JsonDocument document = readJsonFile(file);
  const Fields outer{document.root(), file};
  const Family& family = familyOf(outer);
  const Fields fields = family.multimodal ? textConfig(outer) : outer;
  ModelConfig config;
  config.architecture = family.architecture;
  // The hub's Gemma 3 files from 4B up leave out what equals the class's defaults.
  const bool gemma = family.architecture == Architecture::kGemma3;
  const auto size = [&](const char* key, int32_t ofGemma) {
    return gemma ? fields.size(key, ofGemma) : fields.size(key);
  };
  config.layers = size("num_hidden_layers", 26);
  config.hidden = size("hidden_size", 2304);
  config.feedForward = size("intermediate_size", 9216);
  config.heads = size("num_attention_heads", 8);
  config.kvHeads = fields.size("num_key_value_heads", family.kvHeads > 0 ? family.kvHeads : config.heads);
  config.headDim = fields.size("head_dim", family.headDim > 0 ? family.headDim : config.hidden / config.heads);
  config.vocabulary = size("vocab_size", 262208);
  config.contextLength = fields.size("max_position_embeddings", family.context);
  checkSizes(file, config);
  config.rmsEps = static_cast<float>(fields.number("rms_norm_eps", 1e-6));
  fields.mustBeOff("mlp_bias");
  // Qwen2's class has its biases whatever the file says.
  if (family.architecture != Architecture::kQwen2) fields.mustBeOff("attention_bias");
  switch (family.architecture) {
    case Architecture::kLlama:
      readLlama(fields, family, config);
      break;
    case Architecture::kQwen2:
    case Architecture::kQwen3:
      readQwen(fields, family, config);
      break;
    case Architecture::kGemma3:
      readGemma3(fields, family, config);
      break;
  }
  if (family.multimodal) {
    config.modulePath = "model.language_model.";
    config.tiedHead = outer.flag("tie_word_embeddings", true);
  }
  outer.mustBeOff("quantization_config");
  readEos(outer, config);
  if (family.multimodal) readEos(fields, config);
  const std::filesystem::path generation = std::filesystem::path(folder) / "generation_config.json";
  if (std::filesystem::exists(generation)) {
    const JsonDocument values = readJsonFile(generation.string());
    readEos(Fields{values.root(), generation.string()}, config);
  }
  checkConfig(file, config);
  return config;
}

}  // namespace mlit
