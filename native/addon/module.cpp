// The addon's exports: what lib/native/types.ts calls NativeAddon.
#include <napi.h>

#include <algorithm>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"
#include "addon/machine.h"
#include "addon/measure.h"
#include "addon/plugin.h"
#include "addon/self_test.h"
#include "addon/states.h"
#include "addon/step_costs.h"
#include "addon/values.h"
#include "backend/cpu/kernels.h"
#include "backend/cuda/cards.h"

namespace mlit::addon {
namespace {

constexpr const char* kVersion = "0.1.0";  // package.json's; a test compares them

Napi::Value setErrorClass(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throwType(info[0], "constructor", "a class");
  Environment::of(info.Env()).errorClass = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object backendValue(Napi::Env env, const char* name, bool usable, const std::string& reason,
                          const std::string& description) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("name", name);
  value.Set("usable", usable);
  value.Set("reason", reason);
  value.Set("description", description);
  return value;
}

Napi::Object cpuBackendValue(Napi::Env env, const MachineReport& machine) {
  try {
    const std::string threads =
        std::to_string(machine.usableProcessors) + (machine.usableProcessors == 1 ? " thread" : " threads");
    return backendValue(env, "cpu", true, "", std::string(kernelTable("auto").isa) + ", " + threads);
  } catch (const Error& error) {
    return backendValue(env, "cpu", false, error.what(), "");
  }
}

// Usable where one card is; the reason is the first one's. Every card is under `devices`, where any is shown.
Napi::Object cudaBackendValue(Napi::Env env) {
  const std::vector<DeviceReport> devices = Plugin::cuda().devices();
  const auto usable =
      std::find_if(devices.begin(), devices.end(), [](const DeviceReport& each) { return each.usable; });
  const bool any = usable != devices.end();
  Napi::Object value =
      backendValue(env, "cuda", any, any ? "" : devices.front().reason, any ? usable->description : "");
  Napi::Array list = Napi::Array::New(env);
  for (size_t i = 0; any && i < devices.size(); ++i) {
    const std::string name = "cuda:" + std::to_string(i);
    list.Set(list.Length(),
             backendValue(env, name.c_str(), devices[i].usable, devices[i].reason, devices[i].description));
  }
  value.Set("devices", list);
  return value;
}

Napi::Value resolveDeviceFor(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), resolveDevice(textArgument(info[0], "device"), textArgument(info[1], "isa")));
}

Napi::Value doctor(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const MachineReport machine = inspectMachine();
  Napi::Array features = Napi::Array::New(env), isas = Napi::Array::New(env), backends = Napi::Array::New(env);
  for (const std::string& feature : machine.features) features.Set(features.Length(), feature);
  for (const IsaReport& isa : machine.isas) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("name", isa.name);
    value.Set("usable", isa.usable);
    value.Set("reason", isa.reason);
    isas.Set(isas.Length(), value);
  }
  backends.Set(0u, cpuBackendValue(env, machine));
  backends.Set(1u, cudaBackendValue(env));

  Napi::Object cpu = Napi::Object::New(env), memory = Napi::Object::New(env), value = Napi::Object::New(env);
  cpu.Set("model", machine.cpuModel);
  cpu.Set("features", features);
  cpu.Set("usableProcessors", machine.usableProcessors);
  cpu.Set("isas", isas);
  memory.Set("totalBytes", static_cast<double>(machine.totalBytes));
  memory.Set("availableBytes", static_cast<double>(machine.availableBytes));
  memory.Set("limitBytes", static_cast<double>(machine.limitBytes));
  value.Set("version", kVersion);
  value.Set("cpu", cpu);
  value.Set("memory", memory);
  value.Set("backends", backends);
  return value;
}

