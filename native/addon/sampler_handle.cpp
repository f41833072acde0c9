// Sampler: requests come in at any time, also while a step is running, so they wait in a list that the next step takes
// over; only steps touch the engine.
#include <exception>
#include <set>
#include <utility>

#include "addon/arguments.h"
#include "addon/states.h"
#include "addon/values.h"

namespace mlit::addon {
namespace {

using State = std::shared_ptr<SamplerState>;

SampleRequest requestArgument(Napi::Value value, const SamplerState& state) {
  const Napi::Env env = value.Env();
  const OptionsReader reader(value, "request");
  SampleRequest request;
  request.id = reader.integer("id", -kMaxSafeInteger, kMaxSafeInteger);
  request.prompt = reader.int32s("prompt");
  if (request.prompt.empty()) throwRange(env, "request.prompt", "hold a token or more", "none");
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= state.vocabulary) {
      throwRange(env, "request.prompt", "hold token ids from 0 to " + std::to_string(state.vocabulary - 1), std::to_string(id));
    }
  }
  request.maxNewTokens = reader.int32("maxNewTokens", 1);
  const int64_t total = static_cast<int64_t>(request.prompt.size()) + request.maxNewTokens;
  const std::string both = std::to_string(request.prompt.size()) + " + " + std::to_string(request.maxNewTokens);
  if (total > state.contextLength) {
    throwRange(env, "request.prompt and request.maxNewTokens", "fit the model's context of " + std::to_string(state.contextLength) + " tokens",
               both);
  }
  if (total > state.cacheTokens) {
    throwRange(env, "request.prompt and request.maxNewTokens", "fit the cache of " + std::to_string(state.cacheTokens) + " tokens", both);
  }
  request.params.temperature = static_cast<float>(reader.number("temperature", 0));
  request.params.topP = static_cast<float>(reader.number("topP", 0, 1));
  request.params.topK = reader.int32("topK", 0);
  request.params.minP = static_cast<float>(reader.number("minP", 0, 1));
  request.params.seed = bigintArgument(reader.get("seed"), "request.seed");
  request.stopIds = reader.int32s("stopIds");
  request.adapter = static_cast<int32_t>(reader.integer("adapter", -1, state.adapters - 1));
  return request;
}

Napi::Value submit(const Napi::CallbackInfo& info, const State& state) {
  SampleRequest request = requestArgument(info[0], *state);
  const std::lock_guard guard(state->lock);
  if (!state->live.insert(request.id).second) {
    throwRange(info.Env(), "request.id", "differ from those of running requests", std::to_string(request.id));
  }
  state->orders.emplace_back(std::move(request));
  return info.Env().Undefined();
}

Napi::Value cancelRequest(const Napi::CallbackInfo& info, const State& state) {
  const int64_t id = integerArgument(info[0], "id", -kMaxSafeInteger, kMaxSafeInteger);
  const std::lock_guard guard(state->lock);
  if (state->live.erase(id) > 0) state->orders.emplace_back(SamplerState::Cancel{id});
  return info.Env().Undefined();
}

Napi::Value idle(const Napi::CallbackInfo& info, const State& state) {
  const std::lock_guard guard(state->lock);
  return Napi::Boolean::New(info.Env(), state->disposed || state->live.empty());
}

// Hands the waiting orders to the engine. A request it refuses is dropped alone; the refusal is the step's error.
void takeOrders(SamplerState& state, SampleEngine& engine) {
  std::vector<SamplerState::Order> orders;
  {
    const std::lock_guard guard(state.lock);
    orders.swap(state.orders);
  }
  std::exception_ptr refusal;
  for (const auto& order : orders) {
    if (const auto* cancelled = std::get_if<SamplerState::Cancel>(&order)) {
      engine.cancel(cancelled->id);
      continue;
    }
    const auto& request = std::get<SampleRequest>(order);
    try {
      engine.submit(request);
    } catch (...) {
      if (!refusal) refusal = std::current_exception();
      const std::lock_guard guard(state.lock);
      state.live.erase(request.id);
    }
  }
  if (refusal) std::rethrow_exception(refusal);
}

