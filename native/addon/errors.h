// Native errors as JavaScript ones: the same code, message and fields, of the class that TypeScript knows.
#pragma once

#include <napi.h>

#include "core/error.h"

namespace mlit::addon {

// MlitError; RangeError for kInvalidArgument; a plain Error with code and fields before setErrorClass().
Napi::Value toJavaScript(Napi::Env env, const Error& error);

// The exception in flight, of whatever type, as an Error. Not for Napi::Error.
Error currentError();

// The exception in flight, Napi::Error included, as a JavaScript value.
Napi::Value currentJavaScriptError(Napi::Env env);

}  // namespace mlit::addon
