// Exports take a model by its path, streamed from disk, or by its handle, as it is in memory.
#include "addon/exports.h"

#include "addon/progress.h"
#include "addon/states.h"
#include "export/config_json.h"
#include "export/gguf_model.h"
#include "export/safetensors_folder.h"
#include "model/loader.h"

namespace mlit::addon {
namespace {

const std::vector<std::string> kDtypeNames = {"f32", "bf16", "f16"};

DType dtypeOption(const OptionsReader& reader) {
  constexpr DType kDtypes[] = {DType::kF32, DType::kBF16, DType::kF16};
  return kDtypes[reader.oneOf("dtype", kDtypeNames)];
}

// A path or a Model.
struct Source {
  std::string path;
  std::shared_ptr<ModelState> model;

  std::unique_ptr<WeightRows> open(ThreadPool& pool) const {
    if (model == nullptr) return checkpointRows(path, pool);
    require(model->model, ModelState::kName);
    return residentRows(model->model);
  }
};

Source sourceArgument(Napi::Value value) {
  if (value.IsString()) return {textArgument(value, "source"), nullptr};
  return {"", livingStateOf<ModelState>(value.Env(), value, "source")};
}

std::optional<HostAdapter> readAdapter(const ModelConfig& config, const std::string& folder) {
  if (folder.empty()) return std::nullopt;
  return readPeftAdapter(config, folder);
}

// [{ key, type, value }] as lib/native/types.ts has it.
std::vector<GgufEntry> entriesOption(const OptionsReader& reader) {
  const std::string name = reader.path("entries");
  const Napi::Array array = arrayArgument(reader.get("entries"), name);
  std::vector<GgufEntry> entries;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const OptionsReader item(array.Get(i), name + "[" + std::to_string(i) + "]");
    const std::string key = item.text("key");
    switch (item.oneOf("type", {"u32", "f32", "bool", "text", "texts", "i32s", "f32s"})) {
      case 0:
        entries.push_back(
            ggufU32(key, static_cast<uint32_t>(item.integer("value", 0, std::numeric_limits<uint32_t>::max()))));
        break;
      case 1:
        entries.push_back(ggufF32(key, static_cast<float>(item.number("value", std::numeric_limits<float>::lowest()))));
        break;
      case 2:
        entries.push_back(ggufBool(key, item.boolean("value")));
        break;
      case 3:
        entries.push_back(ggufText(key, item.get("value").ToString().Utf8Value()));
        break;
      case 4: {
        const Napi::Array texts = arrayArgument(item.get("value"), item.path("value"));
        std::vector<std::string> values(texts.Length());
        for (uint32_t j = 0; j < texts.Length(); ++j) {
          const Napi::HandleScope scope(array.Env());  // a vocabulary is a quarter of a million strings
          values[j] = texts.Get(j).ToString().Utf8Value();
        }
        entries.push_back(ggufTexts(key, values));
        break;
      }
      case 5:
        entries.push_back(ggufI32s(key, item.int32s("value")));
        break;
      default:
        entries.push_back(ggufF32s(key, item.float32s("value")));
    }
  }
  return entries;
}

Napi::Object resultValue(Napi::Env env, const ExportResult& result) {
  Napi::Array files = Napi::Array::New(env);
  for (const std::string& file : result.files) files.Set(files.Length(), file);
  Napi::Object value = Napi::Object::New(env);
  value.Set("files", files);
  value.Set("bytes", static_cast<double>(result.bytes));
  value.Set("untied", result.untied);
  return value;
}

// Runs write(rows, adapter, pool, watch) on the compute thread, with progress and cancellation.
template <class Write>
Napi::Value runExport(const Napi::CallbackInfo& info, Write write) {
  const Source source = sourceArgument(info[0]);
  const OptionsReader reader(info[1], "options");
  const std::string adapter = reader.get("adapter").IsUndefined() ? "" : reader.text("adapter");
  const auto cancel = source.model ? source.model->cancel : std::make_shared<CancelToken>();
  const std::shared_ptr<Progress> progress = Progress::ofOptions(info[1], cancel);
  const auto work = [source, adapter, cancel, progress, write] {
    ThreadPool pool(usableProcessors());
    ExportWatch watch;
    watch.cancel = &cancel->flag;
    if (progress) watch.progress = [&](double fraction) { progress->report(fraction); };
    const std::unique_ptr<WeightRows> rows = source.open(pool);
    const std::optional<HostAdapter> lora = readAdapter(rows->config(), adapter);
    return write(*rows, lora ? &*lora : nullptr, pool, watch);
  };
  const auto finish = [progress](Napi::Env env, const ExportResult& result) -> Napi::Value {
    if (progress) {
      if (const auto thrown = progress->end(env)) throw *thrown;
    }
    return resultValue(env, result);
  };
  return runAsync(info.Env(), cancel, work, finish, Progress::failure(progress));
}

}  // namespace

Napi::Value exportConfig(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [path = textArgument(info[0], "path")]() -> std::string {
        const ModelConfig config = readModelConfig(path);
        // A multimodal folder's own config.json does not describe its text part, which is all that is written.
        return isGguf(path) || config.modulePath != "model." ? configJson(config, path) : "";
      },
      [](Napi::Env env, const std::string& json) -> Napi::Value { return Napi::String::New(env, json); });
}

Napi::Value storedType(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [path = textArgument(info[0], "path")] {
        ThreadPool pool(1);
        return checkpointRows(path, pool)->storedType();
      },
      [](Napi::Env env, DType found) -> Napi::Value {
        return Napi::String::New(env, found == DType::kF32    ? "f32"
                                      : found == DType::kBF16 ? "bf16"
                                      : found == DType::kF16  ? "f16"
                                                              : "quantised");
      });
}

Napi::Value exportSafetensorsFor(const Napi::CallbackInfo& info) {
  const OptionsReader reader(info[1], "options");
  SafetensorsExport options;
  options.folder = reader.text("folder");
  options.dtype = dtypeOption(reader);
  options.shardBytes = static_cast<uint64_t>(reader.integer("shardBytes", 1, kMaxSafeInteger));
  return runExport(info,
                   [options](WeightRows& rows, const HostAdapter* adapter, ThreadPool& pool, const ExportWatch& watch) {
                     SafetensorsExport full = options;
                     full.adapter = adapter;
                     return exportSafetensors(rows, full, pool, watch);
                   });
}

Napi::Value exportGgufFor(const Napi::CallbackInfo& info) {
  const OptionsReader reader(info[1], "options");
  GgufExport options;
  options.path = reader.text("path");
  options.dtype = dtypeOption(reader);
  options.entries = entriesOption(reader);
  return runExport(info,
                   [options](WeightRows& rows, const HostAdapter* adapter, ThreadPool& pool, const ExportWatch& watch) {
                     GgufExport full = options;
                     full.adapter = adapter;
                     return exportGguf(rows, full, pool, watch);
                   });
}

Napi::Value exportGgufAdapterFor(const Napi::CallbackInfo& info) {
  const OptionsReader reader(info[2], "options");
  return runAsync(
      info.Env(), nullptr,
      [model = textArgument(info[0], "model"), folder = textArgument(info[1], "adapter"), path = reader.text("path"),
       dtype = dtypeOption(reader), entries = entriesOption(reader)] {
        const ModelConfig config = readModelConfig(model);
        return exportGgufAdapter(config, readPeftAdapter(config, folder), path, dtype, entries);
      },
      resultValue);
}

}  // namespace mlit::addon
