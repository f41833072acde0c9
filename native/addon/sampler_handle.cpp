// Sampler: requests come in at any time, also while a step is running, so they wait in a list that the next step takes
// along; only steps touch the engine, and which step sees a request does not depend on timing.
#include <exception>
#include <utility>

#include "addon/arguments.h"
#include "addon/states.h"
#include "addon/values.h"

namespace mlit::addon {

void SamplerState::publish() {
  const SampleStats stats = engine->stats();
  computedTokens = stats.computedTokens;
  sharedTokens = stats.sharedTokens;
}

void SamplerState::forget(int64_t number) {
  const auto found = live.find(number);
  if (found == live.end()) return;
  numberOf.erase(found->second.id);
  live.erase(found);
}

namespace {

using State = std::shared_ptr<SamplerState>;

SampleRequest requestArgument(Napi::Value value, const SamplerState& state) {
  const Napi::Env env = value.Env();
  const OptionsReader reader(value, "request");
  SampleRequest request;
  request.prompt = reader.int32s("prompt");
  if (request.prompt.empty()) throwRange(env, "request.prompt", "hold a token or more", "none");
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= state.vocabulary) {
      throwRange(env, "request.prompt", "hold token ids from 0 to " + std::to_string(state.vocabulary - 1),
                 std::to_string(id));
    }
  }
  request.scoreFrom = static_cast<int32_t>(reader.integer("scoreFrom", 0, static_cast<int64_t>(request.prompt.size())));
  const bool scores = request.scoreFrom > 0 && static_cast<size_t>(request.scoreFrom) < request.prompt.size();
  request.maxNewTokens = reader.int32("maxNewTokens", scores ? 0 : 1);
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (state.contextLength > 0 && length + std::min(request.maxNewTokens, 1) > state.contextLength) {
    throwRange(env, "request.prompt",
               std::string(request.maxNewTokens == 0 ? "fit" : "be shorter than") + " the model's context of " +
                   std::to_string(state.contextLength) + " tokens",
               std::to_string(length));
  }
  if (length + request.maxNewTokens > state.cacheTokens) {
    throwRange(env, "the lengths of request.prompt and request.maxNewTokens",
               "fit a cache of " + std::to_string(state.cacheTokens) + " tokens",
               std::to_string(length) + " + " + std::to_string(request.maxNewTokens));
  }
  request.params.temperature = static_cast<float>(reader.number("temperature", 0));
  request.params.topP = static_cast<float>(reader.number("topP", 0, 1));
  request.params.topK = reader.int32("topK", 0);
  request.params.minP = static_cast<float>(reader.number("minP", 0, 1));
  request.params.seed = bigintArgument(reader.get("seed"), "request.seed");
  request.stopIds = reader.int32s("stopIds");
  request.adapter = static_cast<int32_t>(reader.integer("adapter", -1, state.adapters - 1));
  request.top = static_cast<int32_t>(reader.integer("top", 0, kMaxTop));
  return request;
}

Napi::Value submit(const Napi::CallbackInfo& info, const State& state) {
  SampleRequest request = requestArgument(info[0], *state);
  const int64_t id =
      integerArgument(info[0].As<Napi::Object>().Get("id"), "request.id", -kMaxSafeInteger, kMaxSafeInteger);
  if (state->numberOf.contains(id))
    throwRange(info.Env(), "request.id", "differ from those of running requests", std::to_string(id));
  request.id = state->nextNumber++;
  state->numberOf[id] = request.id;
  state->live[request.id] = {id, SamplerState::kWaiting};
  state->orders.emplace_back(std::move(request));
  return info.Env().Undefined();
}

Napi::Value cancelRequest(const Napi::CallbackInfo& info, const State& state) {
  const int64_t id = integerArgument(info[0], "id", -kMaxSafeInteger, kMaxSafeInteger);
  const auto found = state->numberOf.find(id);
  if (found == state->numberOf.end()) return info.Env().Undefined();
  const int64_t number = found->second;
  state->forget(number);
  state->orders.emplace_back(SamplerState::Cancel{number});
  return info.Env().Undefined();
}

Napi::Value idle(const Napi::CallbackInfo& info, const State& state) {
  return Napi::Boolean::New(info.Env(), state->disposed || state->live.empty());
}

Napi::Value stats(const Napi::CallbackInfo& info, const State& state) {
  Napi::Object value = Napi::Object::New(info.Env());
  value.Set("computedTokens", static_cast<double>(state->computedTokens.load()));
  value.Set("sharedTokens", static_cast<double>(state->sharedTokens.load()));
  return value;
}

// One call of step(), seen by both threads in turn.
struct Step {
  int64_t number = 0;
  std::vector<SamplerState::Order> orders;
  std::vector<int64_t> refused;  // requests that the engine did not take
  bool dropped = false;          // the engine failed and let go of every sequence
};

