// Sizes, order and ends must agree among themselves and with the file before a single row is read.
#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>

#include "core/file_error.h"
#include "core/json.h"

namespace mlit {

namespace {

struct StoredType {
  const char* name;
  uint64_t bits;
  DType dtype;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", 32, DType::kF32},      {"F16", 16, DType::kF16},      {"BF16", 16, DType::kBF16},
    {"I64", 64, DType::kI64},      {"I32", 32, DType::kI32},      {"U8", 8, DType::kU8},
    {"F64", 64, DType::kOther},    {"U64", 64, DType::kOther},    {"U32", 32, DType::kOther},
    {"U16", 16, DType::kOther},    {"I16", 16, DType::kOther},    {"I8", 8, DType::kOther},
    {"BOOL", 8, DType::kOther},    {"F8_E4M3", 8, DType::kOther}, {"F8_E5M2", 8, DType::kOther},
    {"F8_E8M0", 8, DType::kOther}, {"C64", 64, DType::kOther},    {"F4", 4, DType::kOther},
    {"F6_E2M3", 6, DType::kOther}, {"F6_E3M2", 6, DType::kOther},
};

constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the format's own library

struct Entry {
  TensorInfo tensor;  // offset still relative to the data
  const StoredType* type;
};

class HeaderReader {
 public:
  HeaderReader(const InputFile& file, int fileIndex) : file_(file), fileIndex_(fileIndex) {}

