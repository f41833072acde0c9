// Streams a checkpoint into a backend: a block of rows is de-quantised, put right and handed over, so that the peak is
// the model in its final form plus one small buffer, whatever the file holds.
#include "model/loader.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/safetensors.h"
#include "core/file_error.h"

namespace mlit {

namespace {

constexpr int64_t kBufferFloats = int64_t{1} << 18;  // 1 MiB, or more where that is no work for each thread
constexpr int64_t kThreadRows = 64;                  // of a block; what a backend packs by

int64_t parameterCount(const ModelConfig& c) {
  const int64_t d = c.hidden, layer = d * (c.qkvDim() + c.queryDim()) + 3 * d * c.feedForward;
  return c.layers * layer + d * c.vocabulary * (c.tiedHead ? 1 : 2);
}

// Names of transformers' files below "model."; files of multimodal models put the decoder elsewhere, in two generations.
std::string decoderPath(const TensorSource& source) {
  for (const char* path : {"language_model.model.", "model.language_model."}) {
    if (source.find(path + std::string("embed_tokens.weight")) != nullptr) return path;
  }
  return "model.";
}

}  // namespace

TensorNames tensorNames(const ModelConfig& config, bool gguf, const std::string& path) {
  const bool gemma = config.architecture == Architecture::kGemma3;
  TensorNames n;
  if (gguf) {
    n.embedding = "token_embd.weight", n.finalNorm = "output_norm.weight", n.head = "output.weight",
    n.layerPrefix = "blk.";
    n.q = "attn_q.weight", n.k = "attn_k.weight", n.v = "attn_v.weight", n.o = "attn_output.weight";
    n.gate = "ffn_gate.weight", n.up = "ffn_up.weight", n.down = "ffn_down.weight";
    n.qBias = "attn_q.bias", n.kBias = "attn_k.bias", n.vBias = "attn_v.bias";
    n.attentionNorm = "attn_norm.weight", n.mlpNorm = "ffn_norm.weight";
    n.postAttentionNorm = "post_attention_norm.weight", n.postMlpNorm = "post_ffw_norm.weight";
    n.qNorm = "attn_q_norm.weight", n.kNorm = "attn_k_norm.weight";
    n.rotaryPairsInterleaved = config.architecture == Architecture::kLlama;
  } else {
    n.embedding = path + "embed_tokens.weight", n.finalNorm = path + "norm.weight", n.layerPrefix = path + "layers.";
    n.head = path == "language_model.model." ? "language_model.lm_head.weight" : "lm_head.weight";
    n.q = "self_attn.q_proj.weight", n.k = "self_attn.k_proj.weight", n.v = "self_attn.v_proj.weight",
    n.o = "self_attn.o_proj.weight";
    n.gate = "mlp.gate_proj.weight", n.up = "mlp.up_proj.weight", n.down = "mlp.down_proj.weight";
    n.qBias = "self_attn.q_proj.bias", n.kBias = "self_attn.k_proj.bias", n.vBias = "self_attn.v_proj.bias";
    n.attentionNorm = "input_layernorm.weight";
    n.mlpNorm = gemma ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
    n.postAttentionNorm = "post_attention_layernorm.weight", n.postMlpNorm = "post_feedforward_layernorm.weight";
    n.qNorm = "self_attn.q_norm.weight", n.kNorm = "self_attn.k_norm.weight";
    n.normOffset = gemma ? 1.0f : 0.0f;
  }
  return n;
}

namespace {

// bf16 where every matrix that load() reads is bf16.
WeightFormat formatOf(const Checkpoint& checkpoint) {
  const TensorNames& n = checkpoint.names;
  const auto isBf16 = [&](const std::string& name) {
    const TensorInfo* tensor = checkpoint.source->find(name);
    return tensor != nullptr && tensor->dtype == DType::kBF16;
  };
  if (!isBf16(n.embedding) || !(checkpoint.config.tiedHead || isBf16(n.head))) return WeightFormat::kF32;
  for (int32_t layer = 0; layer < checkpoint.config.layers; ++layer) {
    const std::string prefix = n.layerPrefix + std::to_string(layer) + ".";
    for (const std::string* name : {&n.q, &n.k, &n.v, &n.o, &n.gate, &n.up, &n.down}) {
      if (!isBf16(prefix + *name)) return WeightFormat::kF32;
    }
  }
  return WeightFormat::kBF16;
}

WeightFormat automaticFormat(const Checkpoint& checkpoint, const BackendSizes& backend) {
  if (backend.integerProducts()) return WeightFormat::kI8Channel;
  return backend.activationType() == ElementType::kBF16 ? WeightFormat::kBF16 : formatOf(checkpoint);
}

}  // namespace

Checkpoint::Checkpoint(const std::string& path) {
  const bool gguf = isGguf(path);
  if (gguf) {
    std::unique_ptr<GgufFile> file = openGguf(path);
    config = configFromGguf(*file);
    source = std::move(file);
  } else {
    config = configFromHuggingFace(path);
    source = openSafetensors(path);
  }
  names = tensorNames(config, gguf, gguf ? "" : decoderPath(*source));
}

Checkpoint::Checkpoint(ModelConfig shape, std::unique_ptr<TensorSource> tensors)
    : config(std::move(shape)), source(std::move(tensors)), names(tensorNames(config, false)) {}

WeightFormat losslessFormat(const std::string& path) { return formatOf(Checkpoint(path)); }

WeightFormat automaticFormat(const std::string& path, const BackendSizes& backend) {
  return automaticFormat(Checkpoint(path), backend);
}

ModelLoader::ModelLoader(const std::string& path, std::shared_ptr<Backend> backend, const Model::Options& options)
    : ModelLoader(Checkpoint(path), path, std::move(backend), options) {}

ModelLoader::ModelLoader(Checkpoint checkpoint, const std::string& path, std::shared_ptr<Backend> backend,
                         const Model::Options& options)
    : model_(new Model), options_(options), pool_(usableProcessors()) {
  model_->backend_ = std::move(backend);
  model_->path_ = path;
  model_->format_ = options.format.value_or(automaticFormat(checkpoint, *model_->backend_));
  model_->config_ = std::move(checkpoint.config);
  source_ = std::move(checkpoint.source);
  names_ = std::move(checkpoint.names);
  elementsTotal_ = parameterCount(model_->config_);
}

// Of a model that somebody else owns.
ModelLoader::ModelLoader(Checkpoint checkpoint, Model& model, const Model::Options& options)
    : model_(&model, [](Model*) {}),
      options_(options),
      source_(std::move(checkpoint.source)),
      names_(std::move(checkpoint.names)),
      pool_(usableProcessors()),
      elementsTotal_(parameterCount(model.config_)) {}

std::string ModelLoader::layerName(int32_t layer, const std::string& name) const {
  return names_.layerPrefix + std::to_string(layer) + "." + name;
}

const TensorInfo& ModelLoader::require(const std::string& name, const Shape& shape) const {
  const TensorInfo* tensor = source_->find(name);
  const std::string expected = shapeText(shape);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kTensorMissing, name + ", of shape " + expected + ", is missing from " + source_->path(),
                {{"tensor", name}, {"expected", expected}, {"file", source_->path()}});
  }
  if (tensor->shape != shape) {
    const std::string found = shapeText(tensor->shape);
    throw Error(ErrorCode::kTensorMismatch,
                name + " has shape " + found + ", expected " + expected + " in " + source_->path(),
                {{"tensor", name}, {"found", found}, {"expected", expected}, {"file", source_->path()}});
  }
  return *tensor;
}

