// Adapter: making one from a seed or a folder, and taking it out again.
#include "addon/arguments.h"
#include "addon/states.h"
#include "addon/values.h"

namespace mlit::addon {
namespace {

struct Made {
  AdapterSpec spec;
  int64_t parameterCount;
};

template <class Make>
Napi::Value makeAdapter(Napi::Env env, const std::shared_ptr<ModelState>& model, Make make) {
  const auto state = newChild<AdapterState>(model);
  return runAsync(
      env, model->cancel,
      [state, model, make] {
        require(model->model, ModelState::kName);
        state->adapter = make(model->model);
        const AdapterLayout& layout = state->adapter->layout();
        return Made{layout.spec(), layout.parameterCount()};
      },
      [state](Napi::Env target, const Made& made) {
        Napi::Object handle = wrapLiving(target, state);
        setReadOnly(handle, "spec", specValue(target, made.spec));
        setReadOnly(handle, "parameterCount", Napi::Number::New(target, static_cast<double>(made.parameterCount)));
        return handle;
      });
}

Napi::Value save(const Napi::CallbackInfo& info, const std::shared_ptr<AdapterState>& state) {
  return runAsync(
      info.Env(), nullptr,
      [state, folder = textArgument(info[0], "folder"), baseModel = textArgument(info[1], "baseModel")] {
        require(state->adapter, AdapterState::kName).save(folder, baseModel);
        return Nothing{};
      },
      [](Napi::Env env, Nothing) { return env.Undefined(); });
}

Napi::Value toHost(const Napi::CallbackInfo& info, const std::shared_ptr<AdapterState>& state) {
  return runAsync(
      info.Env(), nullptr, [state] { return require(state->adapter, AdapterState::kName).toHost(); },
      [](Napi::Env env, const std::vector<float>& flat) { return float32Value(env, flat); });
}

}  // namespace

Napi::Value createAdapter(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  const AdapterSpec spec = adapterSpec(info[0], "spec");
  const uint64_t seed = bigintArgument(info[1], "seed");
  return makeAdapter(info.Env(), model,
                     [spec, seed](const std::shared_ptr<Model>& base) { return Adapter::create(base, spec, seed); });
}

Napi::Value loadAdapter(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  const std::string folder = textArgument(info[0], "folder");
  return makeAdapter(info.Env(), model,
                     [folder](const std::shared_ptr<Model>& base) { return Adapter::load(base, folder); });
}

std::vector<std::shared_ptr<AdapterState>> adaptersArgument(Napi::Value value, const std::string& name) {
  const Napi::Array array = arrayArgument(value, name);
  std::vector<std::shared_ptr<AdapterState>> states;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const std::string itemName = name + "[" + std::to_string(i) + "]";
    states.push_back(livingStateOf<AdapterState>(value.Env(), array.Get(i), itemName));
  }
  return states;
}

std::vector<std::shared_ptr<Adapter>> nativeAdapters(const std::vector<std::shared_ptr<AdapterState>>& states,
                                                     const Model& model) {
  std::vector<std::shared_ptr<Adapter>> adapters;
  for (const auto& state : states) {
    if (require(state->adapter, AdapterState::kName).model().get() != &model) {
      throw Error(ErrorCode::kInvalidArgument,
                  "adapters[" + std::to_string(adapters.size()) + "] must be an adapter of this model, not of another");
    }
    adapters.push_back(state->adapter);
  }
  return adapters;
}

void defineAdapter(Napi::Env env, Environment& environment) {
  defineClass<AdapterState>(env, environment,
                            {
                                method("save", asyncMethod<AdapterState, save>),
                                method("toHost", asyncMethod<AdapterState, toHost>),
                            });
}

}  // namespace mlit::addon
