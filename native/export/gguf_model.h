// One GGUF file that llama.cpp and its relatives load: weights in its order of rows, the model's numbers as metadata, and
// the tokenizer and the chat template beside them.
#pragma once

#include "checkpoint/gguf_writer.h"
#include "export/encode.h"
#include "export/result.h"

namespace mlit {

struct GgufExport {
  std::string path;
  DType dtype = DType::kF32;             // of matrices; vectors are always F32
  const HostAdapter* adapter = nullptr;  // merged into the weights
  // What a GGUF source says of itself is copied; a folder's tokenizer and names are given here.
  std::vector<GgufEntry> entries;
};

// kFileIo, e.g. a full disk; kCancelled; kInvalidArgument where the entries hold another number of tokens than the
// embedding has rows; what reading the checkpoint throws.
ExportResult exportGguf(WeightRows& rows, const GgufExport& options, ThreadPool& pool, const ExportWatch& watch);

// A LoRA as llama.cpp's converter writes it: general.type = adapter, <tensor>.lora_a [rank, in] and .lora_b [out, rank];
// the scale is always alpha / rank there, so that of rsLoRA goes into alpha. kModelUnsupported for alpha = 0 and for a LoRA
// on a tied head, which that format can't express.
ExportResult exportGgufAdapter(const ModelConfig& config, const HostAdapter& adapter, const std::string& path,
                               DType dtype, const std::vector<GgufEntry>& entries);

// The keys of an architecture, as llama.cpp names them.
std::vector<GgufEntry> ggufConfig(const ModelConfig& config);

}  // namespace mlit
