// Weights by their place in the model, a few rows at a time and in one normal form, wherever they are kept: in a
// checkpoint file of either kind, never held whole, or resident on a backend after full tuning.
#pragma once

#include <memory>
#include <string>

#include "core/thread_pool.h"
#include "export/tensors.h"
#include "model/model.h"

namespace mlit {

// The normal form: rows of q and k as transformers has them (a head's two halves), norms as effective factors (Gemma: 1 + w).
class WeightRows {
 public:
  virtual ~WeightRows() = default;
  virtual const ModelConfig& config() const = 0;
  virtual const std::string& path() const = 0;  // of the checkpoint, for messages
  // out: [count, columns] float32. The head of a tied model is the embedding.
  virtual void read(const ExportTensor& tensor, int64_t first, int64_t count, float* out) = 0;
  // How the matrices are stored; kOther where they are quantised.
  virtual DType storedType() const = 0;
};

// Streams a GGUF file or a Hugging Face folder. Errors as Model::load's.
std::unique_ptr<WeightRows> checkpointRows(const std::string& path, ThreadPool& pool);
// Gathers from a loaded model; float32 weights come out exactly as they are.
std::unique_ptr<WeightRows> residentRows(std::shared_ptr<const Model> model);

}  // namespace mlit
