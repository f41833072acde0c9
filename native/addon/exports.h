// Writing models for other programs: what lib/export calls.
#pragma once

#include <napi.h>

namespace mlit::addon {

Napi::Value exportConfig(const Napi::CallbackInfo& info);
Napi::Value storedType(const Napi::CallbackInfo& info);
Napi::Value exportSafetensorsFor(const Napi::CallbackInfo& info);
Napi::Value exportGgufFor(const Napi::CallbackInfo& info);
Napi::Value exportGgufAdapterFor(const Napi::CallbackInfo& info);

}  // namespace mlit::addon
