// What both readers of configurations share: names, the checks that no file may fail, and the rotary tables.
#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/file_error.h"
#include "model/config_check.h"

namespace mlit {

const char* architectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return "llama";
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
    case Architecture::kGemma3:
      return "gemma3";
  }
  return "unknown";
}

void refuseArchitecture(const std::string& file, const std::string& found, const std::string& supported) {
  const std::string shown = printable(found);
  throw Error(ErrorCode::kModelUnsupported,
              "the architecture '" + shown + "' of " + file + " is not supported; supported are " + supported,
              {{"file", file}, {"architecture", shown}, {"supported", supported}});
}

void refuseOption(const std::string& file, const std::string& option, const std::string& value,
                  const std::string& expected) {
  const std::string shown = printable(value);
  throw Error(ErrorCode::kModelUnsupported,
              "the option " + option + " = " + shown + " of " + file + " is not supported; expected " + expected,
              {{"file", file}, {"option", option}, {"value", shown}, {"expected", expected}});
}

void damagedKey(const std::string& file, const std::string& key, const std::string& value,
                const std::string& expected) {
  const std::string shown = printable(value);
  throw Error(ErrorCode::kFileDamaged, file + ": " + key + " is " + shown + ", expected " + expected,
              {{"file", file}, {"key", key}, {"value", shown}, {"expected", expected}});
}

int32_t checkedSize(const std::string& file, const std::string& key, int64_t value) {
  constexpr int64_t kLargest = int64_t{1} << 30;
  if (value < 1 || value > kLargest) damagedKey(file, key, std::to_string(value), "1 to " + std::to_string(kLargest));
  return static_cast<int32_t>(value);
}

RopeSpec::Scaling ropeScaling(const std::string& file, const std::string& option, const std::string& type) {
  if (type == "none" || type == "default") return RopeSpec::Scaling::kNone;
  if (type == "linear") return RopeSpec::Scaling::kLinear;
  if (type == "llama3") return RopeSpec::Scaling::kLlama3;
  refuseOption(file, option, type, "none, linear or llama3");
}

void everySixthGlobal(ModelConfig& config, int64_t pattern) {
  config.layerIsLocal.resize(static_cast<size_t>(config.layers));
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    config.layerIsLocal[static_cast<size_t>(layer)] = (layer + 1) % pattern != 0;
  }
}

void checkSizes(const std::string& file, const ModelConfig& config) {
  const auto atMost = [&](const char* what, int64_t value, int64_t largest) {
    if (value > largest) damagedKey(file, what, std::to_string(value), "at most " + std::to_string(largest));
  };
  atMost("the number of layers", config.layers, 1 << 12);
  atMost("the hidden size", config.hidden, 1 << 20);
  atMost("the size of the MLP", config.feedForward, 1 << 22);
  atMost("the heads' size together", int64_t{config.heads} * config.headDim, 1 << 20);
  atMost("the key-value heads' size together", int64_t{config.kvHeads} * config.headDim, 1 << 20);
  atMost("the vocabulary", config.vocabulary, 1 << 24);
}

void checkConfig(const std::string& file, ModelConfig& config) {
  if (config.heads % config.kvHeads != 0) {
    damagedKey(file, "the number of attention heads", std::to_string(config.heads),
               "a multiple of the " + std::to_string(config.kvHeads) + " key-value heads");
  }
  if (config.headDim % 2 != 0) damagedKey(file, "the size of a head", std::to_string(config.headDim), "an even number");
  if (!(config.rmsEps >= 0) || config.rmsEps > 1)
    damagedKey(file, "the norms' epsilon", std::to_string(config.rmsEps), "0 to 1");
  for (const RopeSpec* rope : {&config.rope, &config.ropeLocal}) {
    if (!(rope->base > 0)) damagedKey(file, "the rotary base", std::to_string(rope->base), "a positive number");
    if (!(rope->factor > 0)) damagedKey(file, "the rotary factor", std::to_string(rope->factor), "a positive number");
    if (rope->scaling == RopeSpec::Scaling::kLlama3 &&
        !(rope->lowFreqFactor > 0 && rope->highFreqFactor > rope->lowFreqFactor))
      damagedKey(file, "the rotary high_freq_factor", std::to_string(rope->highFreqFactor),
                 "more than low_freq_factor, a positive number");
  }
  if (config.window < 0) damagedKey(file, "the attention window", std::to_string(config.window), "a positive number");
  if (config.layerIsLocal.empty()) config.layerIsLocal.assign(static_cast<size_t>(config.layers), 0);
  const bool anyLocal =
      std::any_of(config.layerIsLocal.begin(), config.layerIsLocal.end(), [](uint8_t local) { return local != 0; });
  if (anyLocal && config.window == 0)
    damagedKey(file, "the attention window", "absent", "its size, since some layers are local");
  if (!anyLocal) config.window = 0;
  std::vector<int32_t> eos;
  std::unordered_set<int32_t> known;  // a hostile list is as long as the vocabulary
  for (const int32_t id : config.eosIds) {
    if (id >= 0 && id < config.vocabulary && known.insert(id).second) eos.push_back(id);
  }
  config.eosIds = eos;
}

namespace {

// Meta's rule for Llama 3.1 and later: long wavelengths are stretched, short ones kept, a ramp between them.
float llama3Frequency(float inverse, const RopeSpec& spec) {
  constexpr float kTwoPi = 6.28318530717958647692f;
  const auto context = static_cast<float>(spec.originalContext);
  const auto low = static_cast<float>(spec.lowFreqFactor), high = static_cast<float>(spec.highFreqFactor);
  const auto factor = static_cast<float>(spec.factor);
  const float wavelength = kTwoPi / inverse;
  if (wavelength > context / low) return inverse / factor;
  if (wavelength < context / high) return inverse;
  const float smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * inverse / factor + smooth * inverse;
}

float plainFrequency(const RopeSpec& spec, int32_t headDim, int32_t i) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(headDim);
  return 1.0f / static_cast<float>(std::pow(spec.base, static_cast<double>(exponent)));
}

float scaledFrequency(const RopeSpec& spec, int32_t headDim, int32_t i) {
  float value = plainFrequency(spec, headDim, i);
  if (spec.scaling == RopeSpec::Scaling::kLinear) value /= static_cast<float>(spec.factor);
  if (spec.scaling == RopeSpec::Scaling::kLlama3) value = llama3Frequency(value, spec);
  if (!spec.divisors.empty()) value /= spec.divisors[static_cast<size_t>(i)];
  return value;
}

}  // namespace

std::vector<float> rotaryDivisors(const RopeSpec& spec, int32_t headDim) {
  std::vector<float> divisors(static_cast<size_t>(headDim / 2));
  for (int32_t i = 0; i < headDim / 2; ++i)
    divisors[static_cast<size_t>(i)] = plainFrequency(spec, headDim, i) / scaledFrequency(spec, headDim, i);
  return divisors;
}

std::vector<float> ropeTable(const RopeSpec& spec, int32_t headDim, int64_t positions) {
  const int32_t half = headDim / 2;
  std::vector<float> inverse(static_cast<size_t>(half));
  for (int32_t i = 0; i < half; ++i) inverse[static_cast<size_t>(i)] = scaledFrequency(spec, headDim, i);
  std::vector<float> table(static_cast<size_t>(positions) * static_cast<size_t>(headDim));
  for (int64_t position = 0; position < positions; ++position) {
    float* row = table.data() + position * headDim;
    for (int32_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * inverse[static_cast<size_t>(i)];
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      row[half + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  return table;
}

}  // namespace mlit
