// The life of handles: who is whose child, and how dispose() waits for work that was posted before it.
#include "addon/handles.h"

#include <algorithm>

namespace mlit::addon {

napi_type_tag handleTag(uint64_t kind) {
  static const char here = 0;
  return {kind, reinterpret_cast<uintptr_t>(&here)};
}

void throwWrongHandle(Napi::Value got, const std::string& what, const char* name) {
  std::string described = describe(got);
  if (got.IsObject()) {
    const Napi::Value constructor = got.As<Napi::Object>().Get("constructor");
    if (constructor.IsFunction() &&
        constructor.As<Napi::Object>().Get("name").StrictEquals(Napi::String::New(got.Env(), name)))
      described =
          "one that this copy of mlit-native did not make: where two are loaded in a process, handles belong to theirs";
  }
  throw Napi::TypeError::New(got.Env(), what + " must be a native " + name + ", got " + described);
}

Error disposedError(const std::string& what, const char* name, const HandleState& state) {
  const std::string subject =
      what == "`this`" ? std::string("this ") + name : what + ", an object of class " + name + ",";
  const std::string why = state.endedByParent ? "the Model that it was made from was disposed of, and ended it"
                                              : std::string("it was disposed of");
  return Error(ErrorCode::kDisposed, subject + " can't be used any more: " + why,
               {{"handle", name}, {"disposed", state.endedByParent ? "Model" : name}});
}

void HandleState::addChild(const std::shared_ptr<HandleState>& child) {
  std::erase_if(children_, [](const auto& each) { return each.expired(); });
  children_.push_back(child);
}

std::vector<std::shared_ptr<HandleState>> HandleState::disposeAll(const std::shared_ptr<HandleState>& root) {
  std::vector<std::shared_ptr<HandleState>> all;
  for (const auto& each : root->children_) {
    if (const auto child = each.lock()) {
      child->endedByParent = !child->disposed;
      for (auto& below : disposeAll(child)) all.push_back(std::move(below));
    }
  }
  root->children_.clear();
  root->disposed = true;
  all.push_back(root);
  return all;
}

// The queue is first in, first out: once this task runs, nothing posted before it uses the handle, so that disposing
// twice needs no memory of the first promise.
Napi::Value dispose(const Napi::CallbackInfo& info, const std::shared_ptr<HandleState>& state) {
  return runAsync(
      info.Env(), nullptr,
      [all = HandleState::disposeAll(state)] {
        for (const auto& each : all) each->release();
        return Nothing{};
      },
      [](Napi::Env env, Nothing) { return env.Undefined(); });
}

Napi::Value isDisposed(const Napi::CallbackInfo& info, const std::shared_ptr<HandleState>& state) {
  return Napi::Boolean::New(info.Env(), state->disposed);
}

void setReadOnly(Napi::Object object, const char* name, Napi::Value value) {
  napi_property_descriptor property{};
  property.utf8name = name;
  property.value = value;
  property.attributes = napi_enumerable;
  const napi_status status = napi_define_properties(object.Env(), object, 1, &property);
  NAPI_THROW_IF_FAILED_VOID(object.Env(), status);
}

napi_property_descriptor method(const char* name, napi_callback callback) {
  napi_property_descriptor property{};
  property.utf8name = name;
  property.method = callback;
  property.attributes = napi_default_method;
  return property;
}

napi_property_descriptor getter(const char* name, napi_callback callback) {
  napi_property_descriptor property{};
  property.utf8name = name;
  property.getter = callback;
  property.attributes = napi_configurable;
  return property;
}

}  // namespace mlit::addon
