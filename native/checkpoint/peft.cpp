// Options are divided in three: those that are used, those that must be off, and those that only steer peft's own training.
#include "checkpoint/peft.h"

#include <array>
#include <cmath>

#include "checkpoint/json_file.h"
#include "core/file_error.h"

namespace mlit {

namespace {

using nlohmann::json;

// Options that change what the adapter computes when they are anything but empty, false or 0.
constexpr std::array kMustBeOff = {
    "use_dora",
    "fan_in_fan_out",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "layer_replication",
    "trainable_token_indices",
    "exclude_modules",
    "alora_invocation_tokens",
    "target_parameters",
    "use_qalora",
    "megatron_config",
    "use_bdlora",
    "kasa_config",
    "monteclora_config",
    "arrow_config",
    "ensure_weight_tying",
};
// Initialisations that also change the base's weights.
constexpr std::array kBaseChanging = {"pissa", "olora", "corda", "loftq"};

bool isOff(const json& value) {
  return value.is_null() || value == json(false) || (value.is_number() && value.get<double>() == 0) ||
         (value.is_string() && value.empty()) || ((value.is_array() || value.is_object()) && value.empty());
}

[[noreturn]] void refuse(const std::string& file, const std::string& option, const std::string& value,
                         const std::string& expected) {
  const std::string shown = printable(value);
  throw Error(ErrorCode::kModelUnsupported,
              file + ": " + option + " = " + shown + " is not supported; expected " + expected,
              {{"file", file}, {"option", option}, {"value", shown}, {"expected", expected}});
}

[[noreturn]] void damaged(const std::string& file, const std::string& key, const std::string& value,
                          const std::string& expected) {
  const std::string shown = printable(value);
  throw Error(ErrorCode::kFileDamaged, file + ": " + key + " is " + shown + ", expected " + expected,
              {{"file", file}, {"key", key}, {"value", shown}, {"expected", expected}});
}

// The value of a key, null where there is none.
const json& member(const json& config, const char* key) {
  static const json absent;
  const auto found = config.find(key);
  return found == config.end() ? absent : *found;
}

std::vector<std::string> readTargets(const std::string& file, const json& value) {
  if (value.is_string() && value != json("")) return {};  // "all-linear" or a pattern
  if (!value.is_array() || value.empty())
    refuse(file, "target_modules", value.dump(), "a list of module names, a pattern or \"all-linear\"");
  std::vector<std::string> targets;
  for (const json& name : value) {
    if (!name.is_string()) damaged(file, "target_modules", value.dump(), "a list of module names");
    targets.push_back(name.get<std::string>());
  }
  return targets;
}

void refuseUnsupported(const std::string& file, const json& config) {
  if (member(config, "peft_type") != json("LORA"))
    refuse(file, "peft_type", member(config, "peft_type").dump(), "\"LORA\"");
  for (const char* option : kMustBeOff) {
    if (config.contains(option) && !isOff(config[option]))
      refuse(file, option, config[option].dump(), "it to be absent or off");
  }
  const json& bias = member(config, "bias");
  if (!isOff(bias) && bias != json("none")) refuse(file, "bias", bias.dump(), "\"none\"");
  const json& initial = member(config, "init_lora_weights");
  for (const char* name : kBaseChanging) {
    if (initial.is_string() && initial.get<std::string>().starts_with(name)) {
      refuse(file, "init_lora_weights", initial.dump(), "an initialisation that leaves the base model as it is");
    }
  }
}

}  // namespace

PeftOptions readPeftOptions(const std::string& file) {
  const JsonDocument document = readJsonFile(file);
  const json& config = document.root();
  refuseUnsupported(file, config);
  PeftOptions options;
  const json& rank = member(config, "r");
  if (!rank.is_number_integer() || rank.get<int64_t>() < 1 || rank.get<int64_t>() > 65536)
    damaged(file, "r", rank.dump(), "an integer from 1");
  options.rank = static_cast<int32_t>(rank.get<int64_t>());
  const json& alpha = member(config, "lora_alpha");
  if (!alpha.is_number()) damaged(file, "lora_alpha", alpha.dump(), "a number");
  options.alpha = alpha.get<double>();
  const json& rslora = member(config, "use_rslora");
  if (!rslora.is_boolean() && !rslora.is_null()) damaged(file, "use_rslora", rslora.dump(), "true or false");
  options.rslora = rslora == json(true);
  const json& dropout = member(config, "lora_dropout");
  if (!dropout.is_null()) {
    if (!dropout.is_number() || dropout.get<double>() < 0 || dropout.get<double>() >= 1)
      damaged(file, "lora_dropout", dropout.dump(), "a number from 0 to less than 1");
    options.dropout = dropout.get<double>();
  }
  const json& targets = member(config, "target_modules");
  options.targets = readTargets(file, targets);
  options.targetsByPattern = targets.is_string() && targets != json("all-linear");
  const json& base = member(config, "base_model_name_or_path");
  if (base.is_string()) options.baseModel = base.get<std::string>();
  return options;
}

namespace {

// JSON text; a path need not be UTF-8, and what is not becomes U+FFFD.
std::string jsonText(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string targetsText(const PeftOptions& options, const std::string& modulePath) {
  if (modulePath == "model.") {
    std::string list;
    for (const std::string& target : options.targets)
      list.append(list.empty() ? "[\n    " : ",\n    ").append(jsonText(target));
    return list.empty() ? "[]" : list + "\n  ]";
  }
  std::string names, head;
  for (const std::string& target : options.targets) {
    if (target == kPeftHead) {
      head = target;
    } else {
      names += (names.empty() ? "" : "|") + target;
    }
  }
  if (names.empty()) return jsonText(head);
  return jsonText(".*language_model.*\\.(" + names + ")" + (head.empty() ? "" : "|" + head));
}

std::string numberText(double value) {
  const bool whole = std::floor(value) == value && std::abs(value) < 1e9;
  return whole ? std::to_string(static_cast<int64_t>(value)) : json(value).dump();
}

}  // namespace

std::string peftOptionsText(const PeftOptions& options, const std::string& modulePath) {
  std::string text = "{\n";
  const auto put = [&](const char* key, const std::string& value) {
    text.append(text.size() > 2 ? ",\n" : "").append("  \"").append(key).append("\": ").append(value);
  };
  put("peft_type", "\"LORA\"");
  put("task_type", "\"CAUSAL_LM\"");
  put("base_model_name_or_path", jsonText(options.baseModel));
  put("revision", "null");
  put("inference_mode", "true");
  put("r", std::to_string(options.rank));
  put("lora_alpha", numberText(options.alpha));
  put("lora_dropout", json(options.dropout).dump());
  put("use_rslora", options.rslora ? "true" : "false");
  put("use_dora", "false");
  put("bias", "\"none\"");
  put("fan_in_fan_out", "false");
  put("init_lora_weights", "true");
  put("target_modules", targetsText(options, modulePath));
  put("modules_to_save", "null");
  put("rank_pattern", "{}");
  put("alpha_pattern", "{}");
  put("layers_to_transform", "null");
  put("layers_pattern", "null");
  return text + "\n}\n";
}

namespace {

constexpr std::string_view kPeftRoot = "base_model.model.";

// Before transformers 4.52 the class of a multimodal model kept a whole causal model, its head included, as language_model.
std::string headPath(const std::string& modulePath) {
  return (modulePath == "language_model.model." ? "language_model." : "") + std::string(kPeftHead);
}

}  // namespace

std::string peftHeadCopy(const std::string& modulePath) {
  return std::string(kPeftRoot) + headPath(modulePath) + ".base_layer.weight";
}

std::string peftModulePath(std::string_view tensorName) {
  if (!tensorName.starts_with(kPeftRoot)) return "";
  tensorName.remove_prefix(kPeftRoot.size());
  for (const char* known : {kPeftMultimodalPaths[0], kPeftMultimodalPaths[1], "model."}) {
    std::string path = known;
    if (tensorName.starts_with(path + "layers.")) return path;
    if (headPath(path) != kPeftHead && tensorName.starts_with(headPath(path) + ".")) return path;
  }
  return "";
}

std::string peftTensorName(const std::string& modulePath, int32_t layer, const std::string& module, char factor) {
  const std::string factorName = std::string(".lora_") + factor + ".weight";
  const std::string root(kPeftRoot);
  if (module == kPeftHead) return root + headPath(modulePath) + factorName;
  const bool mlp = module == "gate_proj" || module == "up_proj" || module == "down_proj";
  return root + modulePath + "layers." + std::to_string(layer) + (mlp ? ".mlp." : ".self_attn.") + module + factorName;
}

}  // namespace mlit
