// Training state in one safetensors file: for each adapter its parameters and both moments, flat as on the device, and in
// the header what they are, so that a file of another run is refused before anything is overwritten.
#include <charconv>

#include "checkpoint/safetensors.h"
#include "core/error.h"
#include "train/session_impl.h"

namespace mlit {

namespace {

constexpr const char* kFormat = "mlit-train-state-1";

std::string nameOf(size_t adapter, const char* part) { return "adapter." + std::to_string(adapter) + "." + part; }

// Everything that decides where a parameter lies in the flat vector.
std::string layoutText(const Adapter& adapter) {
  const ModelConfig& c = adapter.model()->config();
  const AdapterSpec& spec = adapter.layout().spec();
  std::string text = std::string(architectureName(c.architecture)) + " layers=" + std::to_string(c.layers) +
                     " hidden=" + std::to_string(c.hidden) + " feedForward=" + std::to_string(c.feedForward) +
                     " heads=" + std::to_string(c.heads) + "/" + std::to_string(c.kvHeads) + "x" +
                     std::to_string(c.headDim) + " rank=" + std::to_string(spec.rank) + " targets=";
  for (int p = 0; p < kProjections; ++p) {
    if (spec.targets[static_cast<size_t>(p)]) text += std::string(projectionName(static_cast<Projection>(p))) + ",";
  }
  return text;
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
  const char* name;
  DevF32 at;
};

std::array<Part, 3> partsOf(const Adapter& adapter, const SessionBuffers& buffers, size_t i) {
  return {{{"parameters", adapter.parameters()}, {"m", buffers.m[i]}, {"v", buffers.v[i]}}};
}

}  // namespace

void TrainSession::saveState(const std::string& path) const {
  const Impl& s = *impl_;
  s.requireTraining("saveState");
  if (gradientsPending()) {
    throw Error(ErrorCode::kGradientsPending,
                "saveState in the middle of a step: gradients are accumulated that no file holds; call optimStep or "
                "zeroGradients first");
  }
  Backend& backend = s.model->backend();
  std::vector<std::vector<float>> values;
  values.reserve(3 * s.adapters.size());
  std::vector<TensorToWrite> tensors;
  std::map<std::string, std::string> metadata = {{"format", kFormat}, {"adapters", std::to_string(s.adapters.size())}};
  for (size_t i = 0; i < s.adapters.size(); ++i) {
    const int64_t n = s.adapters[i]->layout().parameterCount();
    for (const Part& part : partsOf(*s.adapters[i], s.buffers, i)) {
      std::vector<float>& host = values.emplace_back(static_cast<size_t>(n));
      backend.download(host.data(), part.at.as<const std::byte>(), host.size() * sizeof(float));
      tensors.push_back({nameOf(i, part.name), DType::kF32, {n}, host.data()});
    }
    metadata[nameOf(i, "layout")] = layoutText(*s.adapters[i]);
    metadata[nameOf(i, "step")] = std::to_string(s.steps[i]);
  }
  backend.synchronize();
  writeSafetensors(path, tensors, metadata);
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
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < s.adapters.size(); ++i) {
    const std::string layout = entry(metadata, nameOf(i, "layout")), expected = layoutText(*s.adapters[i]);
    if (layout != expected) refuseState(path, nameOf(i, "layout"), layout, expected);
    const std::string text = entry(metadata, nameOf(i, "step"));
    int64_t step = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
    if (error != std::errc() || end != text.data() + text.size() || step < 0)
      refuseState(path, nameOf(i, "step"), text, "a number of steps");
    steps.push_back(step);
    const int64_t n = s.adapters[i]->layout().parameterCount();
    for (const Part& part : partsOf(*s.adapters[i], s.buffers, i)) {
      const TensorInfo* tensor = source->find(nameOf(i, part.name));
      if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->shape != Shape{n}) {
        refuseState(path, nameOf(i, part.name), tensor == nullptr ? "(absent)" : shapeText(tensor->shape),
                    shapeText({n}) + " F32");
      }
      source->readRows(*tensor, 0, 1, values.emplace_back(static_cast<size_t>(n)).data());
    }
  }
  // Everything was read and fits: only now is anything overwritten.
  Backend& backend = s.model->backend();
  for (size_t i = 0; i < s.adapters.size(); ++i) {
    const auto parts = partsOf(*s.adapters[i], s.buffers, i);
    for (size_t p = 0; p < parts.size(); ++p) {
      const std::vector<float>& host = values[3 * i + p];
      backend.upload(parts[p].at.as<std::byte>(), host.data(), host.size() * sizeof(float));
    }
  }
  backend.synchronize();
  s.model->weightsChanged();
  s.steps = steps;
  s.activationsKept = false;
  s.zeroGradients();
}

}  // namespace mlit
