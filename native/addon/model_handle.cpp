// Model: loading, with progress on the way, and the class.
#include <exception>
#include <optional>

#include "addon/arguments.h"
#include "addon/states.h"
#include "addon/values.h"

namespace mlit::addon {
namespace {

// Carries fractions from the compute thread to onProgress. What onProgress throws ends the load and becomes its error.
class Progress : public std::enable_shared_from_this<Progress> {
 public:
  Progress(Napi::Env env, Napi::Function callback, std::shared_ptr<CancelToken> cancel)
      : channel_(Environment::of(env).channel()), cancel_(std::move(cancel)) {
    NAPI_THROW_IF_FAILED_VOID(env, napi_create_reference(env, callback, 1, &callback_));
  }

  // On the compute thread. A hundred calls a load at most.
  void report(double fraction) {
    if (fraction < 1 && fraction - reported_ < 0.01) return;
    reported_ = fraction;
    channel_->send(std::make_unique<Report>(shared_from_this(), fraction));
  }

  // On the environment's thread, once, when the load has ended: the references must not go on any other.
  std::optional<Napi::Error> end(Napi::Env env) {
    napi_delete_reference(env, callback_);
    callback_ = nullptr;
    if (thrown_ == nullptr) return std::nullopt;
    const std::unique_ptr<Napi::Error> error(thrown_);
    thrown_ = nullptr;
    return *error;
  }

 private:
  struct Report final : Message {
    Report(std::shared_ptr<Progress> progress, double fraction) : progress_(std::move(progress)), fraction_(fraction) {}
    void deliver(Napi::Env env) override { progress_->call(env, fraction_); }
    std::shared_ptr<Progress> progress_;
    double fraction_;
  };

  void call(Napi::Env env, double fraction) {
    if (thrown_ != nullptr || callback_ == nullptr) return;
    napi_value callback = nullptr;
    napi_get_reference_value(env, callback_, &callback);
    try {
      Napi::Function(env, callback).Call({Napi::Number::New(env, fraction)});
    } catch (const Napi::Error& error) {
      thrown_ = new Napi::Error(error);
      ComputeThread::instance().cancel(*cancel_);
    }
  }

  std::shared_ptr<Channel> channel_;
  std::shared_ptr<CancelToken> cancel_;
  napi_ref callback_ = nullptr;
  Napi::Error* thrown_ = nullptr;  // not owned by the destructor, which may run on another thread
  double reported_ = -1;
};

}  // namespace

Napi::Value loadModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = textArgument(info[0], "path");
  const LoadOptions options = loadOptions(info[1], "options");
  const Napi::Value onProgress = info[1].As<Napi::Object>().Get("onProgress");
  if (!onProgress.IsUndefined() && !onProgress.IsFunction())
    throwType(onProgress, "options.onProgress", "a function or undefined");

  const std::shared_ptr<ModelState> state = computeOwned(std::make_unique<ModelState>());
  std::shared_ptr<Progress> progress;
  if (onProgress.IsFunction())
    progress = std::make_shared<Progress>(env, onProgress.As<Napi::Function>(), state->cancel);

  const auto load = [state, path, options, progress] {
    Model::Options native;
    native.format = options.format;
    native.cancel = &state->cancel->flag;
    if (progress) native.progress = [&](double fraction) { progress->report(fraction); };
    const std::shared_ptr<Backend> backend = ComputeThread::instance().backend(options.threads, options.isa);
    state->model = Model::load(path, backend, native);
    return Nothing{};
  };
  const auto finish = [state, progress](Napi::Env target, Nothing) {
    if (progress) {
      if (const auto thrown = progress->end(target)) throw *thrown;
    }
    // Read here although it is the compute thread's: the load is over, and nothing else knows the state yet.
    const Model& model = *state->model;
    Napi::Object handle = wrap(target, state);
    setReadOnly(handle, "config", configValue(target, model.config()));
    setReadOnly(handle, "bytes", Napi::Number::New(target, static_cast<double>(model.bytes())));
    setReadOnly(handle, "path", Napi::String::New(target, model.path()));
    return handle;
  };
  const auto fail = [progress](Napi::Env target, const Error& error) -> Napi::Value {
    if (progress) {
      if (const auto thrown = progress->end(target)) return thrown->Value();
    }
    return toJavaScript(target, error);
  };
  return runAsync(env, state->cancel, load, finish, fail);
}

void defineModel(Napi::Env env, Environment& environment) {
  defineClass<ModelState>(env, environment,
                          {
                              method("createAdapter", asyncMethod<ModelState, createAdapter>),
                              method("loadAdapter", asyncMethod<ModelState, loadAdapter>),
                              method("createTrainSession", asyncMethod<ModelState, createTrainSession>),
                              method("createSampler", asyncMethod<ModelState, createSampler>),
                          });
}

}  // namespace mlit::addon
