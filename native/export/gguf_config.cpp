// The inverse of model/config_gguf.cpp. Keys that llama.cpp does not read are written where our reader needs them, under the
// names that its own converters use.
#include "core/error.h"
#include "export/gguf_model.h"

namespace mlit {

std::vector<GgufEntry> ggufConfig(const ModelConfig& c) {
  const bool gemma = c.architecture == Architecture::kGemma3;
  const std::string name = architectureName(c.architecture);
  const auto key = [&](const char* below) { return name + "." + below; };
  const auto u32 = [&](const char* below, int32_t value) { return ggufU32(key(below), static_cast<uint32_t>(value)); };
  std::vector<GgufEntry> entries = {
      u32("block_count", c.layers),
      u32("context_length", c.contextLength),
      u32("embedding_length", c.hidden),
      u32("feed_forward_length", c.feedForward),
      u32("attention.head_count", c.heads),
      u32("attention.head_count_kv", c.kvHeads),
      u32("attention.key_length", c.headDim),
      u32("attention.value_length", c.headDim),
      u32("vocab_size", c.vocabulary),
      u32("rope.dimension_count", c.headDim),
      ggufF32(key("attention.layer_norm_rms_epsilon"), c.rmsEps),
      ggufF32(key("rope.freq_base"), static_cast<float>(c.rope.base)),
  };
  if (c.rope.scaling == RopeSpec::Scaling::kLinear) {
    entries.push_back(ggufText(key("rope.scaling.type"), "linear"));
    entries.push_back(ggufF32(key("rope.scaling.factor"), static_cast<float>(c.rope.factor)));
  }
  if (c.window > 0) {
    entries.push_back(u32("attention.sliding_window", c.window));
    std::vector<bool> local;
    bool all = true;
    for (const uint8_t flag : c.layerIsLocal) {
      local.push_back(flag != 0);
      all = all && flag != 0;
    }
    if (!all) entries.push_back(ggufBools(key("attention.sliding_window_pattern"), local));
  }
  if (gemma) {
    entries.push_back(ggufF32(key("attention.scale"), c.attentionScale));
    entries.push_back(ggufF32(key("rope.freq_base_swa"), static_cast<float>(c.ropeLocal.base)));
  }
  return entries;
}

}  // namespace mlit