Napi::Value runSelfTest(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [device = textArgument(info[0], "device"), isa = textArgument(info[1], "isa"),
       threads = threadsArgument(info[2], "threads")] {
        // One of its own: the shared one may have another instruction set.
        const std::unique_ptr<Backend> backend = createBackend(device, threads, isa);
        std::vector<Check> checks = selfTest(*backend);
        if (backend->name() == "cpu")
          checks.push_back(integerSelfTest(*createBackend(device, threads, isa, /*integers=*/true)));
        return checks;
      },
      [](Napi::Env env, const std::vector<Check>& checks) {
        Napi::Array values = Napi::Array::New(env, checks.size());
        for (uint32_t i = 0; i < checks.size(); ++i) {
          Napi::Object value = Napi::Object::New(env);
          value.Set("name", checks[i].name);
          value.Set("passed", checks[i].passed);
          value.Set("detail", checks[i].detail);
          values.Set(i, value);
        }
        return values;
      });
}

Napi::Value measure(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [device = textArgument(info[0], "device"), isa = textArgument(info[1], "isa"),
       threads = threadsArgument(info[2], "threads"), integers = textArgument(info[3], "compute") == "int8"] {
        return measureRate(*createBackend(device, threads, isa, integers),
                           integers ? WeightFormat::kI8Channel : WeightFormat::kF32);
      },
      [](Napi::Env env, double gflops) { return Napi::Number::New(env, gflops); });
}

Napi::Value readGgufMetadata(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr, [path = textArgument(info[0], "path")] { return openGguf(path); },
      [](Napi::Env env, const std::unique_ptr<GgufFile>& file) {
        Napi::Object values = Napi::Object::New(env);
        for (const auto& [key, value] : file->metadata()) values.Set(key, ggufValue(env, value));
        return values;
      });
}

Napi::Value readConfig(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr, [path = textArgument(info[0], "path")] { return readModelConfig(path); }, configValue);
}

Napi::Value automaticFormatOf(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [path = textArgument(info[0], "path"), device = textArgument(info[1], "device")] {
        return automaticFormat(path, *sizesOf(device, 0, "auto"));
      },
      [](Napi::Env env, WeightFormat format) { return Napi::String::New(env, formatName(format)); });
}

Napi::Value deviceBytesOf(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr,
      [device = textArgument(info[0], "device")] { return sizesOf(device, 0, "auto")->deviceBytes(); },
      [](Napi::Env env, int64_t bytes) { return Napi::Number::New(env, static_cast<double>(bytes)); });
}

Napi::Value cardsKnown(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array values = Napi::Array::New(env);
  for (const cuda::Card& card : cuda::cards()) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("name", card.name);
    value.Set("memoryBytes", static_cast<double>(card.memoryMiB << 20));
    value.Set("contextBytes", static_cast<double>(cuda::kContextBytes));
    value.Set("logitsBytes", static_cast<double>(cuda::createCudaSizes(card)->logitsBytes()));
    value.Set("teraflops", card.teraflops);
    value.Set("gigabytesPerSecond", card.gigabytesPerSecond);
    values.Set(values.Length(), value);
  }
  return values;
}

Napi::Value readPeft(const Napi::CallbackInfo& info) {
  return runAsync(
      info.Env(), nullptr, [folder = textArgument(info[0], "folder")] { return readPeftConfig(folder); },
      [](Napi::Env env, const PeftConfig& config) {
        Napi::Object value = specValue(env, config.spec);
        value.Set("baseModel", config.baseModel);
        return value;
      });
}

Napi::Value plan(const Napi::CallbackInfo& info, std::function<MemoryPlan()> make) {
  return runAsync(info.Env(), nullptr, std::move(make), planValue);
}

Napi::Value planTrainingFor(const Napi::CallbackInfo& info) {
  const std::string path = textArgument(info[0], "path");
  const std::vector<AdapterSpec> adapters = adapterSpecs(info[1], "adapters");
  const TrainOptions options = trainOptions(info[2], "options");
  const LoadOptions load = loadOptions(info[3], "load");
  return plan(info, [=] { return planTraining(path, adapters, options, load); });
}

Napi::Value planSamplingFor(const Napi::CallbackInfo& info) {
  const std::string path = textArgument(info[0], "path");
  const SampleOptions options = sampleOptions(info[1], "options");
  const auto rank =
      static_cast<int32_t>(integerArgument(info[2], "maxAdapterRank", 0, std::numeric_limits<int32_t>::max()));
  const LoadOptions load = loadOptions(info[3], "load");
  return plan(info, [=] { return planSampling(path, options, rank, load); });
}

