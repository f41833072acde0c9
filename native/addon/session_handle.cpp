// TrainSession: the four primitives, each call one task. Batches are copied at the call, results at its end.
#include <optional>
#include <span>
#include <utility>

#include "addon/arguments.h"
#include "addon/states.h"
#include "addon/values.h"

namespace mlit::addon {

void TrainSessionState::publish() {
  if (!session) return;
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = session->stepCount(static_cast<int32_t>(i));
  gradientsPending = session->gradientsPending();
}

namespace {

using State = std::shared_ptr<TrainSessionState>;

// A batch of our own; view() is what native code reads.
struct OwnedBatch {
  std::vector<int32_t> tokens, positions, cuSeqlens, targets;
  std::vector<float> weights;
  std::vector<int32_t> adapters, records;

  PackedBatch view() const { return {tokens, positions, cuSeqlens, targets, weights, adapters, records}; }
};

OwnedBatch batchArgument(Napi::Value value) {
  const OptionsReader reader(value, "batch");
  OwnedBatch batch{reader.int32s("tokens"),
                   reader.int32s("positions"),
                   reader.int32s("cuSeqlens"),
                   reader.int32s("targets"),
                   reader.float32s("weights"),
                   reader.int32s("adapters"),
                   {}};
  if (!reader.get("records").IsUndefined()) batch.records = reader.int32s("records");
  const Napi::Env env = value.Env();
  const std::string perToken = "as many as batch.tokens";
  requireLength(env, batch.positions.size(), batch.tokens.size(), "batch.positions", perToken);
  requireLength(env, batch.targets.size(), batch.tokens.size(), "batch.targets", perToken);
  requireLength(env, batch.weights.size(), batch.tokens.size(), "batch.weights", perToken);
  if (batch.cuSeqlens.size() < 2)
    throwRange(env, "batch.cuSeqlens", "have 2 elements or more", std::to_string(batch.cuSeqlens.size()));
  requireLength(env, batch.adapters.size(), batch.cuSeqlens.size() - 1, "batch.adapters",
                "one a document of batch.cuSeqlens");
  return batch;
}

// One call on the session, after which, whatever came of it, its public facts are told anew. phase: where it is profiled.
template <class Work, class Finish>
Napi::Value call(Napi::Env env, const State& state, const char* phase, Work work, Finish finish) {
  return runAsync(
      env, state->cancel,
      [state, phase, work = std::move(work)] {
        TrainSession& session = require(state->session, TrainSessionState::kName);
        struct Publish {
          const State& of;
          ~Publish() { of->publish(); }
        } const publish{state};
        const PhaseScope profiled(state->profiled.get(), phase);
        return work(session);
      },
      finish);
}

Napi::Value undefinedValue(Napi::Env env, Nothing) { return env.Undefined(); }

struct Sums {
  StepSums sums;
  std::optional<std::vector<float>> logprobs;
};

Napi::Value sumsValue(Napi::Env env, const Sums& result) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("loss", float64Value(env, result.sums.loss));
  value.Set("weight", float64Value(env, result.sums.weight));
  if (!result.sums.notFinite.empty()) {
    Napi::Array rows = Napi::Array::New(env, result.sums.notFinite.size());
    for (uint32_t i = 0; i < rows.Length(); ++i) rows.Set(i, result.sums.notFinite[i]);
    value.Set("notFinite", rows);
  }
  if (result.logprobs) value.Set("logprobs", float32Value(env, *result.logprobs));
  return value;
}

Napi::Value forwardBackward(const Napi::CallbackInfo& info, const State& state) {
  const bool wantLogprobs = booleanArgument(info[1], "wantLogprobs");
  std::optional<OwnedBatch> next;
  if (!info[2].IsUndefined()) next = batchArgument(info[2]);
  return call(
      info.Env(), state, "forward",
      [batch = batchArgument(info[0]), wantLogprobs, next = std::move(next)](TrainSession& session) {
        Sums result;
        std::optional<PackedBatch> after;
        if (next) after = next->view();
        if (wantLogprobs) result.logprobs.emplace(batch.tokens.size());
        result.sums = session.forwardBackward(batch.view(),
                                              result.logprobs ? std::span<float>(*result.logprobs) : std::span<float>(),
                                              after ? &*after : nullptr);
        return result;
      },
      sumsValue);
}

Napi::Value score(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "score",
      [batch = batchArgument(info[0])](TrainSession& session) {
        Sums result;
        result.logprobs.emplace(batch.tokens.size());
        result.sums = session.score(batch.view(), *result.logprobs);
        return result;
      },
      sumsValue);
}

Napi::Value forward(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "forward",
      [batch = batchArgument(info[0])](TrainSession& session) {
        std::vector<float> logprobs(batch.tokens.size());
        session.forward(batch.view(), logprobs);
        return logprobs;
      },
      float32Value);
}

Napi::Value backward(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "backward",
      [gradients = float32Argument(info[0], "logprobGradients")](TrainSession& session) {
        session.backward(gradients);
        return Nothing{};
      },
      undefinedValue);
}

int32_t adapterIndex(Napi::Value value, const State& state) {
  const auto count = static_cast<int64_t>(state->steps.size());
  if (count == 0)
    throwRange(value.Env(), "adapter", "be the index of an adapter, and this session has none", describe(value));
  return static_cast<int32_t>(integerArgument(value, "adapter", 0, count - 1));
}

