// The safetensors container (https://github.com/huggingface/safetensors): reading by mmap, one file or a
// sharded folder, and writing in one atomic step; everything PEFT and our own training state is stored in.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace mlit {

// path: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
std::unique_ptr<TensorSource> openSafetensors(const std::string& path);

// The header's __metadata__ of a single file.
std::map<std::string, std::string> safetensorsMetadata(const std::string& path);

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;  // F32, I64, U8
  Shape shape;
  const void* data = nullptr;
};

// Writes temporary name → fsync → rename → fsync of the folder. Tensors are laid out in the order given, the header is
// padded to 8 bytes, so equal input gives equal bytes.
void writeSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace mlit
