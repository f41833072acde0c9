#include "addon/profile.h"

#include <map>
#include <string>
#include <vector>

#include "addon/states.h"

namespace mlit::addon {

namespace {

struct Taken {
  std::vector<OpSpent> ops;
  std::map<std::string, PhaseSpent> phases;
  std::vector<Span> spans;
};

Napi::Object opValue(Napi::Env env, const OpSpent& spent) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("phase", spent.phase);
  value.Set("op", spent.op);
  value.Set("weight", spent.weight);
  value.Set("out", static_cast<double>(spent.out));
  value.Set("in", static_cast<double>(spent.in));
  value.Set("calls", static_cast<double>(spent.calls));
  value.Set("seconds", spent.seconds);
  value.Set("rows", static_cast<double>(spent.work.rows));
  value.Set("bytes", spent.work.bytes);
  value.Set("flops", spent.work.flops);
  value.Set("integerFlops", spent.work.integerFlops);
  return value;
}

Napi::Object phaseValue(Napi::Env env, const std::string& name, const PhaseSpent& spent) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("name", name);
  value.Set("calls", static_cast<double>(spent.calls));
  value.Set("seconds", spent.seconds);
  return value;
}

// Of the clock that process.hrtime() reads: rounding to doubles keeps the order of any two.
double nanoseconds(std::chrono::steady_clock::time_point time) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

Napi::Object spanValue(Napi::Env env, const Span& span) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("name", std::string(span.name));
  value.Set("phase", span.isPhase);
  value.Set("start", nanoseconds(span.start));
  value.Set("end", nanoseconds(span.end));
  if (!span.weight.empty()) value.Set("weight", std::string(span.weight));
  if (span.rows > 0) value.Set("rows", static_cast<double>(span.rows));
  if (span.out > 0) value.Set("out", static_cast<double>(span.out));
  if (span.in > 0) value.Set("in", static_cast<double>(span.in));
  return value;
}

}  // namespace

void beginProfile(ProfiledBackend& backend, const Model& model) {
  for (const LayerWeights& layer : model.layers()) {
    backend.nameWeight(layer.qkv, "qkv");
    backend.nameWeight(layer.o, "o");
    backend.nameWeight(layer.gateUp, "gate_up");
    backend.nameWeight(layer.down, "down");
  }
  backend.nameWeight(model.embedding(), "embedding");
  backend.nameWeight(model.head(), "head");  // where they are one matrix, products are the head's
  backend.watchHead(model.head(), model.finalNorm());
  backend.profile(ProfiledBackend::Mode::kTimes);
}

Napi::Value takeProfile(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model) {
  return runAsync(
      info.Env(), nullptr,
      [model] {
        require(model->model, ModelState::kName);
        if (!model->profiled) {
          throw Error(ErrorCode::kInvalidArgument, "this Model is not profiled: load it with profile true",
                      {{"field", "profile"}});
        }
        Taken taken{model->profiled->ops(), model->profiled->phases(), model->profiled->spans()};
        model->profiled->forget();
        return taken;
      },
      [](Napi::Env env, const Taken& taken) {
        Napi::Array ops = Napi::Array::New(env), phases = Napi::Array::New(env), spans = Napi::Array::New(env);
        for (const OpSpent& each : taken.ops) ops.Set(ops.Length(), opValue(env, each));
        for (const auto& [name, spent] : taken.phases) phases.Set(phases.Length(), phaseValue(env, name, spent));
        uint32_t i = 0;
        for (const Span& span : taken.spans) {
          const Napi::HandleScope scope(env);  // there are tens of thousands
          spans.Set(i++, spanValue(env, span));
        }
        Napi::Object value = Napi::Object::New(env);
        value.Set("ops", ops);
        value.Set("phases", phases);
        value.Set("spans", spans);
        return value;
      });
}

}  // namespace mlit::addon
