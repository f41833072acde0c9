#include "bench/gpu/shapes.h"

#include <stdlib.h>

#include <filesystem>

#include "checkpoint/json_file.h"
#include "core/error.h"

namespace mlit::bench {

namespace {

// From the models' own config.json.
constexpr Shape kShapes[] = {
    {"gemma-3-270m", Family::kGemma3, 640, 18, 2048, 4, 1, 256, 262144, 32768, true, 512},
    {"gemma-3-1b", Family::kGemma3, 1152, 26, 6912, 4, 1, 256, 262144, 32768, true, 512},
    {"smollm2-135m", Family::kLlama3, 576, 30, 1536, 9, 3, 64, 49152, 8192, true, 0},
    {"qwen2.5-0.5b", Family::kQwen2, 896, 24, 4864, 14, 2, 64, 151936, 32768, true, 0},
    {"qwen3-0.6b", Family::kQwen3, 1024, 28, 3072, 16, 8, 128, 151936, 40960, true, 0},
    {"qwen3-1.7b", Family::kQwen3, 2048, 28, 6144, 16, 8, 128, 151936, 40960, true, 0},
    {"qwen3-4b", Family::kQwen3, 2560, 36, 9728, 32, 8, 128, 151936, 40960, true, 0},
    {"qwen3-8b", Family::kQwen3, 4096, 36, 12288, 32, 8, 128, 151936, 40960, false, 0},
    {"qwen3-14b", Family::kQwen3, 5120, 40, 17408, 40, 8, 128, 151936, 40960, false, 0},
    {"llama-3.1-8b", Family::kLlama3, 4096, 32, 14336, 32, 8, 128, 128256, 131072, false, 0},
    {"mistral-7b", Family::kMistral, 4096, 32, 14336, 32, 8, 128, 32768, 32768, false, 0},
    // Of no known model: a step takes a second on the emulator.
    {"tiny", Family::kGemma3, 48, 3, 64, 4, 2, 16, 320, 256, true, 8},
};

// Gemma 3: five local layers, then a global one.
nlohmann::json layerTypes(int32_t layers) {
  nlohmann::json types = nlohmann::json::array();
  for (int32_t layer = 0; layer < layers; ++layer) {
    types.push_back((layer + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
  }
  return types;
}

void addFamily(const Shape& shape, nlohmann::json& config) {
  const auto is = [&](const char* type, const char* architecture) {
    config["model_type"] = type;
    config["architectures"] = {architecture};
  };
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = 1e-6;
  config["rope_theta"] = 1e6;
  switch (shape.family) {
    case Family::kGemma3:
      is("gemma3_text", "Gemma3ForCausalLM");
      config.erase("hidden_act");
      config["hidden_activation"] = "gelu_pytorch_tanh";
      config["query_pre_attn_scalar"] = shape.headDim;
      config["sliding_window"] = shape.window;
      config["layer_types"] = layerTypes(shape.layers);
      config["rope_local_base_freq"] = 10000.0;
      break;
    case Family::kLlama3:
      is("llama", "LlamaForCausalLM");
      config["rms_norm_eps"] = 1e-5;
      config["rope_theta"] = 500000.0;
      config["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", shape.context > 8192 ? 8192 : shape.context / 8}};
      break;
    case Family::kMistral:
      is("mistral", "MistralForCausalLM");
      config["rms_norm_eps"] = 1e-5;
      config["sliding_window"] = shape.window > 0 ? nlohmann::json(shape.window) : nlohmann::json();
      break;
    case Family::kQwen2:
      is("qwen2", "Qwen2ForCausalLM");
      break;
    case Family::kQwen3:
      is("qwen3", "Qwen3ForCausalLM");
      break;
  }
}

}  // namespace

std::span<const Shape> shapes() { return kShapes; }

const Shape& findShape(const std::string& name) {
  std::string names;
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return shape;
    names += std::string(names.empty() ? "" : ", ") + shape.name;
  }
  throw Error(ErrorCode::kInvalidArgument, "there is no shape '" + name + "': it has to be one of " + names,
              {{"field", "shape"}, {"value", name}, {"expected", names}});
}

nlohmann::json configJson(const Shape& shape) {
  nlohmann::json config{{"hidden_size", shape.hidden},
                        {"num_hidden_layers", shape.layers},
                        {"intermediate_size", shape.feedForward},
                        {"num_attention_heads", shape.heads},
                        {"num_key_value_heads", shape.kvHeads},
                        {"head_dim", shape.headDim},
                        {"vocab_size", shape.vocabulary},
                        {"max_position_embeddings", shape.context},
                        {"tie_word_embeddings", shape.tiedHead},
                        {"attention_bias", false},
                        {"eos_token_id", 1},
                        {"torch_dtype", "bfloat16"}};
  addFamily(shape, config);
  return config;
}

ModelConfig configOf(const Shape& shape) {
  std::string folder = (std::filesystem::temp_directory_path() / "mlit-shape-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw Error(ErrorCode::kFileIo, "no temporary folder can be made");
  try {
    writeTextFile(folder + "/config.json", configJson(shape).dump());
    ModelConfig config = configFromHuggingFace(folder);
    std::filesystem::remove_all(folder);
    return config;
  } catch (...) {
    std::filesystem::remove_all(folder);
    throw;
  }
}

}  // namespace mlit::bench
