// Field by field, so that a change of types.ts has one place to be followed in.
#include "addon/values.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "addon/arguments.h"
#include "addon/compute_thread.h"
#include "backend/cuda/cards.h"

namespace mlit::addon {
namespace {

constexpr int32_t kMaxThreads = 1024;
constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kI8Channel,
                                     WeightFormat::kNF4};

template <class Array, class T>
Array typedValue(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(T));
  return array;
}

Napi::Value integerValue(Napi::Env env, int64_t value) {
  if (value >= -kMaxSafeInteger && value <= kMaxSafeInteger) return Napi::Number::New(env, static_cast<double>(value));
  return Napi::BigInt::New(env, value);
}

Napi::Value integerValue(Napi::Env env, uint64_t value) {
  if (value <= static_cast<uint64_t>(kMaxSafeInteger)) return Napi::Number::New(env, static_cast<double>(value));
  return Napi::BigInt::New(env, value);
}

}  // namespace

int32_t threadsArgument(Napi::Value value, const std::string& name) {
  return static_cast<int32_t>(integerArgument(value, name, 0, kMaxThreads));
}

LoadOptions loadOptions(Napi::Value value, const std::string& name) {
  const OptionsReader reader(value, name);
  LoadOptions options;
  if (!reader.get("device").IsUndefined()) options.device = reader.text("device");
  options.threads = threadsArgument(reader.get("threads"), reader.path("threads"));
  options.isa = reader.text("isa");
  const auto format = reader.oneOf("format", {"auto", "f32", "bf16", "int8", "nf4"});
  if (format > 0) options.format = kFormats[format - 1];
  if (!reader.get("compute").IsUndefined()) options.integers = reader.oneOf("compute", {"f32", "int8"}) == 1;
  if (!reader.get("profile").IsUndefined()) options.profile = reader.boolean("profile");
  if (const Napi::Value tokens = reader.get("calibration"); !tokens.IsUndefined()) {
    options.calibration = int32Argument(tokens, reader.path("calibration"));
    options.calibrationLengths = int32Argument(reader.get("calibrationLengths"), reader.path("calibrationLengths"));
  }
  return options;
}

AdapterSpec adapterSpec(Napi::Value value, const std::string& name) {
  const OptionsReader reader(value, name);
  AdapterSpec spec;
  spec.rank = reader.int32("rank", 1);
  spec.alpha = static_cast<float>(reader.number("alpha", 0));
  spec.rslora = reader.boolean("rslora");
  if (!reader.get("dropout").IsUndefined()) spec.dropout = reader.number("dropout", 0);
  spec.targets.fill(false);
  const std::string modulesName = reader.path("targetModules");
  const Napi::Array modules = arrayArgument(reader.get("targetModules"), modulesName);
  if (modules.Length() == 0) throwRange(value.Env(), modulesName, "name at least one projection", "none");
  for (uint32_t i = 0; i < modules.Length(); ++i) {
    const std::string itemName = modulesName + "[" + std::to_string(i) + "]";
    const std::string module = textArgument(modules.Get(i), itemName);
    std::string known;
    bool found = false;
    for (int p = 0; p < kProjections; ++p) {
      const std::string projection = projectionName(static_cast<Projection>(p));
      known += (p == 0 ? "" : ", ") + projection;
      if (projection != module) continue;
      spec.targets[static_cast<size_t>(p)] = true;
      found = true;
    }
    if (!found) throwRange(value.Env(), itemName, "be one of " + known, "'" + module + "'");
  }
  return spec;
}

std::vector<AdapterSpec> adapterSpecs(Napi::Value value, const std::string& name) {
  const Napi::Array array = arrayArgument(value, name);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < array.Length(); ++i)
    specs.push_back(adapterSpec(array.Get(i), name + "[" + std::to_string(i) + "]"));
  return specs;
}

TrainOptions trainOptions(Napi::Value value, const std::string& name) {
  const OptionsReader reader(value, name);
  TrainOptions options;
  options.maxTokens = reader.int32("maxTokens", 1);
  if (!reader.get("logitsBytes").IsUndefined()) {
    options.logitsBytes = static_cast<size_t>(reader.integer("logitsBytes", 1, kMaxSafeInteger));
  }
  options.recompute = static_cast<Recompute>(reader.oneOf("recompute", {"none", "activations", "layer"}));
  options.full = reader.boolean("full");
  options.training = reader.boolean("training");
  if (!reader.get("maxTargets").IsUndefined()) options.maxTargets = reader.int32("maxTargets", 0);
  if (!reader.get("slots").IsUndefined()) options.slots = adapterSpecs(reader.get("slots"), reader.path("slots"));
  if (!reader.get("seed").IsUndefined()) options.seed = bigintArgument(reader.get("seed"), reader.path("seed"));
  return options;
}

