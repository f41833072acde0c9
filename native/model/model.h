// The base: immutable and shared by every adapter, training session and sampler on its backend, except while one session
// trains the model itself.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"

namespace mlit {

struct LayerWeights {
  WeightId qkv;                                // [qkvDim, d]: q, k, v stacked
  DevConstF32 qkvBias;                         // [qkvDim] or null
  WeightId o;                                  // [d, queryDim]
  WeightId gateUp;                             // [2f, d]
  WeightId down;                               // [d, f]
  DevConstF32 attentionNorm, mlpNorm;          // [d], effective factors (1 + w already formed for Gemma)
  DevConstF32 postAttentionNorm, postMlpNorm;  // [d] or null
  DevConstF32 qNorm, kNorm;                    // [headDim] or null
};

class Model {
 public:
  struct Options {
    // None: bf16 where every matrix of the checkpoint is bf16 (nothing is lost, half the memory), float32 otherwise.
    std::optional<WeightFormat> format = WeightFormat::kF32;
    std::function<void(double fraction)> progress;  // called on the loading thread, may be empty
    const std::atomic<bool>* cancel = nullptr;      // read between tensors: kCancelled
  };

  // path: a .gguf file, or a Hugging Face folder (config.json, model.safetensors or shards).
  static std::shared_ptr<Model> load(const std::string& path, std::shared_ptr<Backend> backend, const Options& options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<Backend>& sharedBackend() const { return backend_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  WeightId embedding() const { return embedding_; }  // [vocabulary, d]
  WeightId head() const { return head_; }            // == embedding() where tied
  DevConstF32 finalNorm() const { return finalNorm_; }
  // All vectors (norms' factors, biases) in one run; the pointers of LayerWeights and finalNorm() lie inside.
  DevConstF32 vectors() const { return vectors_.as<const float>(); }
  const std::string& path() const { return path_; }
  WeightFormat format() const { return format_; }
  size_t bytes() const;  // device bytes of all weights

  // Changes with every change of a weight that its samplers may read, an adapter's included: keys and values that were
  // computed before are not those of now.
  uint64_t weightsVersion() const { return weightsVersion_.load(std::memory_order_relaxed); }
  void weightsChanged() { weightsVersion_.fetch_add(1, std::memory_order_relaxed); }

  // Bytes that load() would take, from the config alone.
  static size_t plannedBytes(const ModelConfig& config, const BackendSizes& backend, WeightFormat format);

  // What integer products make of the weights, relative: the root mean square of one row in 64. 0 where there are none.
  double roundingError() const;

 private:
  Model() = default;
  friend class ModelLoader;
  friend class ModelUse;
  friend class FullParameters;
  ModelConfig config_;
  std::shared_ptr<Backend> backend_;
  std::vector<LayerWeights> layers_;
  WeightId embedding_, head_;
  DevConstF32 finalNorm_;
  std::string path_;
  DevicePtr<std::byte> vectors_;  // all norms and biases in one allocation
  size_t vectorsBytes_ = 0;
  WeightFormat format_ = WeightFormat::kF32;
  std::atomic<uint64_t> weightsVersion_ = 0;
  int sharedUses_ = 0;  // ModelUse
  bool tuned_ = false;
};

// Held by whatever relies on a model's weights staying as they are (adapters, training sessions), or by the one session
// that changes them. kInvalidArgument where the two meet. A sampler holds none: it samples from the weights as they are.
class ModelUse {
 public:
  enum class Kind { kShared, kTuning };
  ModelUse(std::shared_ptr<Model> model, Kind kind);
  ~ModelUse();
  ModelUse(const ModelUse&) = delete;
  ModelUse& operator=(const ModelUse&) = delete;

 private:
  std::shared_ptr<Model> model_;
  Kind kind_;
};

// What products of a model's layers and head take beyond a backend's fixedBytes(), for passes of so many rows and logits of
// headRows at a time; backward: with gradients.
size_t productBytes(const ModelConfig& config, const BackendSizes& backend, int64_t rows, int64_t headRows,
                    bool backward);

const char* formatName(WeightFormat format);  // "f32", "bf16", "int8", "nf4"
// How the embedding and the head are kept beside layers in `format`: quantised bases keep them in bf16, as QLoRA does. A table is
// looked up row by row, and its errors would be those of every token. A backend of integer products has them in int8 as well: the
// head is half of a small model's work.
WeightFormat tableFormat(WeightFormat format, const BackendSizes& backend);
// config of a checkpoint without loading its weights.
ModelConfig readModelConfig(const std::string& path);
// bf16 where every matrix of the checkpoint is bf16, else f32.
WeightFormat losslessFormat(const std::string& path);
// What Model::Options::format = none comes to: int8 on a backend of integer products, bf16 on one that multiplies in bf16 anyway, else
// what loses nothing.
WeightFormat automaticFormat(const std::string& path, const BackendSizes& backend);

}  // namespace mlit
