// Writing GGUF v3, tensor data piece by piece: metadata entries keep their exact types, because llama.cpp refuses a key
// of another integer type than it expects.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/atomic_file.h"
#include "core/tensor.h"

namespace mlit {

struct GgufEntry {
  std::string key;
  std::string value;  // type tag and value as they lie in the file
};

GgufEntry ggufU32(std::string key, uint32_t value);
GgufEntry ggufF32(std::string key, float value);
GgufEntry ggufBool(std::string key, bool value);
GgufEntry ggufText(std::string key, std::string_view value);
GgufEntry ggufTexts(std::string key, const std::vector<std::string>& values);
GgufEntry ggufI32s(std::string key, const std::vector<int32_t>& values);
GgufEntry ggufF32s(std::string key, const std::vector<float>& values);
GgufEntry ggufBools(std::string key, const std::vector<bool>& values);

class GgufStream {
 public:
  // Writes the header below a temporary name; tensors F32, F16 or BF16, aligned to 32 bytes. Equal input, equal bytes.
  // kInvalidArgument for a key or name that is there twice or a type that cannot be written, kFileIo.
  GgufStream(const std::string& path, const std::vector<GgufEntry>& entries, const std::vector<TensorLayout>& tensors);
  // The next bytes of the data of the tensors in their order; the padding between them is added here.
  void write(const void* data, size_t bytes);
  // fsync → rename → fsync of the folder. kInternal unless every tensor is complete.
  void commit();

 private:
  void pad();

  AtomicFile file_;
  std::vector<uint64_t> sizes_;
  size_t tensor_ = 0;     // the one that is being written
  uint64_t written_ = 0;  // bytes of it
};

}  // namespace mlit
