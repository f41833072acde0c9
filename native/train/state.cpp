// Training state in one safetensors file: for each adapter, or the model itself, its parameters and both moments, flat as
// on the device, and in the header what they are, so that a file of another run is refused before anything is overwritten.
#include <algorithm>
#include <charconv>

#include "checkpoint/safetensors.h"
#include "core/error.h"
#include "train/session_impl.h"

namespace mlit {

namespace {

constexpr int64_t kPieceFloats = int64_t{1} << 18;  // 1 MiB: it comes on top of a session's own memory
constexpr const char* kFormat = "mlit-train-state-1";

std::string shapeOf(const ModelConfig& c) {
  return std::string(architectureName(c.architecture)) + " layers=" + std::to_string(c.layers) +
         " hidden=" + std::to_string(c.hidden) + " feedForward=" + std::to_string(c.feedForward) +
         " heads=" + std::to_string(c.heads) + "/" + std::to_string(c.kvHeads) + "x" + std::to_string(c.headDim);
}

// Everything that decides where a parameter lies in the flat vector.
std::string layoutText(const ModelConfig& c, const AdapterSpec& spec) {
  std::string text = shapeOf(c) + " rank=" + std::to_string(spec.rank) + " targets=";
  for (int p = 0; p < kProjections; ++p) {
    if (spec.targets[static_cast<size_t>(p)]) text += std::string(projectionName(static_cast<Projection>(p))) + ",";
  }
  return text;
}

std::string fullLayoutText(const ModelConfig& c) {
  return shapeOf(c) + " vocabulary=" + std::to_string(c.vocabulary) + (c.tiedHead ? " tied" : " untied") +
         (c.qkNorm ? " q/k norms" : "") + (c.postNorms ? " post-norms" : "");
}

[[noreturn]] void refuseState(const std::string& path, const std::string& what, const std::string& found,
                              const std::string& expected) {
  throw Error(ErrorCode::kStateMismatch, path + ": " + what + " is " + found + ", expected " + expected,
              {{"file", path}, {"field", what}, {"found", found}, {"expected", expected}});
}

std::string entry(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? "(absent)" : it->second;
}

struct Part {
  std::string name;
  DevF32 at;
};

std::array<Part, 3> partsOf(const TrainedVector& trained, const SessionBuffers& buffers, size_t i) {
  return {{{trained.name + ".parameters", trained.parameters},
           {trained.name + ".m", buffers.m[i]},
           {trained.name + ".v", buffers.v[i]}}};
}

}  // namespace

std::vector<TrainedVector> trainedVectors(const Model& model, const std::vector<std::shared_ptr<Adapter>>& adapters,
                                          const std::optional<FullParameters>& full) {
  const ModelConfig& c = model.config();
  if (full) return {{full->flat(), full->layout().count, full->layout().matrices, "model", fullLayoutText(c)}};
  std::vector<TrainedVector> trained;
  for (const auto& adapter : adapters) trained.push_back(trainedAdapter(model, *adapter, trained.size()));
  return trained;
}

TrainedVector trainedAdapter(const Model& model, const Adapter& adapter, size_t number) {
  const int64_t n = adapter.layout().parameterCount();
  return {adapter.parameters(), n, n, "adapter." + std::to_string(number),
          layoutText(model.config(), adapter.layout().spec())};
}

void TrainSession::saveState(const std::string& path) const {
  impl_->requireWhole("saveState");
  impl_->saveState(path, 0, impl_->trained.size());
}

void TrainSession::saveState(const std::string& path, int32_t slot) const {
  impl_->saveState(path, impl_->filledIndex(slot), 1);
}

void TrainSession::loadState(const std::string& path) {
  impl_->requireWhole("loadState");
  impl_->loadState(path, 0, impl_->trained.size());
}

void TrainSession::loadState(const std::string& path, int32_t slot) {
  impl_->loadState(path, impl_->filledIndex(slot), 1);
}

void TrainSession::Impl::requireWhole(const char* call) const {
  requireTraining(call);
  if (!hasSlots()) return;
  throw Error(ErrorCode::kInvalidArgument,
              std::string(call) + " of a session with slots takes the number of one: each has a file of its own",
              {{"field", "slot"}});
}

void TrainSession::Impl::saveState(const std::string& path, size_t begin, size_t many) const {
  const Impl& s = *this;
  s.requireTraining("saveState");
  if (std::any_of(pending.begin() + static_cast<int64_t>(begin), pending.begin() + static_cast<int64_t>(begin + many),
                  [](uint8_t each) { return each != 0; })) {
    throw Error(ErrorCode::kGradientsPending,
                "saveState in the middle of a step: gradients are accumulated that no file holds; call optimStep or "
                "zeroGradients first");
  }
  Backend& backend = s.model->backend();
  std::vector<TensorLayout> layout;
  std::vector<Part> parts;
  std::map<std::string, std::string> metadata = {{"format", kFormat}, {"adapters", std::to_string(s.full ? 0 : many)}};
  for (size_t i = begin; i < begin + many; ++i) {
    const TrainedVector& own = s.trained[i];
    for (const Part& part : partsOf(own, s.buffers, i)) {
      layout.push_back({part.name, DType::kF32, {own.count}});
      parts.push_back(part);
    }
    metadata[own.name + ".layout"] = own.layout;
    metadata[own.name + ".step"] = std::to_string(s.steps[i]);
  }
  // Piece by piece: a whole model beside the one that is trained would be memory that no plan has.
  SafetensorsStream file(path, layout, metadata);
  std::vector<float> piece;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t n = layout[i].shape[0];
    for (int64_t first = 0; first < n; first += kPieceFloats) {
      piece.resize(static_cast<size_t>(std::min(kPieceFloats, n - first)));
      const size_t bytes = piece.size() * sizeof(float);
      backend.download(piece.data(), (parts[i].at + first).as<const std::byte>(), bytes);
      backend.synchronize();
      file.write(piece.data(), bytes);
    }
  }
  file.commit();
}