std::vector<SampleEvent> runStep(SamplerState& state, Step& step) {
  SampleEngine& engine = require(state.engine, SamplerState::kName);
  std::exception_ptr refusal;
  for (const auto& order : step.orders) {
    if (const auto* cancelled = std::get_if<SamplerState::Cancel>(&order)) {
      engine.cancel(cancelled->number);
      continue;
    }
    const auto& request = std::get<SampleRequest>(order);
    try {
      engine.submit(request);
    } catch (...) {
      if (!refusal) refusal = std::current_exception();
      step.refused.push_back(request.id);
    }
  }
  if (refusal) std::rethrow_exception(refusal);
  try {
    const PhaseScope profiled(state.profiled.get(), "sampling");
    std::vector<SampleEvent> events = engine.step();
    state.publish();
    return events;
  } catch (...) {
    state.publish();
    step.dropped = engine.idle();
    throw;
  }
}

// After a failed step: what the engine refused or dropped has ended.
void forgetLost(SamplerState& state, const Step& step) {
  std::vector<int64_t> lost = step.refused;
  if (step.dropped) {
    for (const auto& [number, live] : state.live) {
      if (live.step <= step.number) lost.push_back(number);
    }
  }
  for (const int64_t number : lost) state.forget(number);
}

const char* finishName(Finish finish) {
  switch (finish) {
    case Finish::kNone:
      return "none";
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kContext:
      return "context";
    case Finish::kNotFinite:
      return "not-finite";
  }
  return "none";
}

Napi::Array topValue(Napi::Env env, const std::vector<TokenLogprob>& top) {
  return arrayValue(env, top, [&](const TokenLogprob& each) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("token", each.token);
    value.Set("logprob", each.logprob);
    return value;
  });
}

Napi::Array promptValue(Napi::Env env, const std::vector<RowScores>& rows) {
  return arrayValue(env, rows, [&](const RowScores& row) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("logprob", row.target);
    value.Set("top", topValue(env, row.top));
    return value;
  });
}

// Events of requests that were cancelled while the step ran are left out: they are not live any more.
Napi::Value eventsValue(Napi::Env env, SamplerState& state, const std::vector<SampleEvent>& events) {
  Napi::Array array = Napi::Array::New(env);
  uint32_t count = 0;
  for (const SampleEvent& event : events) {
    const auto found = state.live.find(event.id);
    if (found == state.live.end()) continue;
    Napi::Object value = Napi::Object::New(env);
    value.Set("id", static_cast<double>(found->second.id));
    value.Set("token", event.token);
    value.Set("logprob", event.logprob);
    value.Set("finish", finishName(event.finish));
    if (!event.top.empty()) value.Set("top", topValue(env, event.top));
    if (!event.prompt.empty()) value.Set("prompt", promptValue(env, event.prompt));
    array.Set(count++, value);
    if (event.finish != Finish::kNone) state.forget(event.id);
  }
  return array;
}

Napi::Value step(const Napi::CallbackInfo& info, const State& state) {
  const auto job = std::make_shared<Step>();
  job->number = state->steps++;
  job->orders.swap(state->orders);
  for (const auto& order : job->orders) {
    const auto* request = std::get_if<SampleRequest>(&order);
    const auto found = request == nullptr ? state->live.end() : state->live.find(request->id);
    if (found != state->live.end()) found->second.step = job->number;
  }
  return runAsync(
      info.Env(), state->cancel, [state, job] { return runStep(*state, *job); },
      [state](Napi::Env env, const std::vector<SampleEvent>& events) { return eventsValue(env, *state, events); },
      [state, job](Napi::Env env, const Error& error) {
        forgetLost(*state, *job);
        return toJavaScript(env, error);
      });
}

Napi::Value cancel(const Napi::CallbackInfo& info, const State& state) {
  ComputeThread::instance().cancel(*state->cancel);
  return info.Env().Undefined();
}

}  // namespace

Napi::Value createSampler(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  const auto adapters = adaptersArgument(info[0], "adapters");
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
        state->profiled = model->profiled;
        state->engine = std::make_unique<SampleEngine>(model->model, nativeAdapters(adapters, *model->model), options);
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
  defineClass<S>(
      env, environment,
      {
          getter("idle", syncMethod<S, idle, Alive::kAny>),
          getter("stats", syncMethod<S, stats>),
          method("submit", syncMethod<S, submit>),
          method("cancelRequest", syncMethod<S, cancelRequest, Alive::kAny>),  // as cancel: may come after dispose()
          method("step", asyncMethod<S, step>),
          method("cancel", syncMethod<S, cancel, Alive::kAny>),
      });
}

}  // namespace mlit::addon
