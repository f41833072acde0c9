// The weights of a Hugging Face folder: model.safetensors, or shards with their index once they are too large for one file.
#pragma once

#include "export/encode.h"

namespace mlit {

struct ExportResult {
  std::vector<std::string> files;  // names below the folder, or the one file's path
  uint64_t bytes = 0;              // of all tensors
  bool untied = false;             // the head became a matrix of its own, because the adapter changes it
};

struct SafetensorsExport {
  std::string folder;                    // must exist; files of these names in it are replaced
  DType dtype = DType::kF32;             // F32, F16, BF16, for every tensor as transformers keeps them
  uint64_t shardBytes = 0;               // of tensor data in a file at most, where one tensor is not larger
  const HostAdapter* adapter = nullptr;  // merged into the weights
};

// kFileIo, e.g. a full disk; kCancelled; what reading the checkpoint throws.
ExportResult exportSafetensors(WeightRows& rows, const SafetensorsExport& options, ThreadPool& pool,
                               const ExportWatch& watch);

}  // namespace mlit