// After a failed step: what the engine dropped is no longer live, what waits in orders still is.
void forgetDropped(SamplerState& state, const SampleEngine& engine) {
  if (!engine.idle()) return;
  const std::lock_guard guard(state.lock);
  state.live.clear();
  for (const auto& order : state.orders) {
    if (const auto* request = std::get_if<SampleRequest>(&order)) state.live.insert(request->id);
  }
}

std::vector<SampleEvent> runStep(SamplerState& state) {
  SampleEngine& engine = require(state.engine, SamplerState::kName);
  takeOrders(state, engine);
  std::vector<SampleEvent> events;
  try {
    events = engine.step();
  } catch (...) {
    forgetDropped(state, engine);
    throw;
  }
  return events;
}

const char* finishName(Finish finish) {
  switch (finish) {
    case Finish::kNone: return "none";
    case Finish::kStop: return "stop";
    case Finish::kLength: return "length";
    case Finish::kContext: return "context";
  }
  return "none";
}

// Events of requests that were cancelled while the step ran are left out.
Napi::Value eventsValue(Napi::Env env, SamplerState& state, const std::vector<SampleEvent>& events) {
  const std::lock_guard guard(state.lock);
  std::set<int64_t> cancelled;
  for (const auto& order : state.orders) {
    if (const auto* each = std::get_if<SamplerState::Cancel>(&order)) cancelled.insert(each->id);
  }
  Napi::Array array = Napi::Array::New(env);
  uint32_t count = 0;
  for (const SampleEvent& event : events) {
    if (cancelled.contains(event.id)) continue;
    if (event.finish != Finish::kNone) state.live.erase(event.id);
    Napi::Object value = Napi::Object::New(env);
    value.Set("id", static_cast<double>(event.id));
    value.Set("token", event.token);
    value.Set("logprob", event.logprob);
    value.Set("finish", finishName(event.finish));
    array.Set(count++, value);
  }
  return array;
}

Napi::Value step(const Napi::CallbackInfo& info, const State& state) {
  return runAsync(
      info.Env(), state->cancel, [state] { return runStep(*state); },
      [state](Napi::Env env, const std::vector<SampleEvent>& events) { return eventsValue(env, *state, events); });
}

Napi::Value cancel(const Napi::CallbackInfo& info, const State& state) {
  ComputeThread::instance().cancel(*state->cancel);
  return info.Env().Undefined();
}

}  // namespace

Napi::Value createSampler(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  const auto adapters = adaptersArgument(info[0], "adapters", model);
  const SampleOptions options = sampleOptions(info[1], "options");
  const auto state = newChild<SamplerState>(model);
  state->adapters = static_cast<int32_t>(adapters.size());
  state->cacheTokens = options.cacheTokens == 0 ? int64_t{options.maxRows} * 1024 : options.cacheTokens;
  return runAsync(
      info.Env(), model->cancel,
      [state, model, adapters, options] {
        const ModelConfig& config = require(model->model, ModelState::kName).config();
        state->vocabulary = config.vocabulary;
        state->contextLength = config.contextLength;
        state->engine = std::make_unique<SampleEngine>(model->model, nativeAdapters(adapters), options);
        state->engine->setCancelFlag(&state->cancel->flag);
        return state->engine->memory();
      },
      [state](Napi::Env env, const MemoryPlan& memory) {
        Napi::Object handle = wrapLiving(env, state);
        setReadOnly(handle, "memory", planValue(env, memory));
        return handle;
      });
}

void defineSampler(Napi::Env env, Environment& environment) {
  using S = SamplerState;
  defineClass<S>(env, environment,
                 {
                     getter("idle", syncMethod<S, idle, Alive::kAny>),
                     method("submit", syncMethod<S, submit>),
                     method("cancelRequest", syncMethod<S, cancelRequest, Alive::kAny>),  // as cancel: may come after dispose()
                     method("step", asyncMethod<S, step>),
                     method("cancel", syncMethod<S, cancel, Alive::kAny>),
                 });
}

}  // namespace mlit::addon
