// The one place where C++ exceptions end; nothing crosses into Node as one.
#include "addon/errors.h"

#include <new>

#include "addon/environment.h"

namespace mlit::addon {

Napi::Value toJavaScript(Napi::Env env, const Error& error) {
  if (error.code() == ErrorCode::kInvalidArgument) return Napi::RangeError::New(env, error.what()).Value();
  const Napi::String code = Napi::String::New(env, errorCodeName(error.code()));
  Napi::Object fields = Napi::Object::New(env);
  for (const auto& [name, value] : error.fields()) fields.Set(name, value);

  const Napi::FunctionReference& errorClass = Environment::of(env).errorClass;
  if (!errorClass.IsEmpty()) {
    Napi::Object options = Napi::Object::New(env);
    options.Set("fields", fields);
    return errorClass.New({code, Napi::String::New(env, error.what()), options});
  }
  Napi::Object plain = Napi::Error::New(env, error.what()).Value();
  plain.Set("code", code);
  plain.Set("fields", fields);
  return plain;
}

Error currentError() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "the system refused memory that was asked for");
  } catch (const std::exception& error) {
    return Error(ErrorCode::kInternal, std::string("an unexpected error in native code: ") + error.what());
  } catch (...) {
    return Error(ErrorCode::kInternal, "an unknown error in native code");
  }
}

Napi::Value currentJavaScriptError(Napi::Env env) {
  try {
    throw;
  } catch (const Napi::Error& error) {
    return error.Value();
  } catch (...) {
    return toJavaScript(env, currentError());
  }
}

}  // namespace mlit::addon