SampleOptions sampleOptions(Napi::Value value, const std::string& name) {
  const OptionsReader reader(value, name);
  SampleOptions options;
  options.maxRows = reader.int32("maxRows", 1);
  options.cacheTokens = reader.integer("cacheTokens", 0, kMaxSafeInteger);
  options.prefillTokens = reader.int32("prefillTokens", 1);
  options.usableTokens = reader.int32("usableTokens", 0);
  return options;
}

Napi::Object configValue(Napi::Env env, const ModelConfig& config) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("architecture", architectureName(config.architecture));
  value.Set("layers", config.layers);
  value.Set("hidden", config.hidden);
  value.Set("feedForward", config.feedForward);
  value.Set("heads", config.heads);
  value.Set("kvHeads", config.kvHeads);
  value.Set("headDim", config.headDim);
  value.Set("vocabulary", config.vocabulary);
  value.Set("contextLength", config.contextLength);
  value.Set("window", config.window);
  value.Set("tiedHead", config.tiedHead);
  value.Set("eosIds", arrayValue(env, config.eosIds, [&](int32_t id) { return Napi::Number::New(env, id); }));
  return value;
}

Napi::Object specValue(Napi::Env env, const AdapterSpec& spec) {
  std::vector<std::string> modules;
  for (int p = 0; p < kProjections; ++p) {
    if (spec.targets[static_cast<size_t>(p)]) modules.emplace_back(projectionName(static_cast<Projection>(p)));
  }
  Napi::Object value = Napi::Object::New(env);
  value.Set("rank", spec.rank);
  value.Set("alpha", spec.alpha);
  value.Set("rslora", spec.rslora);
  value.Set("dropout", spec.dropout);
  value.Set("targetModules",
            arrayValue(env, modules, [&](const std::string& name) { return Napi::String::New(env, name); }));
  return value;
}

Napi::Array planValue(Napi::Env env, const MemoryPlan& plan) {
  return arrayValue(env, plan, [&](const PlanItem& item) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("name", item.name);
    value.Set("bytes", static_cast<double>(item.bytes));
    return value;
  });
}

Napi::Value ggufValue(Napi::Env env, const GgufValue& held) {
  return std::visit(
      [&](const auto& value) -> Napi::Value {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, bool>) {
          return Napi::Boolean::New(env, value);
        } else if constexpr (std::is_integral_v<T>) {
          return integerValue(env, value);
        } else if constexpr (std::is_same_v<T, double>) {
          return Napi::Number::New(env, value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return Napi::String::New(env, value);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return arrayValue(env, value, [&](const std::string& text) { return Napi::String::New(env, text); });
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          return arrayValue(env, value, [&](int64_t number) { return Napi::BigInt::New(env, number); });
        } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
          return arrayValue(env, value, [&](bool each) { return Napi::Boolean::New(env, each); });
        } else if constexpr (std::is_same_v<T, std::vector<int32_t>>) {
          return typedValue<Napi::Int32Array>(env, value);
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          return typedValue<Napi::Float32Array>(env, value);
        } else {
          static_assert(std::is_same_v<T, std::vector<double>>);
          return typedValue<Napi::Float64Array>(env, value);
        }
      },
      held);
}

Napi::Float32Array float32Value(Napi::Env env, const std::vector<float>& values) {
  return typedValue<Napi::Float32Array>(env, values);
}

Napi::Float64Array float64Value(Napi::Env env, const std::vector<double>& values) {
  return typedValue<Napi::Float64Array>(env, values);
}

std::shared_ptr<const BackendSizes> sizesOf(const std::string& device, int32_t threads, const std::string& isa,
                                            bool integers) {
  if (const cuda::Card* card = cuda::findCard(device)) return cuda::createCudaSizes(*card);
  return ComputeThread::instance().backend(device, threads, isa, integers);
}

namespace {

WeightFormat formatFor(const std::string& path, const BackendSizes& sizes, const LoadOptions& load) {
  return load.format ? *load.format : automaticFormat(path, sizes);
}

}  // namespace

MemoryPlan planTraining(const std::string& path, const std::vector<AdapterSpec>& adapters, const TrainOptions& options,
                        const LoadOptions& load) {
  const std::shared_ptr<const BackendSizes> sizes = sizesOf(load.device, load.threads, load.isa, load.integers);
  return TrainSession::plan(readModelConfig(path), *sizes, adapters, options, formatFor(path, *sizes, load));
}

MemoryPlan planSampling(const std::string& path, const SampleOptions& options, int32_t maxAdapterRank,
                        const LoadOptions& load) {
  const std::shared_ptr<const BackendSizes> sizes = sizesOf(load.device, load.threads, load.isa, load.integers);
  const ModelConfig config = readModelConfig(path);
  MemoryPlan plan = SampleEngine::plan(config, *sizes, options, maxAdapterRank);
  const bool hasBase = std::any_of(plan.begin(), plan.end(), [](const PlanItem& item) { return item.name == "base"; });
  if (!hasBase) plan.insert(plan.begin(), {"base", Model::plannedBytes(config, *sizes, formatFor(path, *sizes, load))});
  return plan;
}

}  // namespace mlit::addon
