// The safetensors container (https://github.com/huggingface/safetensors): reading one file or a sharded
// folder, and writing in one atomic step; everything PEFT and our own training state is stored in.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "core/tensor.h"

namespace mlit {

// path: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
std::unique_ptr<TensorSource> openSafetensors(const std::string& path);

// The header's __metadata__ of a single file.
std::map<std::string, std::string> safetensorsMetadata(const std::string& path);

// One file whose data come piece by piece, for what does not fit into memory. Tensors are laid out in the order given,
// the header is padded to 8 bytes, so equal input gives equal bytes.
class SafetensorsStream {
 public:
  // Types: F32, F16, BF16, I32, I64, U8. Writes the header below a temporary name. kInvalidArgument for a name or shape that cannot be written, kFileIo.
  SafetensorsStream(const std::string& path, const std::vector<TensorLayout>& tensors,
                    const std::map<std::string, std::string>& metadata);
  // The next bytes of the data, which follow each other without gaps. kFileIo, e.g. a full disk.
  void write(const void* data, size_t bytes);
  // fsync → rename → fsync of the folder. kInternal unless every byte of the layout was written.
  void commit();

 private:
  AtomicFile file_;
  uint64_t left_ = 0;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const void* data = nullptr;
};

// The same for tensors in memory, in one call.
void writeSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace mlit