void TrainSession::Impl::loadState(const std::string& path, size_t begin, size_t many) {
  Impl& s = *this;
  s.requireTraining("loadState");
  const std::unique_ptr<TensorSource> source = openSafetensors(path);
  const std::map<std::string, std::string> metadata = safetensorsMetadata(path);
  if (entry(metadata, "format") != kFormat) refuseState(path, "format", entry(metadata, "format"), kFormat);
  const std::string expected = std::to_string(s.full ? 0 : many);
  if (entry(metadata, "adapters") != expected) refuseState(path, "adapters", entry(metadata, "adapters"), expected);
  std::vector<int64_t> found;
  std::vector<std::pair<DevF32, const TensorInfo*>> parts;
  for (size_t i = begin; i < begin + many; ++i) {
    const TrainedVector& own = s.trained[i];
    const std::string layout = entry(metadata, own.name + ".layout");
    if (layout != own.layout) refuseState(path, own.name + ".layout", layout, own.layout);
    const std::string text = entry(metadata, own.name + ".step");
    int64_t step = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
    if (error != std::errc() || end != text.data() + text.size() || step < 0)
      refuseState(path, own.name + ".step", text, "a number of steps");
    found.push_back(step);
    for (const Part& part : partsOf(own, s.buffers, i)) {
      const TensorInfo* tensor = source->find(part.name);
      if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->shape != Shape{own.count}) {
        refuseState(path, part.name, tensor == nullptr ? "(absent)" : shapeText(tensor->shape),
                    shapeText({own.count}) + " F32");
      }
      parts.emplace_back(part.at, tensor);
    }
  }
  // Everything is there and fits: only now is anything overwritten, piece by piece. (A file that is cut meanwhile is
  // an error, kFileDamaged, after which the session holds parts of both states.)
  Backend& backend = s.model->backend();
  std::vector<float> piece;
  for (const auto& [at, tensor] : parts) {
    TensorInfo column = *tensor;  // a row for each element
    column.shape.push_back(1);
    for (int64_t first = 0; first < column.shape[0]; first += kPieceFloats) {
      piece.resize(static_cast<size_t>(std::min(kPieceFloats, column.shape[0] - first)));
      source->readRows(column, first, static_cast<int64_t>(piece.size()), piece.data());
      backend.upload((at + first).as<std::byte>(), piece.data(), piece.size() * sizeof(float));
      backend.synchronize();
    }
  }
  std::copy(found.begin(), found.end(), s.steps.begin() + static_cast<int64_t>(begin));
  s.parametersChanged();
  s.zeroGradients(begin, many);
}

}  // namespace mlit
