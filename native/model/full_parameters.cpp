// Reading goes through the backend's own row gather, whatever layout it keeps; what is written back is written once a step.
#include "model/full_parameters.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "model/loader.h"

namespace mlit {

namespace {

// Of all vectors: no architecture has both an offset and biases.
float normOffset(const ModelConfig& c) { return c.architecture == Architecture::kGemma3 ? 1.0f : 0.0f; }

}  // namespace

FullLayout::FullLayout(const ModelConfig& c) {
  const int64_t d = c.hidden, f = c.feedForward;
  const auto place = [&](int64_t floats) {
    const int64_t at = matrices;
    matrices += floats;
    return at;
  };
  embedding = place(c.vocabulary * d);
  head = c.tiedHead ? embedding : place(c.vocabulary * d);
  for (int32_t layer = 0; layer < c.layers; ++layer)
    layers.push_back({place(c.qkvDim() * d), place(d * c.queryDim()), place(2 * f * d), place(d * f)});
  count = matrices + static_cast<int64_t>(vectorFloats(c));
}

FullParameters::FullParameters(std::shared_ptr<Model> model, DevF32 flat, DevI32 ids, int64_t chunkRows)
    : model_(std::move(model)), layout_(model_->config()), flat_(flat) {
  const ModelConfig& c = model_->config();
  matrices_.push_back({model_->embedding(), c.vocabulary, c.hidden, layout_.embedding});
  if (!c.tiedHead) matrices_.push_back({model_->head(), c.vocabulary, c.hidden, layout_.head});
  for (size_t i = 0; i < layout_.layers.size(); ++i) {
    const LayerWeights& w = model_->layers()[i];
    const FullLayout::Layer& at = layout_.layers[i];
    matrices_.push_back({w.qkv, c.qkvDim(), c.hidden, at.qkv});
    matrices_.push_back({w.o, c.hidden, c.queryDim(), at.o});
    matrices_.push_back({w.gateUp, 2 * int64_t{c.feedForward}, c.hidden, at.gateUp});
    matrices_.push_back({w.down, c.hidden, c.feedForward, at.down});
  }
  read(ids, chunkRows);
}

void FullParameters::read(DevI32 ids, int64_t chunkRows) {
  Backend& backend = model_->backend();
  for (const Matrix& m : matrices_) {
    for (int64_t first = 0; first < m.out; first += chunkRows) {
      std::vector<int32_t> rows(static_cast<size_t>(std::min(chunkRows, m.out - first)));
      std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
      backend.upload(ids.as<std::byte>(), rows.data(), rows.size() * sizeof(int32_t));
      backend.gatherWeightRows(m.weight, ids, static_cast<int64_t>(rows.size()), 1, flat_ + m.offset + first * m.in);
      backend.synchronize();
    }
  }
  std::vector<float> vectors(static_cast<size_t>(layout_.count - layout_.matrices));
  const size_t bytes = vectors.size() * sizeof(float);
  backend.download(vectors.data(), model_->vectors_, bytes);
  backend.synchronize();
  for (float& value : vectors) value -= normOffset(model_->config());
  backend.upload((flat_ + layout_.matrices).as<std::byte>(), vectors.data(), bytes);
  backend.synchronize();
}

void FullParameters::refresh() {
  Backend& backend = model_->backend();
  for (const Matrix& m : matrices_) backend.refreshWeightRows(m.weight, 0, m.out, flat_ + m.offset);
  std::vector<float> vectors(static_cast<size_t>(layout_.count - layout_.matrices));
  const size_t bytes = vectors.size() * sizeof(float);
  backend.download(vectors.data(), (flat_ + layout_.matrices).as<const std::byte>(), bytes);
  backend.synchronize();
  for (float& value : vectors) value += normOffset(model_->config());
  backend.upload(model_->vectors_, vectors.data(), bytes);
  backend.synchronize();
}

DevF32 FullParameters::vectorIn(DevF32 flat, DevConstF32 vector) const {
  return flat + layout_.matrices + (vector.raw() - model_->vectors().raw());
}

}  // namespace mlit
