// The inverse of model/config_huggingface.cpp: what it reads back must be the same configuration, to the last bit.
#include "export/config_json.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"
#include "model/config_check.h"

namespace mlit {

namespace {

using nlohmann::ordered_json;

// The shortest decimal that is this float: 1e-06, not 9.99999997e-07.
double shortest(float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double result = 0;
  std::from_chars(text, end, result);
  return result;
}

// A whole number is written as one, as transformers does.
ordered_json plain(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// 1/√scalar as the reader computes it must be the scale that the model has.
ordered_json queryScalar(float attentionScale) {
  const double scalar = 1 / (static_cast<double>(attentionScale) * static_cast<double>(attentionScale));
  if (static_cast<float>(1 / std::sqrt(std::round(scalar))) == attentionScale) return plain(std::round(scalar));
  return scalar;
}

// The positions that the model was made for, from a frequency on the ramp between those that are kept and those that are
// stretched; what Llama 3 has where none lies there.
int32_t originalContext(const RopeSpec& rope, int32_t headDim, const std::vector<float>& divisors) {
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double divisor = divisors[i];
    if (divisor <= 1.001 || divisor >= rope.factor * 0.999) continue;
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.base, 2.0 * static_cast<double>(i) / headDim);
    const double smooth = (1 / divisor - 1 / rope.factor) / (1 - 1 / rope.factor);
    const double context = wavelength * (rope.lowFreqFactor + smooth * (rope.highFreqFactor - rope.lowFreqFactor));
    if (context >= 1 && context < 1e9) return static_cast<int32_t>(std::lround(context));
  }
  return 8192;
}

// Llama 3's rule gives a GGUF's divisors back; its two frequency factors are the same in every release.
void findLlama3(int32_t headDim, RopeSpec& rope, const std::string& file) {
  const std::vector<float> divisors = rope.divisors;
  rope.divisors.clear();
  bool plainRope = true;
  for (const float divisor : divisors) plainRope = plainRope && divisor == 1;
  if (plainRope) return;
  rope.scaling = RopeSpec::Scaling::kLlama3;
  rope.factor = divisors.back();
  rope.lowFreqFactor = 1;
  rope.highFreqFactor = 4;
  rope.originalContext = originalContext(rope, headDim, divisors);
  const std::vector<float> found = rotaryDivisors(rope, headDim);
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (std::abs(found[i] - divisors[i]) <= 1e-4f * std::abs(divisors[i])) continue;
    refuseOption(
        file, "rope_freqs.weight", "element " + std::to_string(i) + " is " + std::to_string(divisors[i]),
        "Llama 3's rule with low_freq_factor 1 and high_freq_factor 4, which gives " + std::to_string(found[i]) +
            " for " + std::to_string(rope.originalContext) +
            " original positions, and config.json has no words for another; export as gguf, which copies the tensor, "
            "or from the Hugging Face folder");
  }
}

ordered_json scalingJson(const RopeSpec& rope) {
  switch (rope.scaling) {
    case RopeSpec::Scaling::kNone:
      return nullptr;
    case RopeSpec::Scaling::kLinear:
      return {{"rope_type", "linear"}, {"factor", rope.factor}};
    case RopeSpec::Scaling::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", rope.factor},
              {"low_freq_factor", rope.lowFreqFactor},
              {"high_freq_factor", rope.highFreqFactor},
              {"original_max_position_embeddings", rope.originalContext}};
  }
  throw Error(ErrorCode::kInternal, "unknown rotary scaling");
}

struct Family {
  const char* className;
  const char* modelType;
};

Family familyOf(const ModelConfig& config) {
  switch (config.architecture) {
    case Architecture::kLlama:  // Llama's class knows no window
      return config.window > 0 ? Family{"MistralForCausalLM", "mistral"} : Family{"LlamaForCausalLM", "llama"};
    case Architecture::kQwen2:
      return {"Qwen2ForCausalLM", "qwen2"};
    case Architecture::kQwen3:
      return {"Qwen3ForCausalLM", "qwen3"};
    case Architecture::kGemma3:
      return {"Gemma3ForCausalLM", "gemma3_text"};
  }
  throw Error(ErrorCode::kInternal, "unknown architecture");
}

ordered_json layerTypes(const ModelConfig& config) {
  ordered_json types = ordered_json::array();
  for (const uint8_t local : config.layerIsLocal) types.push_back(local != 0 ? "sliding_attention" : "full_attention");
  return types;
}

}  // namespace

std::string configJson(const ModelConfig& c, const std::string& file) {
  const Family family = familyOf(c);
  RopeSpec rope = c.rope;
  if (!rope.divisors.empty()) findLlama3(c.headDim, rope, file);
  ordered_json json;
  json["architectures"] = {family.className};
  json["model_type"] = family.modelType;
  json["vocab_size"] = c.vocabulary;
  json["hidden_size"] = c.hidden;
  json["intermediate_size"] = c.feedForward;
  json["num_hidden_layers"] = c.layers;
  json["num_attention_heads"] = c.heads;
  json["num_key_value_heads"] = c.kvHeads;
  json["head_dim"] = c.headDim;
  json["max_position_embeddings"] = c.contextLength;
  json["rms_norm_eps"] = shortest(c.rmsEps);
  json["tie_word_embeddings"] = c.tiedHead;
  json["attention_dropout"] = 0.0;
  json["rope_theta"] = plain(rope.base);
  json["rope_scaling"] = scalingJson(rope);
  json["use_cache"] = true;
  switch (c.architecture) {
    case Architecture::kLlama:
      json["hidden_act"] = "silu";
      if (c.window > 0) {
        json["sliding_window"] = c.window;
      } else {
        json["attention_bias"] = false;
        json["mlp_bias"] = false;
      }
      break;
    case Architecture::kQwen3:
    case Architecture::kQwen2:
      json["hidden_act"] = "silu";
      if (c.architecture == Architecture::kQwen3) json["attention_bias"] = false;
      json["use_sliding_window"] = c.window > 0;
      json["sliding_window"] = c.window > 0 ? ordered_json(c.window) : ordered_json(nullptr);
      json["layer_types"] = layerTypes(c);
      break;
    case Architecture::kGemma3:
      json["attention_bias"] = false;
      json["hidden_activation"] = "gelu_pytorch_tanh";
      json["query_pre_attn_scalar"] = queryScalar(c.attentionScale);
      json["rope_local_base_freq"] = plain(c.ropeLocal.base);
      json["sliding_window"] = c.window > 0 ? c.window : c.contextLength;
      json["attn_logit_softcapping"] = nullptr;
      json["final_logit_softcapping"] = nullptr;
      json["layer_types"] = layerTypes(c);
      break;
  }
  return json.dump(2) + "\n";
}

}  // namespace mlit
