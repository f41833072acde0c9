// The weights of a Hugging Face folder: model.safetensors, or shards with their index once they are too large for one file.
#pragma once

#include "export/encode.h"
#include "export/result.h"

namespace mlit {

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
