// An adapter's parameters: made at random, read from PEFT's files or written to them. Files hold B as [out, rank], the
// device its transpose.
#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "checkpoint/json_file.h"
#include "checkpoint/peft.h"
#include "checkpoint/safetensors.h"
#include "core/file_error.h"
#include "core/philox.h"

namespace mlit {

namespace {

constexpr int64_t kPieceFloats = int64_t{1} << 18;  // of a file that is written: 1 MiB
constexpr uint64_t kInitStream = uint64_t{0x4C6F5241}
                                 << 32;  // keeps these draws apart from every other use of the seed

std::string pathIn(const std::string& folder, const char* file) {
  return (std::filesystem::path(folder) / file).string();
}

// [rows, columns] → [columns, rows]
void transpose(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  }
}

// The projections that any tensor of an adapter's file belongs to.
std::vector<std::string> targetsIn(const TensorSource& source) {
  std::vector<std::string> targets;
  for (int p = 0; p < kProjections; ++p) {
    const std::string name = projectionName(static_cast<Projection>(p));
    const auto& tensors = source.tensors();
    const bool there = std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
      return tensor.name.find("." + name + ".lora_") != std::string::npos;
    });
    if (there) targets.push_back(name);
  }
  return targets;
}

AdapterSpec specOf(const PeftOptions& options, const std::string& file) {
  AdapterSpec spec;
  spec.rank = options.rank;
  spec.alpha = static_cast<float>(options.alpha);
  spec.rslora = options.rslora;
  spec.dropout = options.dropout;
  if (options.targets.empty() && !options.targetsByPattern) return spec;  // all-linear
  spec.targets.fill(false);
  for (const std::string& target : options.targets) {
    bool known = false;
    for (int p = 0; p < kProjections; ++p) {
      if (target != projectionName(static_cast<Projection>(p))) continue;
      spec.targets[static_cast<size_t>(p)] = known = true;
    }
    if (!known) {
      throw Error(ErrorCode::kModelUnsupported,
                  file + ": target_modules names " + printable(target) +
                      "; supported are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj and lm_head",
                  {{"file", file}, {"option", "target_modules"}, {"value", printable(target)}});
    }
  }
  return spec;
}

[[noreturn]] void refuseShape(const TensorSource& source, const TensorInfo& tensor, const Shape& expected) {
  throw Error(ErrorCode::kTensorMismatch,
              tensor.name + " has shape " + shapeText(tensor.shape) + ", expected " + shapeText(expected) + " in " +
                  source.path(),
              {{"tensor", tensor.name},
               {"found", shapeText(tensor.shape)},
               {"expected", shapeText(expected)},
               {"file", source.path()}});
}

const TensorInfo& requireFactor(const TensorSource& source, const std::string& name, const Shape& shape) {
  const TensorInfo* tensor = source.find(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kTensorMissing,
                name + ", of shape " + shapeText(shape) + ", is missing from " + source.path(),
                {{"tensor", name}, {"expected", shapeText(shape)}, {"file", source.path()}});
  }
  if (tensor->shape != shape) refuseShape(source, *tensor, shape);
  return *tensor;
}

// A tensor that no slot asked for would be a part of the adapter that is silently lost.
void refuseUnused(const TensorSource& source, const std::set<std::string>& used) {
  for (const TensorInfo& tensor : source.tensors()) {
    if (used.contains(tensor.name)) continue;
    throw Error(ErrorCode::kTensorMismatch,
                source.path() + " holds " + printable(tensor.name) +
                    ", which adapter_config.json does not name or this model does not have",
                {{"tensor", printable(tensor.name)}, {"file", source.path()}});
  }
}

// What peft copies along is the base's and not used; of another shape it would mean another vocabulary.
void acceptHeadCopy(const TensorSource& source, const std::string& path, const ModelConfig& config,
                    std::set<std::string>& used) {
  const TensorInfo* copy = source.find(peftHeadCopy(path));
  if (copy == nullptr) return;
  const Shape shape = {config.vocabulary, config.hidden};
  if (copy->shape != shape) refuseShape(source, *copy, shape);
  used.insert(copy->name);
}

