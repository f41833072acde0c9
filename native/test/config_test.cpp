// Configurations: both file formats describe the same models, every default is filled in, and what this build does not
// compute is refused by name.
#include "model/config.h"

#include <cmath>
#include <set>

#include "model/model.h"
#include "model_support.h"

namespace mlit::test {
namespace {

nlohmann::json llamaJson() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"vocab_size", 100}};
}

nlohmann::json gemmaJson() {
  nlohmann::json json = llamaJson();
  json["architectures"] = {"Gemma3ForCausalLM"};
  json["num_hidden_layers"] = 18;
  return json;
}

ModelConfig configOf(const nlohmann::json& json) {
  const TempDir folder;
  writeFile(folder.file("config.json"), json.dump());
  return configFromHuggingFace(folder.path().string());
}

void expectSame(const ModelConfig& a, const ModelConfig& b) {
  EXPECT_EQ(a.architecture, b.architecture);
  EXPECT_EQ(a.layers, b.layers);
  EXPECT_EQ(a.hidden, b.hidden);
  EXPECT_EQ(a.feedForward, b.feedForward);
  EXPECT_EQ(a.heads, b.heads);
  EXPECT_EQ(a.kvHeads, b.kvHeads);
  EXPECT_EQ(a.headDim, b.headDim);
  EXPECT_EQ(a.vocabulary, b.vocabulary);
  EXPECT_EQ(a.contextLength, b.contextLength);
  EXPECT_FLOAT_EQ(a.rmsEps, b.rmsEps);
  EXPECT_EQ(a.tiedHead, b.tiedHead);
  EXPECT_EQ(a.qkNorm, b.qkNorm);
  EXPECT_EQ(a.postNorms, b.postNorms);
  EXPECT_EQ(a.activation, b.activation);
  EXPECT_EQ(a.embeddingScale, b.embeddingScale);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.layerIsLocal, b.layerIsLocal);
  EXPECT_EQ(a.qkvBias, b.qkvBias);
  // Llama 3's scaling is a rule in one format and a tensor in the other: the angles count.
  EXPECT_LE(maxError(ropeTable(a.rope, a.headDim, 200), ropeTable(b.rope, b.headDim, 200)), 1e-5);
  EXPECT_LE(maxError(ropeTable(a.ropeLocal, a.headDim, 200), ropeTable(b.ropeLocal, b.headDim, 200)), 1e-5);
}

TEST(Config, BothGenerationsOfConfigJsonAndGgufAgree) {
  for (const std::string family : {"llama-tiny", "smol-tiny", "gemma3-tiny", "zoo/llama3-scaled", "zoo/mistral-window",
                                   "zoo/mistral-spm", "zoo/qwen2", "zoo/qwen3", "zoo/gemma3-conditional"}) {
    SCOPED_TRACE(family);
    const ModelConfig first = readModelConfig(fixture(family + "/model"));
    const ModelConfig second = configOf(readJsonFile(fixture(family + "/model/config.v5.json")));
    const ModelConfig gguf = readModelConfig(fixture(family + "/model.gguf"));
    expectSame(first, second);
    expectSame(first, gguf);
    const std::string generation = fixture(family + "/model/generation_config.json");
    if (std::filesystem::exists(generation)) {
      const auto ids = readJsonFile(generation).root()["eos_token_id"].get<std::vector<int32_t>>();
      EXPECT_EQ(std::set<int32_t>(first.eosIds.begin(), first.eosIds.end()), std::set<int32_t>(ids.begin(), ids.end()));
    } else {
      EXPECT_EQ(first.eosIds, second.eosIds);
    }
    EXPECT_FLOAT_EQ(first.attentionScale, second.attentionScale);
    EXPECT_FLOAT_EQ(gguf.attentionScale, 1 / std::sqrt(static_cast<float>(gguf.headDim)));
  }
}

