// Equal input must give equal bytes (checkpoints are compared by hash), so the header is written in the caller's
// order with nothing of the clock or the machine in it.
#include <set>

#include "checkpoint/dequant.h"
#include "checkpoint/safetensors.h"
#include "core/file_error.h"
#include "core/json.h"

namespace mlit {

namespace {

std::string quoted(const std::string& path, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kInvalidArgument,
                "Writing " + path + ": the name or value \"" + printable(text) + "\" is not UTF-8.",
                {{"file", path}, {"expected", "UTF-8"}, {"actual", printable(text)}});
  }
}

uint64_t byteCount(const std::string& path, const TensorLayout& tensor) {
  const auto refuse = [&](const std::string& what, const std::string& actual) {
    return Error(ErrorCode::kInvalidArgument,
                 "Writing " + path + ": tensor " + printable(tensor.name) + " " + what + ".",
                 {{"file", path}, {"tensor", printable(tensor.name)}, {"actual", actual}});
  };
  switch (tensor.dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI32:
    case DType::kI64:
    case DType::kU8:
      break;
    default:
      throw refuse(std::string("cannot be written as ") + dtypeName(tensor.dtype), dtypeName(tensor.dtype));
  }
  const std::optional<int64_t> count = checkedElementCount(tensor.shape);
  uint64_t bytes = 0;
  if (!count || __builtin_mul_overflow(static_cast<uint64_t>(*count),
                                       static_cast<uint64_t>(blockShape(tensor.dtype).bytes), &bytes))
    throw refuse("has an impossible shape " + shapeText(tensor.shape), shapeText(tensor.shape));
  return bytes;
}

// The header's length and JSON, padded; total becomes the number of data bytes.
std::string headerBytes(const std::string& path, const std::vector<TensorLayout>& tensors,
                        const std::map<std::string, std::string>& metadata, uint64_t& total) {
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (header.back() != '{') header += ',';
      header += quoted(path, key) + ":" + quoted(path, value);
    }
    header += '}';
  }
  std::set<std::string> names{"__metadata__"};
  for (const TensorLayout& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      throw Error(ErrorCode::kInvalidArgument,
                  "Writing " + path + ": the tensor name \"" + printable(tensor.name) + "\" is taken.",
                  {{"file", path}, {"tensor", printable(tensor.name)}});
    const uint64_t bytes = byteCount(path, tensor);
    std::string shape;
    for (const int64_t size : tensor.shape) shape.append(shape.empty() ? "" : ",").append(std::to_string(size));
    if (header.size() > 1) header += ',';
    header += quoted(path, tensor.name) + ":{\"dtype\":\"" + dtypeName(tensor.dtype) + "\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(total) + "," + std::to_string(total + bytes) + "]}";
    total += bytes;
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header;
}

}  // namespace

SafetensorsStream::SafetensorsStream(const std::string& path, const std::vector<TensorLayout>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  file_.write(headerBytes(path, tensors, metadata, left_));
}

void SafetensorsStream::write(const void* data, size_t bytes) {
  if (bytes > left_) throw Error(ErrorCode::kInternal, "more tensor data than the safetensors header announces");
  file_.write(data, bytes);
  left_ -= bytes;
}

void SafetensorsStream::commit() {
  if (left_ != 0) throw Error(ErrorCode::kInternal, std::to_string(left_) + " bytes of tensor data were never written");
  file_.commit();
}

void writeSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<TensorLayout> layout;
  for (const TensorToWrite& tensor : tensors) {
    layout.push_back({tensor.name, tensor.dtype, tensor.shape});
    if (byteCount(path, layout.back()) > 0 && !tensor.data)
      throw Error(ErrorCode::kInvalidArgument,
                  "Writing " + path + ": tensor " + printable(tensor.name) + " has no data.",
                  {{"file", path}, {"tensor", printable(tensor.name)}, {"actual", "null"}});
  }
  SafetensorsStream file(path, layout, metadata);
  for (size_t i = 0; i < tensors.size(); ++i)
    file.write(tensors[i].data, static_cast<size_t>(byteCount(path, layout[i])));
  file.commit();
}

}  // namespace mlit
