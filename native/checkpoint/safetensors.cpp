// One source over one file or many shards; which shard a tensor lies in is the index file's word, and is checked.
#include "checkpoint/safetensors.h"

#include <filesystem>
#include <unordered_map>

#include "checkpoint/safetensors_header.h"
#include "checkpoint/stored_rows.h"
#include "core/file_error.h"
#include "core/json.h"

namespace mlit {

namespace {

class SafetensorsSource final : public TensorSource {
 public:
  explicit SafetensorsSource(const std::string& path) : path_(path) {}

  void addFile(const std::string& path) {
    auto file = std::make_unique<InputFile>(path);
    SafetensorsHeader header = readSafetensorsHeader(*file, static_cast<int>(files_.size()));
    for (size_t i = 0; i < header.tensors.size(); ++i)
      add(std::move(header.tensors[i]), std::move(header.storedTypes[i]));
    files_.push_back(std::move(file));
  }

  // Adds the tensors that the index places in this shard, and throws if one of them is not there.
  void addShard(const std::string& path, const std::string& indexPath, const std::vector<std::string>& names) {
    auto file = std::make_unique<InputFile>(path);
    SafetensorsHeader header = readSafetensorsHeader(*file, static_cast<int>(files_.size()));
    std::unordered_map<std::string, size_t> present;
    for (size_t i = 0; i < header.tensors.size(); ++i) present.emplace(header.tensors[i].name, i);
    for (const std::string& name : names) {
      const auto found = present.find(name);
      if (found == present.end())
        throw damagedFile(path,
                          "tensor " + printable(name) + " is missing, although " + indexPath + " says that it is here.",
                          {{"tensor", printable(name)}, {"expected", "the tensor"}, {"actual", "nothing"}});
      add(std::move(header.tensors[found->second]), std::move(header.storedTypes[found->second]));
    }
    files_.push_back(std::move(file));
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const std::string& path() const override { return path_; }

  const TensorInfo* find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
  }

  void readRows(const TensorInfo& tensor, int64_t first, int64_t count, float* out) const override {
    const auto found = index_.find(tensor.name);
    const std::string storedType = found == index_.end() ? dtypeName(tensor.dtype) : storedTypes_[found->second];
    readStoredRows(fileOf(tensor), tensor, storedType, first, count, out);
  }

 private:
  void add(TensorInfo tensor, std::string storedType) {
    index_.emplace(tensor.name, tensors_.size());
    tensors_.push_back(std::move(tensor));
    storedTypes_.push_back(std::move(storedType));
  }

  const InputFile& fileOf(const TensorInfo& tensor) const {
    if (tensor.file >= 0 && static_cast<size_t>(tensor.file) < files_.size())
      return *files_[static_cast<size_t>(tensor.file)];
    throw Error(ErrorCode::kInvalidArgument, "Tensor " + printable(tensor.name) + " is not one of " + path_ + ".",
                {{"file", path_}, {"tensor", printable(tensor.name)}});
  }

  std::string path_;
  std::vector<std::unique_ptr<InputFile>> files_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::string> storedTypes_;
  std::unordered_map<std::string, size_t> index_;
};

// A shard lies beside its index: a name that leads elsewhere is refused.
bool isPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// Shard file name → names of the tensors in it.
std::map<std::string, std::vector<std::string>> readIndex(const std::string& path) {
  const InputFile file(path);
  const JsonDocument document = parseJson(file.text(0, file.size()), path);
  const nlohmann::json& json = document.root();
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object())
    throw damagedFile(path, "it has no object \"weight_map\".", {{"key", "weight_map"}, {"expected", "an object"}});
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !isPlainName(shard.get_ref<const std::string&>()))
      throw damagedFile(
          path, "\"weight_map\" does not give tensor " + printable(tensor) + " the name of a file in the same folder.",
          {{"key", "weight_map"},
           {"tensor", printable(tensor)},
           {"expected", "a file name"},
           {"actual", shard.is_string() ? printable(shard.get_ref<const std::string&>()) : shard.type_name()}});
    shards[shard.get<std::string>()].push_back(tensor);
  }
  return shards;
}

}  // namespace

std::unique_ptr<TensorSource> openSafetensors(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  auto source = std::make_unique<SafetensorsSource>(path);
  if (path.find('\0') != std::string::npos || !fs::is_directory(path, ignored)) {
    source->addFile(path);
    return source;
  }
  const fs::path folder(path);
  const std::string single = (folder / "model.safetensors").string();
  const std::string index = (folder / "model.safetensors.index.json").string();
  if (fs::exists(single, ignored)) {
    source->addFile(single);
    return source;
  }
  if (!fs::exists(index, ignored)) {
    const bool pickled = fs::exists(folder / "pytorch_model.bin", ignored);
    throw Error(ErrorCode::kFileNotFound,
                path + " has neither model.safetensors nor model.safetensors.index.json. " +
                    (pickled ? "It has pytorch_model.bin: convert that to safetensors."
                             : "Name a model folder or a .safetensors file."),
                {{"file", path}, {"expected", "model.safetensors or model.safetensors.index.json"}});
  }
  for (const auto& [shard, names] : readIndex(index)) {
    const std::string shardPath = (folder / shard).string();
    if (!fs::exists(shardPath, ignored))
      throw Error(ErrorCode::kFileNotFound,
                  shardPath + " is missing, although " + index + " names it. Download the missing file.",
                  {{"file", shardPath}, {"expected", shard}, {"tensor", printable(names.front())}});
    source->addShard(shardPath, index, names);
  }
  return source;
}

std::map<std::string, std::string> safetensorsMetadata(const std::string& path) {
  const InputFile file(path);
  return readSafetensorsHeader(file, 0).metadata;
}

}  // namespace mlit
