// The container's numbers are fixed by the format (docs/gguf.md of ggml).
#include "checkpoint/gguf_writer.h"

#include <algorithm>
#include <set>

#include "checkpoint/dequant.h"
#include "core/file_error.h"

namespace mlit {

namespace {

constexpr uint64_t kAlignment = 32;
enum Tag : uint32_t { kI32 = 5, kU32 = 4, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

template <class T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void appendText(std::string& to, std::string_view text) {
  append(to, static_cast<uint64_t>(text.size()));
  to.append(text);
}

template <class T>
GgufEntry single(std::string key, Tag tag, const T& value) {
  GgufEntry entry{std::move(key), {}};
  append(entry.value, static_cast<uint32_t>(tag));
  append(entry.value, value);
  return entry;
}

GgufEntry arrayOf(std::string key, Tag tag, size_t count) {
  GgufEntry entry = single(std::move(key), kArray, static_cast<uint32_t>(tag));
  append(entry.value, static_cast<uint64_t>(count));
  return entry;
}

uint32_t typeNumber(const std::string& path, const TensorLayout& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kBF16:
      return 30;
    default:
      throw Error(ErrorCode::kInvalidArgument,
                  "Writing " + path + ": tensor " + printable(tensor.name) + " cannot be written as " +
                      dtypeName(tensor.dtype) + ".",
                  {{"file", path}, {"tensor", printable(tensor.name)}, {"actual", dtypeName(tensor.dtype)}});
  }
}

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

GgufEntry ggufU32(std::string key, uint32_t value) { return single(std::move(key), kU32, value); }
GgufEntry ggufF32(std::string key, float value) { return single(std::move(key), kF32, value); }
GgufEntry ggufBool(std::string key, bool value) {
  return single(std::move(key), kBool, static_cast<uint8_t>(value ? 1 : 0));
}

GgufEntry ggufText(std::string key, std::string_view value) {
  GgufEntry entry{std::move(key), {}};
  append(entry.value, static_cast<uint32_t>(kString));
  appendText(entry.value, value);
  return entry;
}

GgufEntry ggufTexts(std::string key, const std::vector<std::string>& values) {
  GgufEntry entry = arrayOf(std::move(key), kString, values.size());
  for (const std::string& value : values) appendText(entry.value, value);
  return entry;
}

GgufEntry ggufI32s(std::string key, const std::vector<int32_t>& values) {
  GgufEntry entry = arrayOf(std::move(key), kI32, values.size());
  for (const int32_t value : values) append(entry.value, value);
  return entry;
}

GgufEntry ggufF32s(std::string key, const std::vector<float>& values) {
  GgufEntry entry = arrayOf(std::move(key), kF32, values.size());
  for (const float value : values) append(entry.value, value);
  return entry;
}

GgufEntry ggufBools(std::string key, const std::vector<bool>& values) {
  GgufEntry entry = arrayOf(std::move(key), kBool, values.size());
  for (const bool value : values) append(entry.value, static_cast<uint8_t>(value ? 1 : 0));
  return entry;
}

GgufStream::GgufStream(const std::string& path, const std::vector<GgufEntry>& entries,
                       const std::vector<TensorLayout>& tensors)
    : file_(path) {
  std::set<std::string> names;
  const auto once = [&](const std::string& name) {
    if (!names.insert(name).second)
      throw Error(ErrorCode::kInvalidArgument, "Writing " + path + ": \"" + printable(name) + "\" is there twice.",
                  {{"file", path}, {"key", printable(name)}});
  };
  std::string header = "GGUF";
  append(header, uint32_t{3});
  append(header, static_cast<uint64_t>(tensors.size()));
  append(header, static_cast<uint64_t>(entries.size()));
  for (const GgufEntry& entry : entries) {
    once(entry.key);
    appendText(header, entry.key);
    header += entry.value;
  }
  names.clear();
  uint64_t offset = 0;
  for (const TensorLayout& tensor : tensors) {
    once(tensor.name);
    appendText(header, tensor.name);
    append(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)  // innermost first
      append(header, static_cast<uint64_t>(*size));
    append(header, typeNumber(path, tensor));
    append(header, offset);
    sizes_.push_back(static_cast<uint64_t>(elementCount(tensor.shape)) *
                     static_cast<uint64_t>(blockShape(tensor.dtype).bytes));
    offset += aligned(sizes_.back());
  }
  header.append(static_cast<size_t>(aligned(header.size()) - header.size()), '\0');
  file_.write(header);
}

void GgufStream::pad() {
  constexpr char kZeros[kAlignment] = {};
  file_.write(kZeros, static_cast<size_t>(aligned(written_) - written_));
}

void GgufStream::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    if (tensor_ == sizes_.size()) throw Error(ErrorCode::kInternal, "more tensor data than the GGUF header announces");
    const size_t part = static_cast<size_t>(std::min<uint64_t>(bytes, sizes_[tensor_] - written_));
    file_.write(next, part);
    next += part;
    bytes -= part;
    written_ += part;
    if (written_ < sizes_[tensor_]) continue;
    pad();
    ++tensor_;
    written_ = 0;
  }
}

void GgufStream::commit() {
  if (tensor_ != sizes_.size())
    throw Error(ErrorCode::kInternal, "tensor " + std::to_string(tensor_) + " of the GGUF file is not complete");
  file_.commit();
}

}  // namespace mlit
