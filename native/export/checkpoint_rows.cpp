// Reading for export is reading for the loader: the same names, shapes and order of rows, but nothing is kept.
#include <cstring>

#include "checkpoint/safetensors.h"
#include "core/error.h"
#include "export/weight_rows.h"
#include "model/loader.h"

namespace mlit {

namespace {

class CheckpointRows final : public WeightRows {
 public:
  CheckpointRows(const std::string& path, ThreadPool& pool)
      : path_(path), gguf_(isGguf(path)), pool_(pool), checkpoint_(path) {}

  const ModelConfig& config() const override { return checkpoint_.config; }
  const std::string& path() const override { return path_; }

  DType storedType() const override {
    DType common = DType::kOther;
    for (const ExportTensor& tensor : exportTensors(checkpoint_.config, !checkpoint_.config.tiedHead)) {
      if (!tensor.isMatrix()) continue;
      const DType dtype = find(tensor).dtype;
      if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) return DType::kOther;
      if (common == DType::kOther) common = dtype;
      if (dtype != common) common = DType::kF32;  // of two kinds: the one that holds both
    }
    return common;
  }

  void read(const ExportTensor& tensor, int64_t first, int64_t count, float* out) override {
    const TensorInfo& stored = find(tensor);
    const int64_t columns = tensor.columns();
    const int64_t unit = gguf_ && tensor.rotaryHeads > 0 ? tensor.rows() / tensor.rotaryHeads : 0;
    const int64_t share = std::max<int64_t>(1, (count + 4 * pool_.threads() - 1) / (4 * pool_.threads()));
    pool_.run((count + share - 1) / share, [&](int64_t task, int) {
      const int64_t begin = task * share, rows = std::min(share, count - begin);
      float* to = out + begin * columns;
      if (unit == 0) return checkpoint_.source->readRows(stored, first + begin, rows, to);
      for (int64_t row = first + begin; row < first + begin + rows; ++row, to += columns)
        checkpoint_.source->readRows(stored, interleavedRow(row, unit), 1, to);
    });
    if (tensor.isNorm() && checkpoint_.names.normOffset != 0) {
      for (int64_t i = 0; i < columns; ++i) out[i] += checkpoint_.names.normOffset;
    }
  }

 private:
  // wanted: as in a file of the plain decoder; a multimodal model's file has it under another path.
  std::string nameInFile(const std::string& wanted) const {
    const std::string plain = "model.layers.", &stored = checkpoint_.names.layerPrefix;
    if (wanted.starts_with(plain)) return stored + wanted.substr(plain.size());
    if (wanted == "model.embed_tokens.weight") return checkpoint_.names.embedding;
    return wanted == "model.norm.weight" ? checkpoint_.names.finalNorm : checkpoint_.names.head;
  }

  const TensorInfo& find(const ExportTensor& tensor) const {
    ExportTensor wanted = tensor;
    if (tensor.part == TensorPart::kHead && checkpoint_.config.tiedHead) {
      wanted = exportTensors(checkpoint_.config, false).front();
    }
    const std::string name = gguf_ ? wanted.ggufName : nameInFile(wanted.name);
    const TensorInfo* stored = checkpoint_.source->find(name);
    const std::string expected = shapeText(tensor.shape);
    if (stored == nullptr)
      throw Error(ErrorCode::kTensorMissing,
                  name + ", of shape " + expected + ", is missing from " + checkpoint_.source->path(),
                  {{"tensor", name}, {"expected", expected}, {"file", checkpoint_.source->path()}});
    if (stored->shape != tensor.shape)
      throw Error(ErrorCode::kTensorMismatch,
                  name + " has shape " + shapeText(stored->shape) + ", expected " + expected + " in " +
                      checkpoint_.source->path(),
                  {{"tensor", name},
                   {"found", shapeText(stored->shape)},
                   {"expected", expected},
                   {"file", checkpoint_.source->path()}});
    return *stored;
  }

  std::string path_;
  bool gguf_;
  ThreadPool& pool_;
  Checkpoint checkpoint_;
};

}  // namespace

std::unique_ptr<WeightRows> checkpointRows(const std::string& path, ThreadPool& pool) {
  return std::make_unique<CheckpointRows>(path, pool);
}

}  // namespace mlit
