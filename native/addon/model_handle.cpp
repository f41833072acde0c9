// Model: loading, with progress on the way, and the class.
#include "addon/arguments.h"
#include "addon/plugin.h"
#include "addon/profile.h"
#include "addon/progress.h"
#include "addon/states.h"
#include "addon/values.h"
#include "train/calibrate.h"

namespace mlit::addon {

Napi::Value loadModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = textArgument(info[0], "path");
  const LoadOptions options = loadOptions(info[1], "options");
  const std::shared_ptr<ModelState> state = computeOwned(std::make_unique<ModelState>());
  const std::shared_ptr<Progress> progress = Progress::ofOptions(info[1], state->cancel);

  // Judged by this thread already, so that the handle can tell.
  const std::string device = resolveDevice(options.device, options.isa);
  const auto load = [state, device, path, options, progress] {
    Model::Options native;
    native.format = options.format;
    native.cancel = &state->cancel->flag;
    if (progress) native.progress = [&](double fraction) { progress->report(fraction); };
    std::shared_ptr<Backend> backend =
        ComputeThread::instance().backend(device, options.threads, options.isa, options.integers);
    if (options.profile) backend = state->profiled = std::make_shared<ProfiledBackend>(backend);
    // Integer products read the file twice: to see what they have to keep, and to keep it.
    const CalibrationText text = calibrationText(options.calibration, options.calibrationLengths);
    const bool twice = options.integers && !options.calibration.empty();
    if (progress && twice) native.progress = [&](double fraction) { progress->report(fraction / 2); };
    state->model = Model::load(path, backend, native);
    if (twice) {
      if (progress) native.progress = [&](double fraction) { progress->report((1 + fraction) / 2); };
      calibrate(state->model, text.batch(), native);
    }
    if (state->profiled) beginProfile(*state->profiled, *state->model);
    return Nothing{};
  };
  const auto finish = [state, device, progress](Napi::Env target, Nothing) {
    if (progress) {
      if (const auto thrown = progress->end(target)) throw *thrown;
    }
    // Read here although it is the compute thread's: the load is over, and nothing else knows the state yet.
    const Model& model = *state->model;
    Napi::Object handle = wrap(target, state);
    setReadOnly(handle, "config", configValue(target, model.config()));
    setReadOnly(handle, "bytes", Napi::Number::New(target, static_cast<double>(model.bytes())));
    setReadOnly(handle, "format", Napi::String::New(target, formatName(model.format())));
    setReadOnly(handle, "compute", Napi::String::New(target, model.backend().integerProducts() ? "int8" : "f32"));
    setReadOnly(handle, "roundingError", Napi::Number::New(target, model.roundingError()));
    setReadOnly(handle, "device", Napi::String::New(target, device));
    setReadOnly(handle, "path", Napi::String::New(target, model.path()));
    return handle;
  };
  return runAsync(env, state->cancel, load, finish, Progress::failure(progress));
}

void defineModel(Napi::Env env, Environment& environment) {
  defineClass<ModelState>(env, environment,
                          {
                              method("createAdapter", asyncMethod<ModelState, createAdapter>),
                              method("loadAdapter", asyncMethod<ModelState, loadAdapter>),
                              method("createTrainSession", asyncMethod<ModelState, createTrainSession>),
                              method("createSampler", asyncMethod<ModelState, createSampler>),
                              method("takeProfile", asyncMethod<ModelState, takeProfile>),
                          });
}

}  // namespace mlit::addon
