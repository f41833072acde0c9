// A model's own parameters as data that can be trained: one flat float32 vector on the device, and the way back into the
// layouts that the model computes with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model.h"

namespace mlit {

// Where each parameter lies in the flat vector: matrices [out, in] first, which weight decay applies to, then the vectors
// (norms, biases) exactly as Model::vectors() has them. A function of the config alone.
class FullLayout {
 public:
  explicit FullLayout(const ModelConfig& config);

  struct Layer {
    int64_t qkv = 0, o = 0, gateUp = 0, down = 0;
  };
  int64_t embedding = 0;
  int64_t head = 0;  // == embedding where tied: one parameter, one gradient
  std::vector<Layer> layers;
  int64_t matrices = 0;  // floats of all matrices, which is where the vectors begin
  int64_t count = 0;
};

// The link between a model and the flat vector that is trained in its place. The vector's memory is the caller's.
// Gemma's norms are held as w, although the model has their factor 1 + w.
class FullParameters {
 public:
  // ids: [chunkRows] device scratch, rows of a matrix that are read at once. Fills `flat` from the model.
  FullParameters(std::shared_ptr<Model> model, DevF32 flat, DevI32 ids, int64_t chunkRows);

  const FullLayout& layout() const { return layout_; }
  DevF32 flat() const { return flat_; }
  // The model's weights become those of the flat vector.
  void refresh();
  // Where the gradient of one of the model's vectors lies in a flat vector of gradients.
  DevF32 vectorIn(DevF32 flat, DevConstF32 vector) const;

 private:
  struct Matrix {
    WeightId weight;
    int64_t out, in, offset;
  };
  void read(DevI32 ids, int64_t chunkRows);

  std::shared_ptr<Model> model_;
  FullLayout layout_;
  DevF32 flat_;
  std::vector<Matrix> matrices_;
};

}  // namespace mlit