void ModelLoader::refuseOtherBiases() const {
  const auto computed = [&](const std::string& name) {
    return model_->config_.qkvBias && (name.ends_with("." + names_.qBias) || name.ends_with("." + names_.kBias) ||
                                       name.ends_with("." + names_.vBias));
  };
  for (const TensorInfo& tensor : source_->tensors()) {
    // Vision towers beside the decoder have biases of their own.
    if (!tensor.name.starts_with(names_.layerPrefix) || computed(tensor.name)) continue;
    if (tensor.name.ends_with(".bias")) {
      throw Error(ErrorCode::kModelUnsupported,
                  source_->path() + " has a bias, " + printable(tensor.name) +
                      ", that this architecture's other implementations do not have; it is not supported",
                  {{"tensor", printable(tensor.name)}, {"file", source_->path()}});
    }
  }
}

// A device's memory is all there is: what does not fit is told before any of it is taken, with what would.
void ModelLoader::refuseWhatDoesNotFit() const {
  const Backend& backend = *model_->backend_;
  if (backend.deviceBytes() < 0) return;
  const auto bytesIn = [&](WeightFormat format) { return Model::plannedBytes(model_->config_, backend, format); };
  const size_t needed = bytesIn(model_->format_), held = backend.fixedBytes();
  const size_t free = std::max(static_cast<size_t>(backend.deviceBytes()), held) - held;
  if (needed <= free) return;
  const auto mib = [](size_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; };
  std::string ways;
  for (const WeightFormat format : {WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    if (bytesIn(format) >= needed) continue;
    ways += std::string(ways.empty() ? "" : ", ") + "as " + formatName(format) + " they take " + mib(bytesIn(format));
  }
  throw Error(ErrorCode::kOutOfMemory,
              "the weights of " + model_->path_ + " take " + mib(needed) + " as " + formatName(model_->format_) +
                  ", and " + mib(free) + " of " + backend.name() + "'s memory are free; " +
                  (ways.empty() ? "take a device with more memory" : ways + " (--base-dtype)"),
              {{"neededBytes", std::to_string(needed)}, {"availableBytes", std::to_string(free)}});
}

void ModelLoader::advance(int64_t elements) {
  if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
    throw Error(ErrorCode::kCancelled, "loading " + model_->path_ + " was cancelled");
  }
  elementsDone_ += elements;
  if (options_.progress) options_.progress(static_cast<double>(elementsDone_) / static_cast<double>(elementsTotal_));
}