// The path that the file's tensors have: adapters of the same decoder are exchanged between classes.
std::string modulePathIn(const TensorSource& source) {
  for (const TensorInfo& tensor : source.tensors()) {
    std::string path = peftModulePath(tensor.name);
    if (!path.empty()) return path;
  }
  return "model.";
}

}  // namespace

PeftConfig readPeftConfig(const std::string& folder) {
  const std::string file = pathIn(folder, kPeftConfigFile);
  PeftOptions options = readPeftOptions(file);
  if (options.targetsByPattern) options.targets = targetsIn(*openSafetensors(pathIn(folder, kPeftTensorFile)));
  return {specOf(options, file), options.baseModel};
}

HostAdapter readPeftAdapter(const ModelConfig& config, const std::string& folder) {
  HostAdapter adapter{AdapterLayout(config, readPeftConfig(folder).spec), {}};
  const int32_t rank = adapter.layout.spec().rank;
  const std::unique_ptr<TensorSource> source = openSafetensors(pathIn(folder, kPeftTensorFile));
  // All factors are looked for before memory is taken for a rank that only the configuration claims.
  std::set<std::string> used;
  const std::string path = modulePathIn(*source);
  for (const AdapterSlot& slot : adapter.layout.slots()) {
    const std::string module = projectionName(slot.projection);
    const std::string nameA = peftTensorName(path, slot.layer, module, 'A'),
                      nameB = peftTensorName(path, slot.layer, module, 'B');
    requireFactor(*source, nameA, {rank, slot.in});
    requireFactor(*source, nameB, {slot.out, rank});
    used.insert({nameA, nameB});
  }
  if (adapter.layout.spec().targets[static_cast<size_t>(Projection::kHead)])
    acceptHeadCopy(*source, path, config, used);
  refuseUnused(*source, used);
  adapter.flat.resize(static_cast<size_t>(adapter.layout.parameterCount()));
  std::vector<float> b;
  for (const AdapterSlot& slot : adapter.layout.slots()) {
    const std::string module = projectionName(slot.projection);
    const std::string nameA = peftTensorName(path, slot.layer, module, 'A'),
                      nameB = peftTensorName(path, slot.layer, module, 'B');
    source->readRows(*source->find(nameA), 0, rank, adapter.flat.data() + slot.aOffset);
    b.resize(static_cast<size_t>(slot.out) * static_cast<size_t>(rank));
    source->readRows(*source->find(nameB), 0, slot.out, b.data());
    transpose(b.data(), slot.out, rank, adapter.flat.data() + slot.bOffset);
  }
  return adapter;
}

Adapter::Adapter(std::shared_ptr<Model> model, const AdapterSpec& spec)
    : model_(std::move(model)), use_(model_, ModelUse::Kind::kShared), layout_(model_->config(), spec) {
  parameters_ = model_->backend().allocate(static_cast<size_t>(layout_.parameterCount()) * sizeof(float)).as<float>();
}

Adapter::~Adapter() {
  model_->backend().release(parameters_.as<std::byte>(), static_cast<size_t>(layout_.parameterCount()) * sizeof(float));
}

std::shared_ptr<Adapter> Adapter::create(std::shared_ptr<Model> model, const AdapterSpec& spec, uint64_t seed) {
  std::shared_ptr<Adapter> adapter(new Adapter(std::move(model), spec));
  Backend& backend = adapter->model_->backend();
  backend.zero(adapter->parameters_.as<std::byte>(),
               static_cast<size_t>(adapter->layout_.parameterCount()) * sizeof(float));
  std::vector<float> a;
  for (const AdapterSlot& slot : adapter->layout_.slots()) {
    const uint64_t stream = kInitStream + slot.module();
    const auto bound = static_cast<float>(1 / std::sqrt(static_cast<double>(slot.in)));
    const int64_t n = int64_t{spec.rank} * slot.in;
    a.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i += 4) {
      const auto bits = philox(seed, stream, static_cast<uint64_t>(i / 4));
      for (int64_t j = 0; j < 4 && i + j < n; ++j)
        a[static_cast<size_t>(i + j)] = (2 * unitFloat(bits[static_cast<size_t>(j)]) - 1) * bound;
    }
    backend.upload((adapter->parameters_ + slot.aOffset).as<std::byte>(), a.data(), a.size() * sizeof(float));
    backend.synchronize();
  }
  adapter->model_->weightsChanged();
  return adapter;
}

