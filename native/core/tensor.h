// Host-side tensor vocabulary shared by every file reader and by the model loader: dtypes, shapes and a
// source that can be read row by row, so that no whole checkpoint is ever held twice in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlit {

enum class DType { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K, kI32, kI64, kU8, kOther };

const char* dtypeName(DType dtype);

using Shape = std::vector<int64_t>;         // row-major, outermost first: a linear weight is [out, in]
std::string shapeText(const Shape& shape);  // "[640, 1024]"
int64_t elementCount(const Shape& shape);   // throws kInvalidArgument on a negative size or an overflow
std::optional<int64_t> checkedElementCount(const Shape& shape);  // the same, nothing instead of a throw

// One tensor of a checkpoint file, still in its stored form.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kOther;
  Shape shape;
  uint64_t offset = 0;  // byte offset in its file
  uint64_t bytes = 0;
  int file = 0;  // index of the shard it lies in
};

// One tensor of a file that is to be written.
struct TensorLayout {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// A checkpoint that is open for reading. Implementations: safetensors (one file or shards), GGUF.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // nullptr when there is none of that name.
  virtual const TensorInfo* find(const std::string& name) const = 0;
  // De-quantises rows [first, first + count) of a tensor seen as [rows, last dimension] into out (float32).
  // A 1-D tensor is one row. Throws kFileDamaged naming file, tensor and byte range.
  virtual void readRows(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const = 0;
  virtual const std::string& path() const = 0;
};

}  // namespace mlit