// Rows are independent in every stored format, so threads take shares of them.
void ModelLoader::readBlock(const TensorInfo& tensor, int64_t first, int64_t count, int64_t in) {
  if (buffer_.size() < static_cast<size_t>(count * in)) buffer_.resize(static_cast<size_t>(count * in));
  const int64_t share = std::max<int64_t>(1, (count + 4 * pool_.threads() - 1) / (4 * pool_.threads()));
  pool_.run((count + share - 1) / share, [&](int64_t task, int) {
    const int64_t begin = task * share, rows = std::min(share, count - begin);
    source_->readRows(tensor, first + begin, rows, buffer_.data() + begin * in);
  });
}

void ModelLoader::loadWeight(WeightId& weight, int64_t in, WeightFormat format, const std::vector<Part>& parts) {
  int64_t out = 0;
  for (const Part& part : parts) out += part.rows;
  for (const Part& part : parts) require(part.name, {part.rows, in});
  Backend& backend = *model_->backend_;
  if (!weight) weight = backend.createWeight(out, in, format);
  int64_t at = 0;
  for (const Part& part : parts) {
    const TensorInfo& tensor = *source_->find(part.name);
    const int64_t unit = part.heads > 0 ? part.rows / part.heads : 1;  // rows that must stay together
    const int64_t floats = std::max(kBufferFloats, pool_.threads() * kThreadRows * in);
    const int64_t step = std::max<int64_t>(1, floats / (in * unit)) * unit;
    for (int64_t row = 0; row < part.rows; row += step) {
      const int64_t count = std::min(step, part.rows - row);
      readBlock(tensor, row, count, in);
      const float* rows = buffer_.data();
      if (part.heads > 0) {
        permuted_.resize(static_cast<size_t>(count * in));
        for (int64_t r = 0; r < count; ++r) {
          const int64_t j = r % unit, head = r - j;
          std::memcpy(permuted_.data() + (head + j % 2 * (unit / 2) + j / 2) * in, rows + r * in,
                      static_cast<size_t>(in) * sizeof(float));
        }
        rows = permuted_.data();
      }
      backend.setWeightRows(weight, at + row, count, rows);
      advance(count * in);
    }
    at += part.rows;
  }
}

void ModelLoader::loadVectors() {
  const ModelConfig& c = model_->config_;
  // Grows with what the file really holds: the sizes are only its configuration's word so far.
  std::vector<float> host;
  std::vector<std::pair<DevConstF32*, int64_t>> places;
  const auto place = [&](DevConstF32* pointer, const std::string& name, int64_t n, float offset) {
    const TensorInfo& tensor = require(name, {n});
    const auto at = host.size();
    host.resize(at + static_cast<size_t>(n));
    source_->readRows(tensor, 0, 1, host.data() + at);
    for (size_t i = at; i < host.size(); ++i) host[i] += offset;
    if (pointer != nullptr) places.emplace_back(pointer, static_cast<int64_t>(at));
  };
  const auto norm = [&](DevConstF32& pointer, const std::string& name, int64_t n) {
    place(&pointer, name, n, names_.normOffset);
  };
  for (int32_t layer = 0; layer < c.layers; ++layer) {
    LayerWeights& w = model_->layers_[static_cast<size_t>(layer)];
    norm(w.attentionNorm, layerName(layer, names_.attentionNorm), c.hidden);
    norm(w.mlpNorm, layerName(layer, names_.mlpNorm), c.hidden);
    if (c.postNorms) {
      norm(w.postAttentionNorm, layerName(layer, names_.postAttentionNorm), c.hidden);
      norm(w.postMlpNorm, layerName(layer, names_.postMlpNorm), c.hidden);
    }
    if (c.qkNorm) {
      norm(w.qNorm, layerName(layer, names_.qNorm), c.headDim);
      norm(w.kNorm, layerName(layer, names_.kNorm), c.headDim);
    }
    if (c.qkvBias) {
      place(&w.qkvBias, layerName(layer, names_.qBias), c.queryDim(), 0);
      place(nullptr, layerName(layer, names_.kBias), c.kvDim(), 0);
      place(nullptr, layerName(layer, names_.vBias), c.kvDim(), 0);
    }
  }
  norm(model_->finalNorm_, names_.finalNorm, c.hidden);
  model_->vectorsBytes_ = host.size() * sizeof(float);
  model_->vectors_ = model_->backend_->allocate(model_->vectorsBytes_);
  for (const auto& [pointer, at] : places) *pointer = model_->vectors_.as<float>() + at;
  model_->backend_->upload(model_->vectors_, host.data(), model_->vectorsBytes_);
  model_->backend_->synchronize();
}