Napi::Value optimStep(const Napi::CallbackInfo& info, const State& state) {
  const int32_t adapter = adapterIndex(info[0], state);
  const OptionsReader reader(info[1], "params");
  AdamWParams params;
  params.learningRate = static_cast<float>(reader.number("learningRate", 0));
  params.beta1 = static_cast<float>(reader.number("beta1", 0, 1));
  params.beta2 = static_cast<float>(reader.number("beta2", 0, 1));
  params.epsilon = static_cast<float>(reader.number("epsilon", 0));
  params.weightDecay = static_cast<float>(reader.number("weightDecay", 0));
  params.maxGradNorm = static_cast<float>(reader.number("maxGradNorm", 0));
  params.gradScale = static_cast<float>(reader.number("gradScale", 0));
  struct Result {
    double gradNorm;
    int64_t step;
  };
  return call(
      info.Env(), state, "optimiser",
      [adapter, params](TrainSession& session) {
        const double gradNorm = session.optimStep(adapter, params).gradNorm;
        return Result{gradNorm, session.stepCount(adapter)};
      },
      [](Napi::Env env, const Result& result) {
        Napi::Object value = Napi::Object::New(env);
        value.Set("gradNorm", result.gradNorm);
        value.Set("step", static_cast<double>(result.step));
        return value;
      });
}

Napi::Value zeroGradients(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "gradients",
      [](TrainSession& session) {
        session.zeroGradients();
        return Nothing{};
      },
      undefinedValue);
}

// The slot that a call is of, where it is of one.
std::optional<int32_t> slotArgument(Napi::Value value, const State& state) {
  if (value.IsUndefined()) return std::nullopt;
  return adapterIndex(value, state);
}

Napi::Value setAdapter(const Napi::CallbackInfo& info, const State& state) {
  const int32_t slot = adapterIndex(info[0], state);
  const bool empties = info[1].IsNull();
  const auto adapter = empties ? nullptr : livingStateOf<AdapterState>(info.Env(), info[1], "adapter");
  const uint64_t seed = bigintArgument(info[2], "seed");
  return call(
      info.Env(), state, "slots",
      [slot, adapter, seed](TrainSession& session) {
        if (adapter) require(adapter->adapter, AdapterState::kName);
        session.setAdapter(slot, adapter ? adapter->adapter : nullptr, seed);
        return Nothing{};
      },
      undefinedValue);
}

Napi::Value saveState(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "checkpoint",
      [path = textArgument(info[0], "path"), slot = slotArgument(info[1], state)](TrainSession& session) {
        slot ? session.saveState(path, *slot) : session.saveState(path);
        return Nothing{};
      },
      undefinedValue);
}

Napi::Value loadState(const Napi::CallbackInfo& info, const State& state) {
  return call(
      info.Env(), state, "checkpoint",
      [path = textArgument(info[0], "path"), slot = slotArgument(info[1], state)](TrainSession& session) {
        slot ? session.loadState(path, *slot) : session.loadState(path);
        return Nothing{};
      },
      undefinedValue);
}

Napi::Value stepCount(const Napi::CallbackInfo& info, const State& state) {
  const auto index = static_cast<size_t>(adapterIndex(info[0], state));
  return Napi::Number::New(info.Env(), static_cast<double>(state->steps[index].load()));
}

Napi::Value gradientsPending(const Napi::CallbackInfo& info, const State& state) {
  return Napi::Boolean::New(info.Env(), !state->disposed && state->gradientsPending);
}

Napi::Value cancel(const Napi::CallbackInfo& info, const State& state) {
  ComputeThread::instance().cancel(*state->cancel);
  return info.Env().Undefined();
}

}  // namespace

Napi::Value createTrainSession(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  const auto adapters = adaptersArgument(info[0], "adapters");
  const TrainOptions options = trainOptions(info[1], "options");
  const Napi::Value given = OptionsReader(info[1], "options").get("ranks");
  const auto ranks = given.IsUndefined() ? nullptr : livingStateOf<RanksState>(info.Env(), given, "options.ranks");
  const auto state = newChild<TrainSessionState>(model);
  state->steps = std::vector<std::atomic<int64_t>>(options.full ? 1 : adapters.size() + options.slots.size());
  return runAsync(
      info.Env(), model->cancel,
      [state, model, adapters, options, ranks] {
        require(model->model, ModelState::kName);
        state->profiled = model->profiled;
        state->session = std::make_unique<TrainSession>(model->model, nativeAdapters(adapters, *model->model), options);
        state->session->setCancelFlag(&state->cancel->flag);
        if (ranks) {
          require(ranks->ranks, RanksState::kName);
          state->session->setRanks(ranks->ranks);
        }
        state->publish();
        return state->session->memory();
      },
      [state](Napi::Env env, const MemoryPlan& memory) {
        Napi::Object handle = wrapLiving(env, state);
        setReadOnly(handle, "memory", planValue(env, memory));
        return handle;
      });
}

void defineTrainSession(Napi::Env env, Environment& environment) {
  using S = TrainSessionState;
  defineClass<S>(
      env, environment,
      {
          getter("gradientsPending", syncMethod<S, gradientsPending, Alive::kAny>),
          method("forwardBackward", asyncMethod<S, forwardBackward>), method("score", asyncMethod<S, score>),
          method("forward", asyncMethod<S, forward>), method("backward", asyncMethod<S, backward>),
          method("optimStep", asyncMethod<S, optimStep>), method("zeroGradients", asyncMethod<S, zeroGradients>),
          method("saveState", asyncMethod<S, saveState>), method("loadState", asyncMethod<S, loadState>),
          method("setAdapter", asyncMethod<S, setAdapter>), method("stepCount", syncMethod<S, stepCount>),
          method("cancel", syncMethod<S, cancel, Alive::kAny>),  // an abort may come after dispose()
      });
}

}  // namespace mlit::addon
