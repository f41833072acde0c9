// Metadata first, then the tensors in the order of the model, each encoded on its way to the file.
#include "export/gguf_model.h"

#include <algorithm>
#include <set>

#include "checkpoint/dequant.h"
#include "checkpoint/gguf.h"
#include "core/error.h"
#include "model/loader.h"

namespace mlit {

namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kRopeTensor = "rope_freqs.weight";

// llama.cpp's number for "mostly this type".
uint32_t fileType(DType dtype) { return dtype == DType::kF32 ? 0 : dtype == DType::kF16 ? 1 : 32; }

// Everything that a GGUF file says, but for what the export changes.
std::vector<GgufEntry> copiedEntries(const GgufFile& file) {
  const std::set<std::string> ours = {"general.architecture", "general.type", "general.file_type",
                                      "general.quantization_version", "general.alignment"};
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : file.metadata()) {
    const bool ofQuantising = key.starts_with("quantize.") || key.starts_with("split.");
    if (!ours.contains(key) && !ofQuantising) entries.push_back({key, file.storedValue(key)});
  }
  return entries;
}

void checkTokens(const ModelConfig& config, const std::vector<GgufEntry>& entries) {
  for (const GgufEntry& entry : entries) {
    if (entry.key != kTokens) continue;
    uint64_t count = 0;
    entry.value.copy(reinterpret_cast<char*>(&count), sizeof count, 8);
    if (count == static_cast<uint64_t>(config.vocabulary)) return;
    throw Error(
        ErrorCode::kInvalidArgument,
        "a GGUF file needs a token for each of the " + std::to_string(config.vocabulary) +
            " rows of the embedding, but the tokenizer gives " + std::to_string(count),
        {{"field", kTokens}, {"expected", std::to_string(config.vocabulary)}, {"actual", std::to_string(count)}});
  }
}

// [headDim / 2] or empty: how far each rotary frequency is stretched.
std::vector<float> ropeDivisors(const ModelConfig& config) {
  if (!config.rope.divisors.empty()) return config.rope.divisors;
  if (config.rope.scaling != RopeSpec::Scaling::kLlama3) return {};
  return rotaryDivisors(config.rope, config.headDim);
}

}  // namespace

ExportResult exportGguf(WeightRows& rows, const GgufExport& options, ThreadPool& pool, const ExportWatch& watch) {
  const ModelConfig& config = rows.config();
  std::vector<GgufEntry> entries = {
      ggufText("general.architecture", architectureName(config.architecture)),
      ggufText("general.type", "model"),
      ggufU32("general.file_type", fileType(options.dtype)),
      ggufU32("general.quantization_version", 2),
  };
  const bool fromGguf = isGguf(rows.path());
  const std::vector<GgufEntry> own = fromGguf ? copiedEntries(*openGguf(rows.path())) : ggufConfig(config);
  entries.insert(entries.end(), own.begin(), own.end());
  entries.insert(entries.end(), options.entries.begin(), options.entries.end());
  checkTokens(config, entries);

  ExportResult result{{options.path}, 0, untiesHead(config, options.adapter)};
  const std::vector<ExportTensor> tensors = exportTensors(config, !config.tiedHead || result.untied);
  const std::vector<float> divisors = ropeDivisors(config);
  std::vector<TensorLayout> layout;
  int64_t elements = 0;
  if (!divisors.empty()) layout.push_back({kRopeTensor, DType::kF32, {static_cast<int64_t>(divisors.size())}});
  for (const ExportTensor& tensor : tensors) {
    layout.push_back({tensor.ggufName, tensor.isMatrix() ? options.dtype : DType::kF32, tensor.shape});
    const int64_t count = elementCount(tensor.shape);
    elements += count;
    result.bytes += static_cast<uint64_t>(count * blockShape(layout.back().dtype).bytes);
  }
  GgufStream file(options.path, entries, layout);
  file.write(divisors.data(), divisors.size() * sizeof(float));
  TensorEncoder encoder(rows, options.adapter, pool, watch, elements);
  for (const ExportTensor& tensor : tensors) {
    encoder.encode(tensor, tensor.isMatrix() ? options.dtype : DType::kF32, Container::kGguf,
                   [&](const void* data, size_t bytes) { file.write(data, bytes); });
  }
  file.commit();
  return result;
}

}  // namespace mlit