std::shared_ptr<Model> ModelLoader::load() {
  refuseOtherBiases();
  refuseWhatDoesNotFit();
  model_->layers_.resize(static_cast<size_t>(model_->config_.layers));
  loadVectors();
  advance(0);
  loadMatrices();
  return model_;
}

void ModelLoader::refill(Model& model, const Model::Options& options) {
  ModelLoader loader(Checkpoint(model.path_), model, options);
  loader.loadMatrices();
  model.weightsChanged();
}

void ModelLoader::loadMatrices() {
  const ModelConfig& c = model_->config_;
  const WeightFormat format = model_->format_, table = tableFormat(format, *model_->backend_);
  loadWeight(model_->embedding_, c.hidden, table, {{names_.embedding, c.vocabulary}});
  if (c.tiedHead) {
    model_->head_ = model_->embedding_;
  } else {
    loadWeight(model_->head_, c.hidden, table, {{names_.head, c.vocabulary}});
  }
  const int64_t qHeads = names_.rotaryPairsInterleaved ? c.heads : 0,
                kHeads = names_.rotaryPairsInterleaved ? c.kvHeads : 0;
  for (int32_t layer = 0; layer < c.layers; ++layer) {
    LayerWeights& w = model_->layers_[static_cast<size_t>(layer)];
    const auto name = [&](const std::string& below) { return layerName(layer, below); };
    loadWeight(
        w.qkv, c.hidden, format,
        {{name(names_.q), c.queryDim(), qHeads}, {name(names_.k), c.kvDim(), kHeads}, {name(names_.v), c.kvDim()}});
    loadWeight(w.o, c.queryDim(), format, {{name(names_.o), c.hidden}});
    loadWeight(w.gateUp, c.hidden, format, {{name(names_.gate), c.feedForward}, {name(names_.up), c.feedForward}});
    loadWeight(w.down, c.feedForward, format, {{name(names_.down), c.hidden}});
  }
}

std::shared_ptr<Model> ModelLoader::outline(const ModelConfig& c, std::shared_ptr<Backend> backend,
                                            WeightFormat format) {
  std::shared_ptr<Model> model(new Model);
  model->vectorsBytes_ = vectorFloats(c) * sizeof(float);
  model->vectors_ = backend->allocate(model->vectorsBytes_);
  const DevConstF32 some = model->vectors_.as<float>();
  const auto where = [&](bool there) { return there ? some : DevConstF32(); };
  const auto weight = [&](int64_t out, int64_t in) { return backend->createWeight(out, in, format); };
  model->config_ = c;
  model->format_ = format;
  model->finalNorm_ = some;
  model->embedding_ = weight(c.vocabulary, c.hidden);
  model->head_ = c.tiedHead ? model->embedding_ : weight(c.vocabulary, c.hidden);
  for (int32_t layer = 0; layer < c.layers; ++layer) {
    model->layers_.push_back({weight(c.qkvDim(), c.hidden), where(c.qkvBias), weight(c.hidden, c.queryDim()),
                              weight(2 * int64_t{c.feedForward}, c.hidden), weight(c.hidden, c.feedForward), some, some,
                              where(c.postNorms), where(c.postNorms), where(c.qkNorm), where(c.qkNorm)});
  }
  model->backend_ = std::move(backend);
  return model;
}

std::shared_ptr<Model> Model::load(const std::string& path, std::shared_ptr<Backend> backend, const Options& options) {
  return ModelLoader(path, std::move(backend), options).load();
}

}  // namespace mlit
