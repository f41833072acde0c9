// The shapes of lib/native/types.ts that several handles share, read from JavaScript and written to it.
#pragma once

#include <napi.h>

#include <memory>
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
  std::string device = "auto";  // auto, cpu, cuda, cuda:N; of a plan also a card's name
  int32_t threads = 0;
  std::string isa = "auto";
  std::optional<WeightFormat> format;                    // none: what loses nothing
  bool profile = false;                                  // what runs is named and timed
  bool integers = false;                                 // the processor's products with int8 weights are of integers
  std::vector<int32_t> calibration, calibrationLengths;  // tokens of a little text, end to end; only with integers
};

LoadOptions loadOptions(Napi::Value value, const std::string& name);
AdapterSpec adapterSpec(Napi::Value value, const std::string& name);
std::vector<AdapterSpec> adapterSpecs(Napi::Value value, const std::string& name);
TrainOptions trainOptions(Napi::Value value, const std::string& name);
SampleOptions sampleOptions(Napi::Value value, const std::string& name);
int32_t threadsArgument(Napi::Value value, const std::string& name);

Napi::Object configValue(Napi::Env env, const ModelConfig& config);
Napi::Object specValue(Napi::Env env, const AdapterSpec& spec);
Napi::Array planValue(Napi::Env env, const MemoryPlan& plan);
Napi::Value ggufValue(Napi::Env env, const GgufValue& value);
Napi::Float32Array float32Value(Napi::Env env, const std::vector<float>& values);
Napi::Float64Array float64Value(Napi::Env env, const std::vector<double>& values);

template <class Items, class Make>
Napi::Array arrayValue(Napi::Env env, const Items& items, Make make) {
  Napi::Array array = Napi::Array::New(env, items.size());
  uint32_t i = 0;
  for (const auto& item : items) {
    const Napi::HandleScope scope(env);  // a vocabulary is a quarter of a million strings
    array.Set(i++, make(item));
  }
  return array;
}

// What a plan asks of a device: of a card by its name in cards.h, which need not be there; else of the shared backend where there is
// one, or of one for the time of the plan. On the compute thread.
std::shared_ptr<const BackendSizes> sizesOf(const std::string& device, int32_t threads, const std::string& isa,
                                            bool integers = false);
MemoryPlan planTraining(const std::string& path, const std::vector<AdapterSpec>& adapters, const TrainOptions& options,
                        const LoadOptions& load);
MemoryPlan planSampling(const std::string& path, const SampleOptions& options, int32_t maxAdapterRank,
                        const LoadOptions& load);

}  // namespace mlit::addon