TEST(Config, GemmaTinyHasItsWindowPatternAndScales) {
  const ModelConfig c = readModelConfig(fixture("gemma3-tiny/model"));
  EXPECT_EQ(c.architecture, Architecture::kGemma3);
  EXPECT_EQ(c.layerIsLocal, (std::vector<uint8_t>{1, 1, 1, 1, 1, 0, 1}));
  EXPECT_EQ(c.window, 8);
  EXPECT_FLOAT_EQ(c.attentionScale, 1 / std::sqrt(24.0f));
  EXPECT_FLOAT_EQ(c.embeddingScale, std::sqrt(48.0f));
  EXPECT_EQ(c.rope.base, 1e6);
  EXPECT_EQ(c.ropeLocal.base, 1e4);
  EXPECT_TRUE(c.qkNorm && c.postNorms && c.tiedHead);
}

TEST(Config, LlamaDefaults) {
  const ModelConfig c = configOf(llamaJson());
  EXPECT_EQ(c.kvHeads, 4);
  EXPECT_EQ(c.headDim, 16);
  EXPECT_EQ(c.contextLength, 2048);
  EXPECT_EQ(c.rope.base, 10000);
  EXPECT_EQ(c.rope.scaling, RopeSpec::Scaling::kNone);
  EXPECT_FALSE(c.tiedHead || c.qkNorm || c.postNorms);
  EXPECT_EQ(c.window, 0);
  EXPECT_EQ(c.layerIsLocal, (std::vector<uint8_t>{0, 0, 0}));
  EXPECT_FLOAT_EQ(c.attentionScale, 0.25f);
}

TEST(Config, GemmaDefaults) {
  const ModelConfig c = configOf(gemmaJson());
  EXPECT_EQ(c.headDim, 256);
  EXPECT_EQ(c.kvHeads, 4);
  EXPECT_EQ(c.window, 4096);
  EXPECT_EQ(c.contextLength, 131072);
  EXPECT_FLOAT_EQ(c.attentionScale, 1.0f / 16);
  for (int32_t layer = 0; layer < c.layers; ++layer) {
    EXPECT_EQ(c.layerIsLocal[static_cast<size_t>(layer)] == 0, layer == 5 || layer == 11 || layer == 17) << layer;
  }
  EXPECT_EQ(c.ropeLocal.base, 10000);
  nlohmann::json json = gemmaJson();
  json["rope_local_base_freq"] = 20000.0;
  EXPECT_EQ(configOf(json).ropeLocal.base, 20000);
  EXPECT_EQ(configOf(json).rope.base, 1e6);
  json["sliding_window_pattern"] = 2;
  EXPECT_EQ(configOf(json).layerIsLocal[1], 0);
}

TEST(Config, LlamaHasNoWindowWhateverTheFileSays) {
  nlohmann::json json = llamaJson();
  json["sliding_window"] = 128;
  EXPECT_EQ(configOf(json).window, 0);
}

TEST(Config, MistralsWindowIsOptional) {
  nlohmann::json json = llamaJson();
  json["architectures"] = {"MistralForCausalLM"};
  json["num_key_value_heads"] = 2;
  json["sliding_window"] = nullptr;
  json["head_dim"] = 24;
  EXPECT_EQ(configOf(json).window, 0);
  EXPECT_EQ(configOf(json).headDim, 24);
  json["sliding_window"] = 128;
  EXPECT_EQ(configOf(json).window, 128);
  EXPECT_EQ(configOf(json).layerIsLocal, (std::vector<uint8_t>{1, 1, 1}));
  json.erase("sliding_window");
  EXPECT_EQ(configOf(json).window, 4096) << "the class's default, where the file leaves it out";
}