  SafetensorsHeader read() {
    const uint64_t headerBytes = headerLength();
    const std::string text = file_.text(8, static_cast<size_t>(headerBytes));
    if (text[0] != '{')
      throw damagedFile(file_.path(), "its header does not begin with '{'.", {{"offset", "8"}, {"expected", "{"}});
    const JsonDocument document = parseJson(text, file_.path());
    dataStart_ = 8 + headerBytes;

    SafetensorsHeader header;
    std::vector<Entry> entries;
    for (const auto& [name, value] : document.root().items()) {
      if (name == "__metadata__")
        header.metadata = readMetadata(value);
      else
        entries.push_back(readEntry(name, value));
    }
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.tensor.offset, a.tensor.bytes) < std::pair(b.tensor.offset, b.tensor.bytes);
    });
    placeInFile(entries);
    for (Entry& entry : entries) {
      header.storedTypes.push_back(entry.type->name);
      header.tensors.push_back(std::move(entry.tensor));
    }
    return header;
  }

 private:
  Error wrong(const std::string& tensor, const std::string& what, const std::string& expected,
              const std::string& actual) const {
    return damagedFile(file_.path(), "tensor " + printable(tensor) + ": " + what + ".",
                       {{"tensor", printable(tensor)}, {"expected", expected}, {"actual", actual}});
  }

  uint64_t headerLength() const {
    if (file_.size() < 8)
      throw damagedFile(file_.path(),
                        "it has " + std::to_string(file_.size()) + " bytes, too few for a safetensors file.",
                        {{"expected", "at least 8 bytes"}, {"actual", std::to_string(file_.size()) + " bytes"}});
    uint64_t length = 0;
    file_.read(0, sizeof length, &length);
    const uint64_t most = std::min<uint64_t>(kLargestHeader, file_.size() - 8);
    if (length < 2 || length > most)
      throw damagedFile(
          file_.path(),
          "its header claims " + std::to_string(length) + " bytes; from 2 to " + std::to_string(most) +
              " are possible in a file of " + std::to_string(file_.size()) + " bytes.",
          {{"offset", "0"}, {"expected", "2 to " + std::to_string(most)}, {"actual", std::to_string(length)}});
    return length;
  }

  std::map<std::string, std::string> readMetadata(const nlohmann::json& value) const {
    const auto refuse = [&](const std::string& key) {
      return damagedFile(file_.path(), "its __metadata__ must map strings to strings.",
                         {{"key", printable(key)}, {"expected", "a string"}});
    };
    if (!value.is_object()) throw refuse("__metadata__");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw refuse(key);
      metadata.emplace(key, text.get<std::string>());
    }
    return metadata;
  }

  // A whole number from 0 to 2^63 - 1; nothing else is a size.
  int64_t readSize(const std::string& tensor, const char* field, const nlohmann::json& value) const {
    if (value.is_number_unsigned() &&
        value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return value.get<int64_t>();
    const std::string actual = value.is_number() ? value.dump() : value.type_name();
    throw wrong(tensor, std::string(field) + " has the element " + actual + ", not a size",
                "a whole number from 0 to 2^63 - 1", actual);
  }

  Entry readEntry(const std::string& name, const nlohmann::json& value) const {
    Entry entry;
    entry.tensor.name = name;
    entry.tensor.file = fileIndex_;
    const auto member = [&](const char* key) -> const nlohmann::json& {
      const auto found = value.is_object() ? value.find(key) : value.end();
      if (!value.is_object() || found == value.end())
        throw wrong(name, std::string("\"") + key + "\" is missing", key, "nothing");
      return *found;
    };
    const nlohmann::json& dtype = member("dtype");
    const nlohmann::json& shape = member("shape");
    const nlohmann::json& offsets = member("data_offsets");
    entry.type = typeOf(name, dtype);
    entry.tensor.dtype = entry.type->dtype;
    if (!shape.is_array()) throw wrong(name, "\"shape\" is no array", "an array", shape.type_name());
    for (const nlohmann::json& size : shape) entry.tensor.shape.push_back(readSize(name, "\"shape\"", size));
    if (!offsets.is_array() || offsets.size() != 2)
      throw wrong(name, "\"data_offsets\" is not a pair", "[begin, end]", offsets.type_name());
    const uint64_t begin = static_cast<uint64_t>(readSize(name, "\"data_offsets\"", offsets[0]));
    const uint64_t end = static_cast<uint64_t>(readSize(name, "\"data_offsets\"", offsets[1]));
    const std::string range = shapeText({static_cast<int64_t>(begin), static_cast<int64_t>(end)});
    if (end < begin) throw wrong(name, "\"data_offsets\" " + range + " end before they begin", "begin <= end", range);
    entry.tensor.offset = begin;
    entry.tensor.bytes = end - begin;
    checkSize(entry);
    return entry;
  }

  const StoredType* typeOf(const std::string& tensor, const nlohmann::json& dtype) const {
    if (!dtype.is_string()) throw wrong(tensor, "\"dtype\" is no string", "a string", dtype.type_name());
    const std::string& name = dtype.get_ref<const std::string&>();
    for (const StoredType& type : kStoredTypes)
      if (name == type.name) return &type;
    throw Error(ErrorCode::kModelUnsupported,
                file_.path() + ": tensor " + printable(tensor) + " has the unknown dtype \"" + printable(name) +
                    "\". Convert the model to F32, F16 or BF16.",
                {{"file", file_.path()},
                 {"tensor", printable(tensor)},
                 {"expected", "F32, F16 or BF16"},
                 {"actual", printable(name)}});
  }

  void checkSize(const Entry& entry) const {
    const TensorInfo& tensor = entry.tensor;
    const std::string dims =
        tensor.shape.size() <= 8 ? shapeText(tensor.shape) : std::to_string(tensor.shape.size()) + " dimensions";
    const std::optional<int64_t> count = checkedElementCount(tensor.shape);
    uint64_t bits = 0;
    if (!count || __builtin_mul_overflow(static_cast<uint64_t>(*count), entry.type->bits, &bits))
      throw wrong(tensor.name, "its shape " + dims + " is larger than any file", "a product below 2^63", dims);
    if (bits % 8 != 0 || bits / 8 != tensor.bytes)
      throw wrong(tensor.name,
                  "its shape " + dims + " of " + entry.type->name + " takes " + std::to_string(bits / 8) +
                      " bytes, but its data_offsets span " + std::to_string(tensor.bytes),
                  std::to_string(bits / 8) + " bytes", std::to_string(tensor.bytes) + " bytes");
  }

  // The format allows no overlap, no gap and nothing after the last tensor.
  void placeInFile(std::vector<Entry>& entries) const {
    const uint64_t dataBytes = file_.size() - dataStart_;
    uint64_t expected = 0;
    for (Entry& entry : entries) {
      TensorInfo& tensor = entry.tensor;
      if (tensor.offset != expected)
        throw wrong(
            tensor.name,
            std::string("its data ") +
                (tensor.offset < expected ? "overlap the tensor before" : "leave a gap after the tensor before") +
                ": they begin at data offset " + std::to_string(tensor.offset) + ", not " + std::to_string(expected),
            std::to_string(expected), std::to_string(tensor.offset));
      expected += tensor.bytes;
      if (expected > dataBytes) {
        const std::string range =
            "bytes " + std::to_string(dataStart_ + tensor.offset) + " to " + std::to_string(dataStart_ + expected);
        throw damagedFile(file_.path(),
                          "tensor " + printable(tensor.name) + " needs " + range + ", but the file has only " +
                              std::to_string(file_.size()) + " bytes.",
                          {{"tensor", printable(tensor.name)},
                           {"offset", std::to_string(dataStart_ + tensor.offset)},
                           {"expected", range},
                           {"actual", std::to_string(file_.size()) + " bytes"}});
      }
      tensor.offset += dataStart_;
    }
    if (expected != dataBytes)
      throw damagedFile(file_.path(), std::to_string(dataBytes - expected) + " bytes follow the last tensor.",
                        {{"offset", std::to_string(dataStart_ + expected)},
                         {"expected", std::to_string(dataStart_ + expected) + " bytes"},
                         {"actual", std::to_string(file_.size()) + " bytes"}});
  }

  const InputFile& file_;
  int fileIndex_;
  uint64_t dataStart_ = 0;
};

}  // namespace

SafetensorsHeader readSafetensorsHeader(const InputFile& file, int fileIndex) {
  return HeaderReader(file, fileIndex).read();
}

}  // namespace mlit
