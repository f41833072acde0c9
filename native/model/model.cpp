// Lifetime and sizes of a loaded base; how it is filled is loader.cpp's.
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "model/loader.h"

namespace mlit {

size_t vectorFloats(const ModelConfig& config) {
  const auto d = static_cast<size_t>(config.hidden), head = static_cast<size_t>(config.headDim);
  const size_t layer = d * (config.postNorms ? 4 : 2) + (config.qkNorm ? 2 * head : 0) +
                       (config.qkvBias ? static_cast<size_t>(config.qkvDim()) : 0);
  return static_cast<size_t>(config.layers) * layer + d;
}

bool isGguf(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorCode::kFileNotFound, "there is no model at " + path, {{"file", path}});
  }
  return !std::filesystem::is_directory(path);
}

Model::~Model() {
  for (const LayerWeights& layer : layers_) {
    for (const WeightId weight : {layer.qkv, layer.o, layer.gateUp, layer.down}) {
      if (weight) backend_->destroyWeight(weight);
    }
  }
  if (head_ && head_.index != embedding_.index) backend_->destroyWeight(head_);
  if (embedding_) backend_->destroyWeight(embedding_);
  if (vectors_) backend_->release(vectors_, vectorsBytes_);
}

size_t Model::bytes() const { return plannedBytes(config_, *backend_, format_); }

size_t Model::plannedBytes(const ModelConfig& config, const BackendSizes& backend, WeightFormat format) {
  const int64_t d = config.hidden, f = config.feedForward;
  const size_t layer = backend.weightBytes(config.qkvDim(), d, format) +
                       backend.weightBytes(d, config.queryDim(), format) + backend.weightBytes(2 * f, d, format) +
                       backend.weightBytes(d, f, format);
  const size_t table = backend.weightBytes(config.vocabulary, d, tableFormat(format, backend));
  return static_cast<size_t>(config.layers) * layer + table * (config.tiedHead ? 1 : 2) +
         vectorFloats(config) * sizeof(float);
}

ModelUse::ModelUse(std::shared_ptr<Model> model, Kind kind) : model_(std::move(model)), kind_(kind) {
  if (model_->tuned_) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model " + model_->path_ + " is being tuned in full by a training session, which must have it to " +
                    "itself; load it once more for adapters or another session",
                {{"field", "model"}, {"file", model_->path_}});
  }
  if (kind == Kind::kTuning && model_->sharedUses_ > 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model " + model_->path_ + " is in use by " + std::to_string(model_->sharedUses_) +
                    " adapters or training sessions, but a session that tunes it in full must have it to itself; " +
                    "dispose of them, or load the model once more",
                {{"field", "model"}, {"file", model_->path_}});
  }
  if (kind == Kind::kTuning) {
    model_->tuned_ = true;
  } else {
    ++model_->sharedUses_;
  }
}

ModelUse::~ModelUse() {
  if (kind_ == Kind::kTuning) {
    model_->tuned_ = false;
  } else {
    --model_->sharedUses_;
  }
}

const char* formatName(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return "f32";
    case WeightFormat::kBF16:
      return "bf16";
    case WeightFormat::kI8Channel:
      return "int8";
    case WeightFormat::kNF4:
      return "nf4";
  }
  return "f32";
}

double Model::roundingError() const {
  RoundingError all;
  const auto add = [&](WeightId weight) {
    const RoundingError own = backend_->roundingError(weight);
    all.error += own.error, all.size += own.size;
  };
  for (const LayerWeights& layer : layers_) {
    for (const WeightId weight : {layer.qkv, layer.o, layer.gateUp, layer.down}) add(weight);
  }
  add(head_);
  return all.size > 0 ? std::sqrt(all.error / all.size) : 0;
}

size_t productBytes(const ModelConfig& config, const BackendSizes& backend, int64_t rows, int64_t headRows,
                    bool backward) {
  const int64_t d = config.hidden, f = config.feedForward;
  const int64_t width =
      std::max({d, int64_t{config.queryDim()}, f, backward ? int64_t{config.qkvDim()} : 0, backward ? 2 * f : 0});
  return std::max(backend.productBytes(rows, width),
                  backend.productBytes(headRows, backward ? int64_t{config.vocabulary} : d));
}

WeightFormat tableFormat(WeightFormat format, const BackendSizes& backend) {
  if (format == WeightFormat::kI8Channel && backend.integerProducts()) return format;
  const bool quantised = format == WeightFormat::kI8Channel || format == WeightFormat::kNF4;
  return quantised ? WeightFormat::kBF16 : format;
}

ModelConfig readModelConfig(const std::string& path) {
  if (isGguf(path)) return configFromGguf(*openGguf(path));
  return configFromHuggingFace(path);
}

}  // namespace mlit