TEST(Config, QwensFilesNameAWindowThatIsNotUsed) {
  nlohmann::json json = llamaJson();
  json["architectures"] = {"Qwen2ForCausalLM"};
  json["num_key_value_heads"] = 2;
  json["sliding_window"] = 128;
  json["max_window_layers"] = 2;
  EXPECT_EQ(configOf(json).window, 0);
  EXPECT_TRUE(configOf(json).qkvBias && !configOf(json).qkNorm);
  json["use_sliding_window"] = true;
  EXPECT_EQ(configOf(json).window, 128);
  EXPECT_EQ(configOf(json).layerIsLocal, (std::vector<uint8_t>{0, 0, 1}));
  json["max_window_layers"] = 3;
  EXPECT_EQ(configOf(json).window, 0);
  json["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(configOf(json).layerIsLocal, (std::vector<uint8_t>{1, 0, 0}));
  json["use_sliding_window"] = false;
  expectError(ErrorCode::kFileDamaged, {"window"}, [&] { configOf(json); });
}

TEST(Config, Qwen3sHeadsAreOfTheirOwnSize) {
  nlohmann::json json = llamaJson();
  json["model_type"] = "qwen3";
  json.erase("architectures");
  json["num_key_value_heads"] = 2;
  EXPECT_EQ(configOf(json).headDim, 128);
  EXPECT_FLOAT_EQ(configOf(json).attentionScale, 1 / std::sqrt(128.0f));
  EXPECT_TRUE(configOf(json).qkNorm && !configOf(json).qkvBias);
  json["attention_bias"] = true;
  expectError(ErrorCode::kModelUnsupported, {"attention_bias"}, [&] { configOf(json); });
}

TEST(Config, Gemma3From4BUpLeavesOutWhatItsClassKnows) {
  const nlohmann::json text = {{"hidden_size", 2560},
                               {"intermediate_size", 10240},
                               {"model_type", "gemma3_text"},
                               {"num_hidden_layers", 34},
                               {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                               {"sliding_window", 1024}};
  nlohmann::json json = {{"architectures", {"Gemma3ForConditionalGeneration"}},
                         {"eos_token_id", {1, 106}},
                         {"model_type", "gemma3"},
                         {"text_config", text}};
  const ModelConfig c = configOf(json);
  EXPECT_EQ(c.heads, 8);
  EXPECT_EQ(c.kvHeads, 4);
  EXPECT_EQ(c.headDim, 256);
  EXPECT_EQ(c.vocabulary, 262208);
  EXPECT_EQ(c.contextLength, 131072);
  EXPECT_TRUE(c.tiedHead);
  EXPECT_EQ(c.modulePath, "model.language_model.");
  EXPECT_EQ(c.rope.scaling, RopeSpec::Scaling::kLinear);
  EXPECT_EQ(c.rope.factor, 8);
  EXPECT_EQ(c.ropeLocal.scaling, RopeSpec::Scaling::kNone);
  EXPECT_EQ(c.eosIds, (std::vector<int32_t>{1, 106}));
  json.erase("text_config");
  expectError(ErrorCode::kFileDamaged, {"text_config"}, [&] { configOf(json); });
}

TEST(Config, RotaryScalings) {
  nlohmann::json json = llamaJson();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  const ModelConfig linear = configOf(json);
  EXPECT_EQ(linear.rope.scaling, RopeSpec::Scaling::kLinear);
  EXPECT_EQ(ropeTable(linear.rope, 16, 9)[8 * 16], ropeTable(RopeSpec{}, 16, 9)[2 * 16])
      << "position 8 over 4 is position 2";
  json["rope_scaling"] = {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 64}};
  const ModelConfig llama3 = configOf(json);
  EXPECT_EQ(llama3.rope.scaling, RopeSpec::Scaling::kLlama3);
  const std::vector<float> scaled = ropeTable(llama3.rope, 16, 2), plain = ropeTable(RopeSpec{}, 16, 2);
  EXPECT_EQ(scaled[16], plain[16]) << "a short wavelength is kept";
  EXPECT_NEAR(scaled[16 + 15], plain[16 + 15] / 8, 1e-7) << "a long wavelength is stretched eightfold";
}

TEST(Config, WhatIsNotComputedIsRefusedByName) {
  const auto refused = [](nlohmann::json json, const char* key, const nlohmann::json& value, const std::string& part) {
    json[key] = value;
    expectError(ErrorCode::kModelUnsupported, {part}, [&] { configOf(json); });
  };
  refused(llamaJson(), "architectures", {"Olmo2ForCausalLM"}, "Olmo2ForCausalLM");
  refused(llamaJson(), "architectures", {"Gemma3nForConditionalGeneration"}, "Gemma3nForConditionalGeneration");
  refused(llamaJson(), "hidden_act", "gelu", "hidden_act");
  refused(llamaJson(), "attention_bias", true, "attention_bias");
  refused(llamaJson(), "mlp_bias", true, "mlp_bias");
  refused(llamaJson(), "partial_rotary_factor", 0.5, "partial_rotary_factor");
  refused(llamaJson(), "rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}, "yarn");
  refused(gemmaJson(), "hidden_activation", "gelu", "hidden_activation");
  refused(gemmaJson(), "final_logit_softcapping", 30.0, "final_logit_softcapping");
}

TEST(Config, ImpossibleValuesNameTheirKey) {
  const auto damaged = [](const char* key, const nlohmann::json& value) {
    nlohmann::json json = llamaJson();
    json[key] = value;
    expectError(ErrorCode::kFileDamaged, {key, "config.json"}, [&] { configOf(json); });
  };
  damaged("hidden_size", 0);
  damaged("hidden_size", "64");
  damaged("num_hidden_layers", nullptr);
  damaged("rms_norm_eps", "small");
  damaged("tie_word_embeddings", 1);
  const TempDir folder;
  writeFile(folder.file("config.json"), "{\"hidden_size\": 64");
  expectError(ErrorCode::kFileDamaged, {"config.json", "byte"}, [&] { configFromHuggingFace(folder.path().string()); });
  expectError(ErrorCode::kFileNotFound, {"config.json"}, [&] { configFromHuggingFace(folder.file("none")); });
  expectError(ErrorCode::kFileNotFound, {"none"}, [&] { readModelConfig(folder.file("none")); });
}

TEST(Config, SizesThatNoModelHasAreRefusedBeforeMemoryIsTaken) {
  const auto damaged = [](const char* key, const nlohmann::json& value, const std::string& part) {
    nlohmann::json json = llamaJson();
    json[key] = value;
    expectError(ErrorCode::kFileDamaged, {part, "config.json"}, [&] { configOf(json); });
  };
  constexpr int kHuge = 1 << 30;
  damaged("num_hidden_layers", kHuge, "number of layers");
  damaged("hidden_size", kHuge, "hidden size");
  damaged("intermediate_size", kHuge, "size of the MLP");
  damaged("head_dim", kHuge, "heads' size");
  damaged("vocab_size", kHuge, "vocabulary");
  damaged("vocab_size", int64_t{1} << 40, "vocab_size");
  const nlohmann::json llama3 = {
      {"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}};
  damaged("rope_scaling", llama3, "high_freq_factor");
  damaged("hidden_size", std::string(100'000, 'x'), "hidden_size is \"xxx");
  nlohmann::json json = llamaJson();
  json["eos_token_id"] = {int64_t{1} << 32, -1, 5, 5};  // 2^32 is no 0
  EXPECT_EQ(configOf(json).eosIds, std::vector<int32_t>{5});
  std::vector<int> many(200'000);
  std::iota(many.begin(), many.end(), 0);
  json["vocab_size"] = 200'000;
  json["eos_token_id"] = many;
  EXPECT_EQ(configOf(json).eosIds.size(), many.size());
}

TEST(Config, RotaryTableIsCosThenSin) {
  const std::vector<float> table = ropeTable(RopeSpec{}, 4, 3);
  EXPECT_FLOAT_EQ(table[2 * 4], std::cos(2.0f));
  EXPECT_FLOAT_EQ(table[2 * 4 + 1], std::cos(0.02f));
  EXPECT_FLOAT_EQ(table[2 * 4 + 2], std::sin(2.0f));
  EXPECT_FLOAT_EQ(table[2 * 4 + 3], std::sin(0.02f));
}

}  // namespace
}  // namespace mlit::test
