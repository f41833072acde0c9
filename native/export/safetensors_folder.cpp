// Tensors fill shards in the order of the model, as transformers does it.
#include "export/safetensors_folder.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "checkpoint/dequant.h"
#include "checkpoint/json_file.h"
#include "checkpoint/safetensors.h"

namespace mlit {

namespace {

std::string shardName(size_t number, size_t of) {
  if (of == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number, of);
  return name;
}

}  // namespace

ExportResult exportSafetensors(WeightRows& rows, const SafetensorsExport& options, ThreadPool& pool,
                               const ExportWatch& watch) {
  ExportResult result{{}, 0, untiesHead(rows.config(), options.adapter)};
  const std::vector<ExportTensor> tensors = exportTensors(rows.config(), !rows.config().tiedHead || result.untied);
  std::vector<std::vector<const ExportTensor*>> shards(1);
  int64_t elements = 0;
  uint64_t inShard = 0;
  for (const ExportTensor& tensor : tensors) {
    const int64_t count = elementCount(tensor.shape);
    const uint64_t bytes = static_cast<uint64_t>(count * blockShape(options.dtype).bytes);
    if (inShard > 0 && inShard + bytes > options.shardBytes) {
      shards.emplace_back();
      inShard = 0;
    }
    shards.back().push_back(&tensor);
    inShard += bytes;
    result.bytes += bytes;
    elements += count;
  }
  TensorEncoder encoder(rows, options.adapter, pool, watch, elements);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shardName(i + 1, shards.size());
    std::vector<TensorLayout> layout;
    for (const ExportTensor* tensor : shards[i]) {
      layout.push_back({tensor->name, options.dtype, tensor->shape});
      map[tensor->name] = name;
    }
    SafetensorsStream file((std::filesystem::path(options.folder) / name).string(), layout, {{"format", "pt"}});
    for (const ExportTensor* tensor : shards[i]) {
      encoder.encode(*tensor, options.dtype, Container::kSafetensors,
                     [&](const void* data, size_t bytes) { file.write(data, bytes); });
    }
    file.commit();
    result.files.push_back(name);
  }
  if (shards.size() > 1) {
    nlohmann::ordered_json index;
    index["metadata"]["total_size"] = result.bytes;
    index["weight_map"] = map;
    result.files.emplace_back("model.safetensors.index.json");
    writeTextFile((std::filesystem::path(options.folder) / result.files.back()).string(), index.dump(2) + "\n");
  }
  return result;
}

}  // namespace mlit
