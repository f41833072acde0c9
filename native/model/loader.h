// From a checkpoint's tensors to a Model, a few rows at a time; internal to model/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "model/model.h"

namespace mlit {

size_t vectorFloats(const ModelConfig& config);  // of all norms and biases
bool isGguf(const std::string& path);            // a file, not a folder; kFileNotFound where there is neither

// How one kind of checkpoint names the tensors of a layer and what it did to them.
struct TensorNames {
  std::string embedding, finalNorm, head;
  std::string layerPrefix;                 // followed by the number and a dot
  std::string q, k, v, o, gate, up, down;  // below the layer
  std::string qBias, kBias, vBias;
  std::string attentionNorm, mlpNorm, postAttentionNorm, postMlpNorm, qNorm, kNorm;
  bool rotaryPairsInterleaved = false;  // Llama in GGUF: rows 2j, 2j + 1 of a head are its rows j, j + dim/2
  float normOffset = 0;                 // added to norm vectors: 1 for Gemma's w
};
// decoderPath: what the names of a safetensors file's decoder begin with; multimodal models' files have longer ones.
TensorNames tensorNames(const ModelConfig& config, bool gguf, const std::string& decoderPath = "model.");

// A checkpoint opened for reading: what it is, what it calls its tensors, and the tensors.
struct Checkpoint {
  ModelConfig config;
  std::unique_ptr<TensorSource> source;
  TensorNames names;
  explicit Checkpoint(const std::string& path);
  // Tensors by the names that a Hugging Face folder has, wherever they come from.
  Checkpoint(ModelConfig shape, std::unique_ptr<TensorSource> tensors);
};

class ModelLoader {
 public:
  ModelLoader(const std::string& path, std::shared_ptr<Backend> backend, const Model::Options& options);
  // path: what the model says it was loaded from.
  ModelLoader(Checkpoint checkpoint, const std::string& path, std::shared_ptr<Backend> backend,
              const Model::Options& options);
  std::shared_ptr<Model> load();
  // Sets every matrix of a model anew from the file that it was loaded from.
  static void refill(Model& model, const Model::Options& options);
  // A model of this shape whose weights nobody has set: for a backend that only counts.
  static std::shared_ptr<Model> outline(const ModelConfig& config, std::shared_ptr<Backend> backend,
                                        WeightFormat format);

 private:
  // Rows of one tensor that go below `outBegin` of a stacked weight; heads > 0: un-interleave that many heads.
  struct Part {
    std::string name;
    int64_t rows = 0;
    int64_t heads = 0;
  };

  void loadWeight(WeightId& weight, int64_t in, WeightFormat format, const std::vector<Part>& parts);
  void loadVectors();
  void loadMatrices();
  void refuseOtherBiases() const;
  void refuseWhatDoesNotFit() const;
  const TensorInfo& require(const std::string& name, const Shape& shape) const;
  void readBlock(const TensorInfo& tensor, int64_t first, int64_t count, int64_t in);
  void advance(int64_t elements);
  std::string layerName(int32_t layer, const std::string& name) const;

  ModelLoader(Checkpoint checkpoint, Model& model, const Model::Options& options);

  std::shared_ptr<Model> model_;
  Model::Options options_;
  std::unique_ptr<TensorSource> source_;
  TensorNames names_;
  ThreadPool pool_;
  std::vector<float> buffer_, permuted_;
  int64_t elementsTotal_ = 0;
  int64_t elementsDone_ = 0;
};

}  // namespace mlit
