// Every number of an entry comes from the file, so each is bounded before the next depends on it.
#include "checkpoint/gguf_tensors.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "checkpoint/dequant.h"

namespace mlit {

namespace {

// Type numbers of ggml; kOther marks those that have a name but no decoder here.
struct StoredType {
  uint32_t number;
  const char* name;
  DType dtype;
};

constexpr StoredType kStoredTypes[] = {
    {0, "F32", DType::kF32},       {1, "F16", DType::kF16},        {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},     {6, "Q5_0", DType::kQ5_0},      {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},     {9, "Q8_1", DType::kOther},     {10, "Q2_K", DType::kOther},
    {11, "Q3_K", DType::kOther},   {12, "Q4_K", DType::kQ4_K},     {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},    {15, "Q8_K", DType::kOther},    {16, "IQ2_XXS", DType::kOther},
    {17, "IQ2_XS", DType::kOther}, {18, "IQ3_XXS", DType::kOther}, {19, "IQ1_S", DType::kOther},
    {20, "IQ4_NL", DType::kOther}, {21, "IQ3_S", DType::kOther},   {22, "IQ2_S", DType::kOther},
    {23, "IQ4_XS", DType::kOther}, {24, "I8", DType::kOther},      {25, "I16", DType::kOther},
    {26, "I32", DType::kI32},      {27, "I64", DType::kI64},       {28, "F64", DType::kOther},
    {29, "IQ1_M", DType::kOther},  {30, "BF16", DType::kBF16},     {34, "TQ1_0", DType::kOther},
    {35, "TQ2_0", DType::kOther},  {39, "MXFP4", DType::kOther},
};

DType dtypeOf(const ByteReader& reader, const std::string& tensor, uint32_t number) {
  std::string name = "type number " + std::to_string(number);
  for (const StoredType& type : kStoredTypes) {
    if (type.number != number) continue;
    if (type.dtype != DType::kOther) return type.dtype;
    name = type.name;
  }
  const std::string known = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K";
  throw Error(ErrorCode::kModelUnsupported,
              reader.path() + ": tensor " + tensor + " is stored as " + name +
                  ", which this build cannot read. Use a file with " + known +
                  ", e.g. the Q4_K_M or Q8_0 variant of the model.",
              {{"file", reader.path()}, {"tensor", tensor}, {"expected", known}, {"actual", name}});
}

// Sizes are stored innermost first.
Shape readShape(ByteReader& reader, const std::string& tensor) {
  const std::string what = "the shape of tensor " + tensor;
  const uint64_t offset = reader.position();
  const auto impossible = [&](const std::string& actual, const std::string& expected) {
    return damagedFile(
        reader.path(), what + " at byte " + std::to_string(offset) + " is impossible: " + actual + ".",
        {{"tensor", tensor}, {"offset", std::to_string(offset)}, {"expected", expected}, {"actual", actual}});
  };
  const uint32_t dimensions = reader.read<uint32_t>(what);
  if (dimensions > 4) throw impossible(std::to_string(dimensions) + " dimensions", "at most 4 dimensions");
  Shape shape(dimensions);
  for (uint32_t i = 0; i < dimensions; ++i) {
    const uint64_t size = reader.read<uint64_t>(what);
    if (size == 0 || size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      throw impossible("a size of " + std::to_string(size), "sizes from 1 to 2^63 - 1");
    shape[dimensions - 1 - i] = static_cast<int64_t>(size);
  }
  if (!checkedElementCount(shape)) throw impossible(shapeText(shape), "a product below 2^63");
  return shape;
}

TensorInfo readEntry(ByteReader& reader, uint64_t alignment) {
  TensorInfo tensor;
  tensor.name = reader.readString("a tensor's name");
  const std::string name = printable(tensor.name);
  tensor.shape = readShape(reader, name);
  tensor.dtype = dtypeOf(reader, name, reader.read<uint32_t>("the type of tensor " + name));
  tensor.offset = reader.read<uint64_t>("the offset of tensor " + name);
  if (tensor.offset % alignment != 0)
    throw damagedFile(reader.path(),
                      "tensor " + name + " starts at data offset " + std::to_string(tensor.offset) +
                          ", which is not a multiple of the alignment " + std::to_string(alignment) + ".",
                      {{"tensor", name},
                       {"expected", "a multiple of " + std::to_string(alignment)},
                       {"actual", std::to_string(tensor.offset)}});
  const BlockShape block = blockShape(tensor.dtype);
  const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (columns % block.elements != 0)
    throw damagedFile(reader.path(),
                      "tensor " + name + " of shape " + shapeText(tensor.shape) + " cannot be " +
                          dtypeName(tensor.dtype) + ": a row is not a whole number of blocks of " +
                          std::to_string(block.elements) + ".",
                      {{"tensor", name},
                       {"expected", "a multiple of " + std::to_string(block.elements)},
                       {"actual", std::to_string(columns)}});
  const uint64_t blocks = static_cast<uint64_t>(elementCount(tensor.shape) / block.elements);
  if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(block.bytes), &tensor.bytes))
    throw damagedFile(reader.path(),
                      "tensor " + name + " of shape " + shapeText(tensor.shape) + " would be larger than any file.",
                      {{"tensor", name}, {"actual", shapeText(tensor.shape)}});
  return tensor;
}

void checkOverlap(const std::string& path, const std::vector<TensorInfo>& tensors) {
  std::vector<const TensorInfo*> byOffset;
  for (const TensorInfo& tensor : tensors) byOffset.push_back(&tensor);
  std::sort(byOffset.begin(), byOffset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < byOffset.size(); ++i) {
    const TensorInfo& before = *byOffset[i - 1];
    const TensorInfo& tensor = *byOffset[i];
    const uint64_t end = before.offset + before.bytes;
    if (tensor.offset < end)
      throw damagedFile(path,
                        "tensors " + printable(before.name) + " and " + printable(tensor.name) +
                            " overlap: the first ends at byte " + std::to_string(end) + ", the second starts at byte " +
                            std::to_string(tensor.offset) + ".",
                        {{"tensor", printable(tensor.name)},
                         {"expected", "from byte " + std::to_string(end)},
                         {"offset", std::to_string(tensor.offset)}});
  }
}

}  // namespace

