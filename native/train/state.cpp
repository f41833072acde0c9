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
  for (const auto& adapter : adapters) {
    const int64_t n = adapter->layout().parameterCount();
    trained.push_back({adapter->parameters(), n, n, "adapter." + std::to_string(trained.size()),
                       layoutText(c, adapter->layout().spec())});
  }
  return trained;
}

void TrainSession::saveState(const std::string& path) const {
  const Impl& s = *impl_;
  s.requireTraining("saveState");
  if (gradientsPending()) {
    throw Error(ErrorCode::kGradientsPending,
                "saveState in the middle of a step: gradients are accumulated that no file holds; call optimStep or "
                "zeroGradients first");
  }
  Backend& backend = s.model->backend();
  std::vector<TensorLayout> layout;
  std::vector<Part> parts;
  std::map<std::string, std::string> metadata = {{"format", kFormat}, {"adapters", std::to_string(s.adapters.size())}};
  for (size_t i = 0; i < s.trained.size(); ++i) {
    const TrainedVector& trained = s.trained[i];
    for (const Part& part : partsOf(trained, s.buffers, i)) {
      layout.push_back({part.name, DType::kF32, {trained.count}});
      parts.push_back(part);
    }
    metadata[trained.name + ".layout"] = trained.layout;
    metadata[trained.name + ".step"] = std::to_string(s.steps[i]);
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

void TrainSession::loadState(const std::string& path) {
  Impl& s = *impl_;
  s.requireTraining("loadState");
  const std::unique_ptr<TensorSource> source = openSafetensors(path);
  const std::map<std::string, std::string> metadata = safetensorsMetadata(path);
  if (entry(metadata, "format") != kFormat) refuseState(path, "format", entry(metadata, "format"), kFormat);
  const std::string count = std::to_string(s.adapters.size());
  if (entry(metadata, "adapters") != count) refuseState(path, "adapters", entry(metadata, "adapters"), count);
  std::vector<int64_t> steps;
  std::vector<std::pair<DevF32, const TensorInfo*>> parts;
  for (size_t i = 0; i < s.trained.size(); ++i) {
    const TrainedVector& trained = s.trained[i];
    const std::string layout = entry(metadata, trained.name + ".layout");
    if (layout != trained.layout) refuseState(path, trained.name + ".layout", layout, trained.layout);
    const std::string text = entry(metadata, trained.name + ".step");
    int64_t step = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
    if (error != std::errc() || end != text.data() + text.size() || step < 0)
      refuseState(path, trained.name + ".step", text, "a number of steps");
    steps.push_back(step);
    for (const Part& part : partsOf(trained, s.buffers, i)) {
      const TensorInfo* tensor = source->find(part.name);
      if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->shape != Shape{trained.count}) {
        refuseState(path, part.name, tensor == nullptr ? "(absent)" : shapeText(tensor->shape),
                    shapeText({trained.count}) + " F32");
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
  s.steps = steps;
  s.parametersChanged();
  s.zeroGradients();
}

}  // namespace mlit
