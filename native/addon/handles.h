// Handles: small JavaScript objects that hold a share of something native. Each is type-tagged, so that a method called on
// a wrong object is a TypeError and not a crash; the native part lives and dies on the compute thread.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/compute_thread.h"
#include "addon/environment.h"
#include "core/error.h"

namespace mlit::addon {

// What every handle has. `disposed` and `children` belong to the environment's thread, release() to the compute thread.
class HandleState {
 public:
  virtual ~HandleState() = default;
  virtual void release() = 0;  // lets go of the native part

  const std::shared_ptr<CancelToken> cancel = std::make_shared<CancelToken>();
  bool disposed = false;
  bool endedByParent = false;  // it was disposed of because what it was made from was

  void addChild(const std::shared_ptr<HandleState>& child);
  // Marks this handle and all below it; returns them, children first.
  static std::vector<std::shared_ptr<HandleState>> disposeAll(const std::shared_ptr<HandleState>& root);

 private:
  std::vector<std::weak_ptr<HandleState>> children_;
};

// The tag of one kind of handle. It holds an address inside this copy of the addon: another version of the package in the
// same process may lay its states out in another way, and must not take ours for its own.
napi_type_tag handleTag(uint64_t kind);

// A TypeError that tells a handle of another copy of the addon from any other value.
[[noreturn]] void throwWrongHandle(Napi::Value got, const std::string& what, const char* name);

// What a call on, or with, something that was disposed of is answered: whether it was that itself, or the Model below it.
Error disposedError(const std::string& what, const char* name, const HandleState& state);

// State classes name themselves by kClass, kName ("Model") and kTag.
template <class State>
std::shared_ptr<State> stateOf(Napi::Env env, Napi::Value value, const std::string& what) {
  const napi_type_tag tag = handleTag(State::kTag);
  bool tagged = false;
  void* data = nullptr;
  if (value.IsObject() && napi_check_object_type_tag(env, value, &tag, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, value, &data) == napi_ok) {
    return std::static_pointer_cast<State>(*static_cast<std::shared_ptr<HandleState>*>(data));
  }
  throwWrongHandle(value, what, State::kName);
}

template <class State>
std::shared_ptr<State> livingStateOf(Napi::Env env, Napi::Value value, const std::string& what) {
  std::shared_ptr<State> state = stateOf<State>(env, value, what);
  if (state->disposed) throw disposedError(what, State::kName, *state);
  return state;
}

// The native part, on the compute thread; gone where dispose() came in between.
template <class Pointer>
auto& require(const Pointer& native, const char* name) {
  if (!native)
    throw Error(ErrorCode::kDisposed, std::string("a ") + name + " was disposed of before this call ran",
                {{"handle", name}});
  return *native;
}

// Wraps a state in a new JavaScript object of its class.
template <class State>
Napi::Object wrap(Napi::Env env, const std::shared_ptr<State>& state) {
  Environment& environment = Environment::of(env);
  environment.constructing = state;
  return environment.classes[State::kClass].New({});
}

// As wrap(), for the end of an asynchronous creation, during which the parent may have been disposed of.
template <class State>
Napi::Object wrapLiving(Napi::Env env, const std::shared_ptr<State>& state) {
  if (state->disposed) {
    throw Error(ErrorCode::kDisposed,
                std::string("the Model was disposed of while its ") + State::kName + " was being made",
                {{"handle", State::kName}});
  }
  return wrap(env, state);
}

void setReadOnly(Napi::Object object, const char* name, Napi::Value value);

// --- defining classes ---------------------------------------------------------------------------------------------

enum class Alive { kRequired, kAny };

template <class State, auto Function, Alive alive>
napi_value callOnState(const Napi::CallbackInfo& info) {
  const auto state = alive == Alive::kRequired ? livingStateOf<State>(info.Env(), info.This(), "`this`")
                                               : stateOf<State>(info.Env(), info.This(), "`this`");
  return Function(info, state);
}

template <class State, auto Function, Alive alive = Alive::kRequired>
napi_value syncMethod(napi_env env, napi_callback_info raw) {
  return syncFunction<callOnState<State, Function, alive>>(env, raw);
}

template <class State, auto Function, Alive alive = Alive::kRequired>
napi_value asyncMethod(napi_env env, napi_callback_info raw) {
  return asyncFunction<callOnState<State, Function, alive>>(env, raw);
}

template <class State>
napi_value constructHandle(const Napi::CallbackInfo& info) {
  std::shared_ptr<HandleState> state;
  state.swap(Environment::of(info.Env()).constructing);
  if (state == nullptr || !info.IsConstructCall()) {
    throw Napi::TypeError::New(info.Env(), std::string(State::kName) + " has no public constructor");
  }
  auto* share = new std::shared_ptr<HandleState>(std::move(state));
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<HandleState>*>(data); };
  if (napi_wrap(info.Env(), info.This(), share, finalize, nullptr, nullptr) != napi_ok) {
    delete share;
    throw Error(ErrorCode::kInternal, std::string("a ") + State::kName + " could not be wrapped");
  }
  const napi_type_tag tag = handleTag(State::kTag);
  napi_type_tag_object(info.Env(), info.This(), &tag);
  return info.This();
}

napi_property_descriptor method(const char* name, napi_callback callback);
napi_property_descriptor getter(const char* name, napi_callback callback);

Napi::Value dispose(const Napi::CallbackInfo& info, const std::shared_ptr<HandleState>& state);
Napi::Value isDisposed(const Napi::CallbackInfo& info, const std::shared_ptr<HandleState>& state);

// Every handle's dispose() and disposed, and the class's own properties.
template <class State>
void defineClass(Napi::Env env, Environment& environment, std::vector<napi_property_descriptor> properties) {
  properties.push_back(method("dispose", asyncMethod<State, dispose, Alive::kAny>));
  properties.push_back(getter("disposed", syncMethod<State, isDisposed, Alive::kAny>));
  napi_value constructor = nullptr;
  const napi_status status =
      napi_define_class(env, State::kName, NAPI_AUTO_LENGTH, syncFunction<constructHandle<State>>, nullptr,
                        properties.size(), properties.data(), &constructor);
  NAPI_THROW_IF_FAILED_VOID(env, status);
  environment.classes[State::kClass] = Napi::Persistent(Napi::Function(env, constructor));
}

// Each in the file of its handle.
void defineModel(Napi::Env env, Environment& environment);
void defineAdapter(Napi::Env env, Environment& environment);
void defineTrainSession(Napi::Env env, Environment& environment);
void defineSampler(Napi::Env env, Environment& environment);
void defineRanks(Napi::Env env, Environment& environment);

}  // namespace mlit::addon