std::vector<TensorInfo> readGgufTensors(ByteReader& reader, uint64_t count, uint64_t alignment, uint64_t fileBytes) {
  constexpr uint64_t kLeastEntry = 8 + 4 + 4 + 8;  // an empty name and no dimensions
  reader.require(count, kLeastEntry, "the table of " + std::to_string(count) + " tensors");
  std::vector<TensorInfo> tensors;
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    tensors.push_back(readEntry(reader, alignment));
    if (!names.insert(tensors.back().name).second)
      throw damagedFile(reader.path(), "tensor " + printable(tensors.back().name) + " is listed twice.",
                        {{"tensor", printable(tensors.back().name)}});
  }
  const uint64_t dataStart = (reader.position() + alignment - 1) / alignment * alignment;
  for (TensorInfo& tensor : tensors) {
    const uint64_t room = dataStart > fileBytes ? 0 : fileBytes - dataStart;
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      // Both may be close to 2^64, so the range is given relative to the data where the sum would wrap.
      uint64_t begin = 0;
      uint64_t end = 0;
      const bool wraps =
          __builtin_add_overflow(dataStart, tensor.offset, &begin) || __builtin_add_overflow(begin, tensor.bytes, &end);
      const std::string range =
          wraps ? std::to_string(tensor.bytes) + " bytes at data offset " + std::to_string(tensor.offset)
                : "bytes " + std::to_string(begin) + " to " + std::to_string(end);
      throw damagedFile(reader.path(),
                        "tensor " + printable(tensor.name) + " needs " + range + ", but the file has only " +
                            std::to_string(fileBytes) + " bytes.",
                        {{"tensor", printable(tensor.name)},
                         {"offset", std::to_string(wraps ? tensor.offset : begin)},
                         {"expected", range},
                         {"actual", std::to_string(fileBytes) + " bytes"}});
    }
    tensor.offset += dataStart;
  }
  checkOverlap(reader.path(), tensors);
  return tensors;
}

}  // namespace mlit
