// The value types of GGUF, each with its size known before anything is allocated for it.
#include "checkpoint/gguf_metadata.h"

#include <limits>

namespace mlit {

namespace {

// Numbers fixed by the format.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

bool readBool(ByteReader& reader, const std::string& key, const std::string& what) {
  const uint64_t offset = reader.position();
  const uint8_t value = reader.read<uint8_t>(what);
  if (value > 1)
    throw damagedFile(
        reader.path(),
        what + " at byte " + std::to_string(offset) + " is a boolean of value " + std::to_string(value) + ".",
        {{"key", printable(key)},
         {"offset", std::to_string(offset)},
         {"expected", "0 or 1"},
         {"actual", std::to_string(value)}});
  return value == 1;
}

template <typename Stored, typename Kept>
std::vector<Kept> readNumbers(ByteReader& reader, uint64_t count, const std::string& what) {
  reader.require(count, sizeof(Stored), what);
  std::vector<Kept> values(static_cast<size_t>(count));
  for (Kept& value : values) value = static_cast<Kept>(reader.read<Stored>(what));
  return values;
}

std::vector<int64_t> readUnsigned64(ByteReader& reader, uint64_t count, const std::string& key,
                                    const std::string& what) {
  reader.require(count, 8, what);
  std::vector<int64_t> values(static_cast<size_t>(count));
  for (int64_t& value : values) {
    const uint64_t stored = reader.read<uint64_t>(what);
    if (stored > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      throw damagedFile(reader.path(),
                        what + " has an element that does not fit 63 bits: " + std::to_string(stored) + ".",
                        {{"key", printable(key)}, {"actual", std::to_string(stored)}});
    value = static_cast<int64_t>(stored);
  }
  return values;
}

Error unknownType(const ByteReader& reader, const std::string& key, const std::string& what, uint32_t type,
                  uint64_t offset) {
  return damagedFile(
      reader.path(),
      what + " at byte " + std::to_string(offset) + " has the unknown value type " + std::to_string(type) + ".",
      {{"key", printable(key)},
       {"offset", std::to_string(offset)},
       {"expected", "a type from 0 to 12"},
       {"actual", std::to_string(type)}});
}

GgufValue readArray(ByteReader& reader, const std::string& key, const std::string& what) {
  const uint64_t offset = reader.position();
  const uint32_t type = reader.read<uint32_t>(what);
  const uint64_t count = reader.read<uint64_t>(what);
  switch (static_cast<ValueType>(type)) {
    case ValueType::kU8:
      return readNumbers<uint8_t, int32_t>(reader, count, what);
    case ValueType::kI8:
      return readNumbers<int8_t, int32_t>(reader, count, what);
    case ValueType::kU16:
      return readNumbers<uint16_t, int32_t>(reader, count, what);
    case ValueType::kI16:
      return readNumbers<int16_t, int32_t>(reader, count, what);
    case ValueType::kI32:
      return readNumbers<int32_t, int32_t>(reader, count, what);
    case ValueType::kU32:
      return readNumbers<uint32_t, int64_t>(reader, count, what);
    case ValueType::kI64:
      return readNumbers<int64_t, int64_t>(reader, count, what);
    case ValueType::kU64:
      return readUnsigned64(reader, count, key, what);
    case ValueType::kF32:
      return readNumbers<float, float>(reader, count, what);
    case ValueType::kF64:
      return readNumbers<double, double>(reader, count, what);
    case ValueType::kBool: {
      reader.require(count, 1, what);
      std::vector<bool> values(static_cast<size_t>(count));
      for (size_t i = 0; i < values.size(); ++i) values[i] = readBool(reader, key, what);
      return values;
    }
    case ValueType::kString: {
      reader.require(count, 8, what);
      std::vector<std::string> values;
      values.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) values.push_back(reader.readString(what));
      return values;
    }
    case ValueType::kArray:
      throw Error(ErrorCode::kModelUnsupported,
                  reader.path() + ": " + what +
                      " is an array of arrays, which no known model uses. Convert the model again with current tools.",
                  {{"file", reader.path()},
                   {"key", printable(key)},
                   {"offset", std::to_string(offset)},
                   {"actual", "array of arrays"}});
  }
  throw unknownType(reader, key, what, type, offset);
}

}  // namespace

GgufValue readGgufValue(ByteReader& reader, const std::string& key) {
  const std::string what = "the value of metadata key \"" + printable(key) + "\"";
  const uint64_t offset = reader.position();
  const uint32_t type = reader.read<uint32_t>(what);
  switch (static_cast<ValueType>(type)) {
    case ValueType::kU8:
      return uint64_t{reader.read<uint8_t>(what)};
    case ValueType::kU16:
      return uint64_t{reader.read<uint16_t>(what)};
    case ValueType::kU32:
      return uint64_t{reader.read<uint32_t>(what)};
    case ValueType::kU64:
      return reader.read<uint64_t>(what);
    case ValueType::kI8:
      return int64_t{reader.read<int8_t>(what)};
    case ValueType::kI16:
      return int64_t{reader.read<int16_t>(what)};
    case ValueType::kI32:
      return int64_t{reader.read<int32_t>(what)};
    case ValueType::kI64:
      return reader.read<int64_t>(what);
    case ValueType::kF32:
      return double{reader.read<float>(what)};
    case ValueType::kF64:
      return reader.read<double>(what);
    case ValueType::kBool:
      return readBool(reader, key, what);
    case ValueType::kString:
      return reader.readString(what);
    case ValueType::kArray:
      return readArray(reader, key, what);
  }
  throw unknownType(reader, key, what, type, offset);
}

std::string ggufValueKind(const GgufValue& value) {
  struct Visitor {
    std::string operator()(bool) const { return "a boolean"; }
    std::string operator()(int64_t) const { return "an integer"; }
    std::string operator()(uint64_t) const { return "an integer"; }
    std::string operator()(double) const { return "a float"; }
    std::string operator()(const std::string&) const { return "a string"; }
    std::string operator()(const std::vector<std::string>&) const { return "an array of strings"; }
    std::string operator()(const std::vector<int32_t>&) const { return "an array of integers"; }
    std::string operator()(const std::vector<int64_t>&) const { return "an array of integers"; }
    std::string operator()(const std::vector<float>&) const { return "an array of floats"; }
    std::string operator()(const std::vector<double>&) const { return "an array of floats"; }
    std::string operator()(const std::vector<bool>&) const { return "an array of booleans"; }
  };
  return std::visit(Visitor{}, value);
}

}  // namespace mlit