std::shared_ptr<Adapter> Adapter::load(std::shared_ptr<Model> model, const std::string& folder) {
  const HostAdapter host = readPeftAdapter(model->config(), folder);
  std::shared_ptr<Adapter> adapter(new Adapter(std::move(model), host.layout.spec()));
  adapter->fromHost(host.flat);
  return adapter;
}

std::vector<float> Adapter::toHost() const {
  std::vector<float> flat(static_cast<size_t>(layout_.parameterCount()));
  model_->backend().download(flat.data(), parameters_.as<const std::byte>(), flat.size() * sizeof(float));
  model_->backend().synchronize();
  return flat;
}

void Adapter::fromHost(const std::vector<float>& flat) {
  if (flat.size() != static_cast<size_t>(layout_.parameterCount())) {
    throw Error(ErrorCode::kInvalidArgument, "this adapter has " + std::to_string(layout_.parameterCount()) +
                                                 " parameters, " + std::to_string(flat.size()) + " were given");
  }
  model_->backend().upload(parameters_.as<std::byte>(), flat.data(), flat.size() * sizeof(float));
  model_->backend().synchronize();
  model_->weightsChanged();
}

void Adapter::save(const std::string& folder, const std::string& baseModel) const {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed)
    throw Error(ErrorCode::kFileIo, "could not create the folder " + folder + ": " + failed.message(),
                {{"file", folder}});
  const AdapterSpec& spec = layout_.spec();
  const std::string& path = model_->config().modulePath;
  std::vector<TensorLayout> tensors;
  for (const AdapterSlot& slot : layout_.slots()) {
    const std::string module = projectionName(slot.projection);
    tensors.push_back({peftTensorName(path, slot.layer, module, 'A'), DType::kF32, {spec.rank, slot.in}});
    tensors.push_back({peftTensorName(path, slot.layer, module, 'B'), DType::kF32, {slot.out, spec.rank}});
  }
  // Piece by piece: it is saved beside the training that it belongs to, whose plan has no second adapter.
  SafetensorsStream file(pathIn(folder, kPeftTensorFile), tensors, {{"format", "pt"}});
  Backend& backend = model_->backend();
  std::vector<float> piece, strips;
  const auto download = [&](float* to, int64_t offset, int64_t n) {
    backend.download(to, (parameters_ + offset).as<const std::byte>(), static_cast<size_t>(n) * sizeof(float));
  };
  for (const AdapterSlot& slot : layout_.slots()) {
    const int64_t rank = spec.rank, floats = rank * slot.in;
    for (int64_t first = 0; first < floats; first += kPieceFloats) {
      piece.resize(static_cast<size_t>(std::min(kPieceFloats, floats - first)));
      download(piece.data(), slot.aOffset + first, static_cast<int64_t>(piece.size()));
      backend.synchronize();
      file.write(piece.data(), piece.size() * sizeof(float));
    }
    const int64_t rows = std::max<int64_t>(1, kPieceFloats / rank);
    for (int64_t first = 0; first < slot.out; first += rows) {
      const int64_t count = std::min(rows, slot.out - first);
      strips.resize(static_cast<size_t>(rank * count));
      piece.resize(strips.size());
      for (int64_t r = 0; r < rank; ++r)
        download(strips.data() + r * count, slot.bOffset + r * slot.out + first, count);
      backend.synchronize();
      transpose(strips.data(), rank, count, piece.data());
      file.write(piece.data(), piece.size() * sizeof(float));
    }
  }
  file.commit();
  PeftOptions options{spec.rank, spec.alpha, spec.rslora, {}, baseModel, spec.dropout};
  for (int p = 0; p < kProjections; ++p) {
    if (spec.targets[static_cast<size_t>(p)]) options.targets.emplace_back(projectionName(static_cast<Projection>(p)));
  }
  writeTextFile(pathIn(folder, kPeftConfigFile), peftOptionsText(options, path));
}

}  // namespace mlit
