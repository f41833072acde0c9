// The container: magic, version, metadata, tensor table; then only lookups and rows.
#include "checkpoint/gguf.h"

#include <limits>
#include <unordered_map>

#include "checkpoint/gguf_metadata.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/stored_rows.h"

namespace mlit {

namespace {

class OpenGguf final : public GgufFile {
 public:
  explicit OpenGguf(const std::string& path) : file_(path) {
    ByteReader reader(file_);
    checkMagic(reader);
    const uint64_t tensorCount = reader.read<uint64_t>("the number of tensors");
    const uint64_t keyCount = reader.read<uint64_t>("the number of metadata keys");
    constexpr uint64_t kLeastPair = 8 + 4 + 1;  // an empty key, a type, one byte
    reader.require(keyCount, kLeastPair, "the list of " + std::to_string(keyCount) + " metadata keys");
    for (uint64_t i = 0; i < keyCount; ++i) {
      std::string key = reader.readString("metadata key " + std::to_string(i));
      const uint64_t begin = reader.position();
      GgufValue value = readGgufValue(reader, key);
      stored_.emplace(key, std::pair(begin, reader.position()));
      if (!metadata_.emplace(key, std::move(value)).second)
        throw damagedFile(file_.path(), "metadata key \"" + printable(key) + "\" is there twice.",
                          {{"key", printable(key)}});
    }
    tensors_ = readGgufTensors(reader, tensorCount, alignment(), file_.size());
    for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const std::string& path() const override { return file_.path(); }
  const std::map<std::string, GgufValue>& metadata() const override { return metadata_; }
  std::string storedValue(const std::string& key) const override {
    required(key, "a value");
    const auto [begin, end] = stored_.at(key);
    return file_.text(begin, static_cast<size_t>(end - begin));
  }
  bool has(const std::string& key) const override { return metadata_.count(key) > 0; }

  const TensorInfo* find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
  }

  void readRows(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const override {
    readStoredRows(file_, tensor, dtypeName(tensor.dtype), first, count, out);
  }

  std::string text(const std::string& key) const override {
    const GgufValue& value = required(key, "a string");
    if (const auto* string = std::get_if<std::string>(&value)) return *string;
    throw wrongKind(key, "a string", ggufValueKind(value));
  }

  int64_t integer(const std::string& key) const override {
    const GgufValue& value = required(key, "an integer");
    if (const auto* number = std::get_if<int64_t>(&value)) return *number;
    if (const auto* number = std::get_if<uint64_t>(&value)) {
      if (*number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return static_cast<int64_t>(*number);
      throw wrongKind(key, "an integer below 2^63", std::to_string(*number));
    }
    throw wrongKind(key, "an integer", ggufValueKind(value));
  }

  double number(const std::string& key) const override {
    const GgufValue& value = required(key, "a number");
    if (const auto* real = std::get_if<double>(&value)) return *real;
    if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* whole = std::get_if<uint64_t>(&value)) return static_cast<double>(*whole);
    throw wrongKind(key, "a number", ggufValueKind(value));
  }

 private:
  static void checkMagic(ByteReader& reader) {
    constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
    if (reader.remaining() < 4 || reader.read<uint32_t>("the magic number") != kMagic)
      throw damagedFile(reader.path(), "it does not begin with \"GGUF\", so it is no GGUF file.",
                        {{"offset", "0"}, {"expected", "GGUF"}});
    const uint32_t version = reader.read<uint32_t>("the version");
    if (version == 2 || version == 3) return;
    const bool bigEndian = version == 0x02000000u || version == 0x03000000u;
    const std::string actual = bigEndian ? "a big-endian file" : "version " + std::to_string(version);
    throw Error(ErrorCode::kModelUnsupported,
                reader.path() + ": this build reads little-endian GGUF of version 2 or 3, but this is " + actual +
                    ". Convert the model again with current tools.",
                {{"file", reader.path()}, {"expected", "version 2 or 3"}, {"actual", actual}});
  }

  uint64_t alignment() const {
    const std::string key = "general.alignment";
    if (!has(key)) return 32;
    const int64_t value = integer(key);
    if (value > 0 && value <= (int64_t{1} << 31) && (value & (value - 1)) == 0) return static_cast<uint64_t>(value);
    throw wrongKind(key, "a power of two up to 2^31", std::to_string(value));
  }

  const GgufValue& required(const std::string& key, const std::string& expected) const {
    const auto found = metadata_.find(key);
    if (found != metadata_.end()) return found->second;
    throw damagedFile(path(), "metadata key \"" + printable(key) + "\" is missing.",
                      {{"key", printable(key)}, {"expected", expected}, {"actual", "no such key"}});
  }

  Error wrongKind(const std::string& key, const std::string& expected, const std::string& actual) const {
    return damagedFile(path(),
                       "metadata key \"" + printable(key) + "\" must be " + expected + ", but is " + actual + ".",
                       {{"key", printable(key)}, {"expected", expected}, {"actual", actual}});
  }

  InputFile file_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, std::pair<uint64_t, uint64_t>> stored_;  // begin and end of each value, its type included
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace

std::unique_ptr<GgufFile> openGguf(const std::string& path) { return std::make_unique<OpenGguf>(path); }

}  // namespace mlit
