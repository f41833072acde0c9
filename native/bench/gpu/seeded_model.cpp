#include "bench/gpu/seeded_model.h"

#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/half.h"
#include "core/tensor.h"
#include "model/loader.h"

namespace mlit::bench {

namespace {

// In (-1, 1): Steele's SplitMix64. Billions of weights are made, so it has to be a few instructions.
float noise(uint64_t state) {
  state += 0x9E3779B97F4A7C15u;
  state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
  state = (state ^ (state >> 27)) * 0x94D049BB133111EBu;
  state ^= state >> 31;
  return static_cast<float>(static_cast<int64_t>(state) >> 40) * 0x1p-23f;
}

// Every tensor that the shape wants. Matrices are uniform with a variance of 1 / their inputs, which keeps activations
// about as large as they were; norms are near 1, biases near 0. All of it is exact in bfloat16.
class SeededTensors final : public TensorSource {
 public:
  SeededTensors(const ModelConfig& config, uint64_t seed) : seed_(seed), path_("seed " + std::to_string(seed)) {
    const TensorNames names = tensorNames(config, false);
    normOffset_ = names.normOffset;
    const int64_t d = config.hidden, f = config.feedForward, q = config.queryDim(), kv = config.kvDim();
    add(names.embedding, {config.vocabulary, d});
    add(names.finalNorm, {d});
    if (!config.tiedHead) add(names.head, {config.vocabulary, d});
    for (int32_t layer = 0; layer < config.layers; ++layer) {
      const std::string prefix = names.layerPrefix + std::to_string(layer) + ".";
      const std::pair<const std::string*, Shape> parts[] = {
          {&names.q, {q, d}},    {&names.k, {kv, d}},         {&names.v, {kv, d}},
          {&names.o, {d, q}},    {&names.gate, {f, d}},       {&names.up, {f, d}},
          {&names.down, {d, f}}, {&names.attentionNorm, {d}}, {&names.mlpNorm, {d}}};
      for (const auto& [name, shape] : parts) add(prefix + *name, shape);
      if (config.qkvBias)
        add(prefix + names.qBias, {q}), add(prefix + names.kBias, {kv}), add(prefix + names.vBias, {kv});
      if (config.qkNorm) add(prefix + names.qNorm, {config.headDim}), add(prefix + names.kNorm, {config.headDim});
      if (config.postNorms) add(prefix + names.postAttentionNorm, {d}), add(prefix + names.postMlpNorm, {d});
    }
    for (size_t i = 0; i < tensors_.size(); ++i) byName_[tensors_[i].name] = i;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find(const std::string& name) const override {
    const auto entry = byName_.find(name);
    return entry == byName_.end() ? nullptr : &tensors_[entry->second];
  }
  void readRows(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const override {
    const int64_t width = tensor.shape.back();
    const bool matrix = tensor.shape.size() > 1, bias = tensor.name.ends_with(".bias");
    const float spread = matrix ? std::sqrt(3.0f / static_cast<float>(width)) : 0.1f;
    const float middle = matrix || bias ? 0.0f : 1.0f - normOffset_;
    const auto tag = static_cast<uint64_t>(&tensor - tensors_.data()) + 1;
    const uint64_t start = (seed_ << 48) + (tag << 36) + static_cast<uint64_t>(first * width);
    for (int64_t i = 0; i < count * width; ++i) {
      out[i] = bfloat16ToFloat(floatToBfloat16(middle + spread * noise(start + static_cast<uint64_t>(i))));
    }
  }
  const std::string& path() const override { return path_; }

 private:
  using Shape = mlit::Shape;
  void add(std::string name, Shape shape) {
    TensorInfo tensor;
    tensor.name = std::move(name);
    tensor.dtype = DType::kBF16;
    tensor.shape = std::move(shape);
    tensors_.push_back(std::move(tensor));
  }

  uint64_t seed_;
  std::string path_;
  float normOffset_ = 0;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> byName_;
};

}  // namespace

std::shared_ptr<Model> seededModel(const Shape& shape, uint64_t seed, std::shared_ptr<Backend> backend,
                                   WeightFormat format) {
  ModelConfig config = configOf(shape);
  auto tensors = std::make_unique<SeededTensors>(config, seed);
  Model::Options options;
  options.format = format;
  Checkpoint checkpoint(std::move(config), std::move(tensors));
  return ModelLoader(std::move(checkpoint), shape.name, std::move(backend), options).load();
}

std::shared_ptr<Adapter> seededAdapter(std::shared_ptr<Model> model, const AdapterSpec& spec, uint64_t seed) {
  const std::shared_ptr<Adapter> adapter = Adapter::create(std::move(model), spec, seed);
  std::vector<float> flat = adapter->toHost();
  for (const AdapterSlot& slot : adapter->layout().slots()) {
    for (int64_t i = slot.bOffset; i < slot.bOffset + int64_t{spec.rank} * slot.out; ++i) {
      flat[static_cast<size_t>(i)] = 0.05f * noise((seed << 40) + static_cast<uint64_t>(i));
    }
  }
  adapter->fromHost(flat);
  return adapter;
}

}  // namespace mlit::bench
