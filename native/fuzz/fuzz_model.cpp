// A model in either form: configuration, weights, and where they load, a few tokens scored and sampled with them. The first
// byte chooses: a GGUF file, or config.json, generation_config.json, header and data.
#include <algorithm>

#include "fuzz/harness.h"
#include "fuzz/tiny.h"
#include "sample/engine.h"
#include "train/session.h"

using namespace mlit;
using namespace mlit::fuzz;

namespace {

void use(const std::shared_ptr<Model>& model) {
  const ModelConfig& config = model->config();
  const int32_t count = std::min(4, config.contextLength);
  std::vector<int32_t> tokens, positions, targets;
  for (int32_t i = 0; i < count; ++i) {
    tokens.push_back(i % config.vocabulary);
    positions.push_back(i);
    targets.push_back((i + 1) % config.vocabulary);
  }
  const std::vector<int32_t> ends{0, count}, adapters{-1};
  const std::vector<float> weights(tokens.size(), 1.0f);
  std::vector<float> logprobs(tokens.size());
  TrainOptions options;
  options.maxTokens = 8;
  options.logitsBytes = 1 << 16;
  options.training = false;
  TrainSession(model, {}, options).score({tokens, positions, ends, targets, weights, adapters}, logprobs);

  SampleOptions few;
  few.maxRows = 1;
  few.cacheTokens = 16;
  few.prefillTokens = 4;
  SampleEngine engine(model, {}, few);
  SampleRequest request;
  request.prompt = {0};
  request.maxNewTokens = 2;
  engine.submit(request);
  while (!engine.idle()) engine.step();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string path = folder.path();
  if (data[0] % 2 == 0) {
    folder.write("model.gguf", input);
    path = folder.file("model.gguf");
  } else {
    const auto parts = split(input, 4);
    folder.write("config.json", parts[0]);
    folder.write("generation_config.json", parts[1].empty() ? "{}" : parts[1]);
    folder.write("model.safetensors", safetensorsOf(parts[2], parts[3]));
  }
  survives([&] {
    const ModelConfig config = readModelConfig(path);
    check(config.layerIsLocal.size() == static_cast<size_t>(config.layers), "a layer has no kind");
    Model::plannedBytes(config, *backend(), WeightFormat::kF32);
  });
  survives([&] { use(Model::load(path, backend(), {})); });
  return 0;
}
