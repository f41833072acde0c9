// What a transformer of the supported families looks like, read from either kind of checkpoint into one description,
// with every default of the file formats made explicit here and nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/gguf.h"

namespace mlit {

// kLlama stands for Mistral too: the files say all that is different there.
enum class Architecture { kLlama, kQwen2, kQwen3, kGemma3 };
inline constexpr Architecture kArchitectures[] = {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3,
                                                  Architecture::kGemma3};

struct RopeSpec {
  double base = 10000;
  enum class Scaling { kNone, kLinear, kLlama3 } scaling = Scaling::kNone;
  double factor = 1;
  double lowFreqFactor = 1;
  double highFreqFactor = 4;
  int64_t originalContext = 8192;
  std::vector<float> divisors;  // [headDim / 2] or empty: divides each frequency (GGUF's rope_freqs.weight)
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  int32_t layers = 0;
  int32_t hidden = 0;       // d
  int32_t feedForward = 0;  // f
  int32_t heads = 0;
  int32_t kvHeads = 0;
  int32_t headDim = 0;
  int32_t vocabulary = 0;  // rows of the embedding
  int32_t contextLength = 0;
  float rmsEps = 1e-6f;
  bool tiedHead = false;
  bool qkvBias = false;    // Qwen2: q, k and v have biases
  bool qkNorm = false;     // RMSNorm of q and k per head, before the rotation
  bool postNorms = false;  // Gemma: norms after attention and after the MLP, before the residual add
  GatedActivation activation = GatedActivation::kSilu;
  float embeddingScale = 1;
  float attentionScale = 1;           // multiplies q·k
  int32_t window = 0;                 // of local layers; 0 = none
  std::vector<uint8_t> layerIsLocal;  // [layers]: 1 = window applies and ropeLocal is used
  RopeSpec rope;                      // global layers
  RopeSpec ropeLocal;
  // Where transformers' class keeps the decoder: "model.language_model." in a Gemma3ForConditionalGeneration.
  std::string modulePath = "model.";
  std::vector<int32_t> eosIds;  // ids after which generation stops, from the checkpoint (may be empty)

  int32_t queryDim() const { return heads * headDim; }
  int32_t kvDim() const { return kvHeads * headDim; }
  int32_t qkvDim() const { return queryDim() + 2 * kvDim(); }
};

const char* architectureName(Architecture architecture);  // "llama", "qwen2", "qwen3", "gemma3"

// Throws kModelUnsupported naming the architecture or the option, kFileDamaged naming the key.
ModelConfig configFromGguf(const GgufFile& file);
ModelConfig configFromHuggingFace(const std::string& folder);  // reads config.json

// [positions][headDim]: cos of headDim/2 angles, then sin; computed as transformers does, in float32.
std::vector<float> ropeTable(const RopeSpec& spec, int32_t headDim, int64_t positions);

// [headDim / 2]: what scaling divides each plain frequency by; the form in which GGUF keeps it (rope_freqs.weight).
std::vector<float> rotaryDivisors(const RopeSpec& spec, int32_t headDim);

}  // namespace mlit