Napi::Object costsValue(Napi::Env env, const StepCosts& costs) {
  Napi::Object value = Napi::Object::New(env), ops = Napi::Object::New(env);
  for (const auto& [name, cost] : costs.ops) {
    Napi::Object op = Napi::Object::New(env);
    op.Set("readBytes", cost.readBytes);
    op.Set("writtenBytes", cost.writtenBytes);
    op.Set("tensorFlops", cost.tensorFlops);
    op.Set("launches", static_cast<double>(cost.launches));
    ops.Set(name, op);
  }
  value.Set("ops", ops);
  value.Set("waits", static_cast<double>(costs.waits));
  return value;
}

Napi::Value trainingCostsFor(const Napi::CallbackInfo& info) {
  const std::string path = textArgument(info[0], "path");
  const std::vector<AdapterSpec> adapters = adapterSpecs(info[1], "adapters");
  const TrainOptions options = trainOptions(info[2], "options");
  const std::vector<int32_t> documents = int32Argument(info[3], "documents");
  const int64_t targets = integerArgument(info[4], "targets", 1, options.maxTokens);
  return runAsync(
      info.Env(), nullptr,
      [=] {
        const WeightFormat format = options.full ? WeightFormat::kF32 : WeightFormat::kBF16;
        return trainingCosts(path, adapters, options, format, documents, targets);
      },
      [](Napi::Env env, const TrainingCosts& costs) {
        Napi::Object value = Napi::Object::New(env);
        value.Set("microBatch", costsValue(env, costs.microBatch));
        value.Set("optimizer", costsValue(env, costs.optimizer));
        return value;
      });
}

Napi::Value samplingCostsFor(const Napi::CallbackInfo& info) {
  const std::string path = textArgument(info[0], "path");
  const std::vector<AdapterSpec> adapters = adapterSpecs(info[1], "adapters");
  const auto rows = static_cast<int32_t>(integerArgument(info[2], "rows", 1, 1 << 14));
  const auto context = static_cast<int32_t>(integerArgument(info[3], "context", 1, 1 << 16));
  return runAsync(
      info.Env(), nullptr, [=] { return samplingCosts(path, adapters, WeightFormat::kBF16, rows, context); },
      costsValue);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  Environment::attach(env);
  const napi_property_descriptor properties[] = {
      method("setErrorClass", syncFunction<setErrorClass>),
      method("doctor", syncFunction<doctor>),
      method("resolveDevice", syncFunction<resolveDeviceFor>),
      method("selfTest", asyncFunction<runSelfTest>),
      method("measureRate", asyncFunction<measure>),
      method("readGgufMetadata", asyncFunction<readGgufMetadata>),
      method("readModelConfig", asyncFunction<readConfig>),
      method("automaticFormat", asyncFunction<automaticFormatOf>),
      method("deviceBytes", asyncFunction<deviceBytesOf>),
      method("cards", syncFunction<cardsKnown>),
      method("readPeftConfig", asyncFunction<readPeft>),
      method("loadModel", asyncFunction<loadModel>),
      method("exportConfig", asyncFunction<exportConfig>),
      method("storedType", asyncFunction<storedType>),
      method("exportSafetensors", asyncFunction<exportSafetensorsFor>),
      method("exportGguf", asyncFunction<exportGgufFor>),
      method("exportGgufAdapter", asyncFunction<exportGgufAdapterFor>),
      method("planTraining", asyncFunction<planTrainingFor>),
      method("joinRanks", asyncFunction<joinRanks>),
      method("ranksWhyNot", syncFunction<ranksWhyNot>),
      method("planSampling", asyncFunction<planSamplingFor>),
      method("trainingCosts", asyncFunction<trainingCostsFor>),
      method("samplingCosts", asyncFunction<samplingCostsFor>),
  };
  const napi_status status = napi_define_properties(env, exports, std::size(properties), properties);
  NAPI_THROW_IF_FAILED(env, status, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(mlit, initialise)

}  // namespace mlit::addon
