// The smallest model there can be, made here and not read from a fixture: fuzzers mutate it, and tests that run a whole
// training thousands of times want each to take a millisecond.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace mlit::test {

// The text of a config.json: one layer, d = 8, 2 heads, 1 key-value head, 16 tokens. architecture: a model_type.
inline std::string tinyConfig(const std::string& architecture) {
  std::string text = R"({"model_type":")" + architecture +
                     R"(","num_hidden_layers":1,"hidden_size":8,"intermediate_size":8,"num_attention_heads":2,)"
                     R"("num_key_value_heads":1,"head_dim":4,"vocab_size":16,"max_position_embeddings":32,)"
                     R"("tie_word_embeddings":true,"eos_token_id":[1,2],"rms_norm_eps":1e-6,)";
  text += architecture == "gemma3_text"
              ? R"("hidden_activation":"gelu_pytorch_tanh","query_pre_attn_scalar":4,"sliding_window":4,)"
                R"("layer_types":["sliding_attention"],"rope_local_base_freq":10000.0,)"
              : R"("hidden_act":"silu","sliding_window":null,"rope_scaling":{"rope_type":"llama3","factor":8.0,)"
                R"("low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":16},)";
  return text + R"("rope_theta":10000.0})";
}

// Header and data of a safetensors file with the weights that tinyConfig() wants, as F16.
inline std::pair<std::string, std::string> tinyWeights(const std::string& architecture) {
  const bool gemma = architecture == "gemma3_text", qkNorm = gemma || architecture == "qwen3";
  const std::string layer = "model.layers.0.";
  std::vector<std::pair<std::string, Shape>> tensors = {
      {"model.embed_tokens.weight", {16, 8}},      {"model.norm.weight", {8}},
      {layer + "input_layernorm.weight", {8}},     {layer + "post_attention_layernorm.weight", {8}},
      {layer + "self_attn.q_proj.weight", {8, 8}}, {layer + "self_attn.k_proj.weight", {4, 8}},
      {layer + "self_attn.v_proj.weight", {4, 8}}, {layer + "self_attn.o_proj.weight", {8, 8}},
      {layer + "mlp.gate_proj.weight", {8, 8}},    {layer + "mlp.up_proj.weight", {8, 8}},
      {layer + "mlp.down_proj.weight", {8, 8}}};
  if (qkNorm) {
    tensors.push_back({layer + "self_attn.q_norm.weight", {4}});
    tensors.push_back({layer + "self_attn.k_norm.weight", {4}});
  }
  if (gemma) {
    tensors.push_back({layer + "pre_feedforward_layernorm.weight", {8}});
    tensors.push_back({layer + "post_feedforward_layernorm.weight", {8}});
  }
  if (architecture == "qwen2") {
    tensors.push_back({layer + "self_attn.q_proj.bias", {8}});
    tensors.push_back({layer + "self_attn.k_proj.bias", {4}});
    tensors.push_back({layer + "self_attn.v_proj.bias", {4}});
  }
  std::string header = "{", data;
  for (const auto& [name, shape] : tensors) {
    if (header.size() > 1) header += ',';
    const size_t begin = data.size();
    // Halves around ±0.3 and −0.1: none of them 0, infinite or NaN.
    for (int64_t i = 0; i < elementCount(shape); ++i) {
      data += static_cast<char>((i * 37 + static_cast<int64_t>(begin)) & 0xFF);
      data += static_cast<char>((i & 1) ? 0xB0 : 0x34);
    }
    std::string sizes;
    for (const int64_t size : shape) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    header += "\"" + name + R"(":{"dtype":"F16","shape":[)" + sizes + R"(],"data_offsets":[)" + std::to_string(begin) +
              "," + std::to_string(data.size()) + "]}";
  }
  return {header + "}", data};
}

// A safetensors file of a header's text and data.
inline std::string safetensorsOf(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file.append(header).append(data);
}

}  // namespace mlit::test
