// The shapes of lib/native/types.ts that several handles share, read from JavaScript and written to it.
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "model/adapter.h"
#include "model/plan.h"
#include "sample/engine.h"
#include "train/session.h"

namespace mlit::addon {

struct LoadOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:N
  int32_t threads = 0;
  std::string isa = "auto";
  std::optional<WeightFormat> format;  // none: what loses nothing
};

LoadOptions loadOptions(Napi::Value value, const std::string& name);
AdapterSpec adapterSpec(Napi::Value value, const std::string& name);
TrainOptions trainOptions(Napi::Value value, const std::string& name);
SampleOptions sampleOptions(Napi::Value value, const std::string& name);
int32_t threadsArgument(Napi::Value value, const std::string& name);

Napi::Object configValue(Napi::Env env, const ModelConfig& config);
Napi::Object specValue(Napi::Env env, const AdapterSpec& spec);
Napi::Array planValue(Napi::Env env, const MemoryPlan& plan);
Napi::Value ggufValue(Napi::Env env, const GgufValue& value);
Napi::Float32Array float32Value(Napi::Env env, const std::vector<float>& values);
Napi::Float64Array float64Value(Napi::Env env, const std::vector<double>& values);

// The shared backend where there is one, or one for the time of the plan; on the compute thread.
MemoryPlan planTraining(const std::string& path, const std::vector<AdapterSpec>& adapters, const TrainOptions& options,
                        const LoadOptions& load);
MemoryPlan planSampling(const std::string& path, const SampleOptions& options, int32_t maxAdapterRank,
                        const LoadOptions& load);

}  // namespace mlit::addon
