// Equal input must give equal bytes (checkpoints are compared by hash), so the header is written in the caller's
// order with nothing of the clock or the machine in it.
#include <set>

#include "checkpoint/dequant.h"
#include "checkpoint/safetensors.h"
#include "core/atomic_file.h"
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

uint64_t byteCount(const std::string& path, const TensorToWrite& tensor) {
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
  if (bytes > 0 && !tensor.data) throw refuse("has no data", "null");
  return bytes;
}

}  // namespace

void writeSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                      const std::map<std::string, std::string>& metadata) {
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
  std::vector<uint64_t> sizes;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      throw Error(ErrorCode::kInvalidArgument,
                  "Writing " + path + ": the tensor name \"" + printable(tensor.name) + "\" is taken.",
                  {{"file", path}, {"tensor", printable(tensor.name)}});
    sizes.push_back(byteCount(path, tensor));
    std::string shape;
    for (const int64_t size : tensor.shape) shape.append(shape.empty() ? "" : ",").append(std::to_string(size));
    if (header.size() > 1) header += ',';
    header += quoted(path, tensor.name) + ":{\"dtype\":\"" + dtypeName(tensor.dtype) + "\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + sizes.back()) + "]}";
    offset += sizes.back();
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');

  AtomicFile file(path);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (size_t i = 0; i < tensors.size(); ++i) file.write(tensors[i].data, static_cast<size_t>(sizes[i]));
  file.commit();
}

}  // namespace mlit
