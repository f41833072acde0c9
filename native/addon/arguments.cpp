// The checks themselves. Typed arrays are copied while we hold the thread: batches are small, and a view into memory
// that JavaScript can change or detach would be read by another thread later.
#include "addon/arguments.h"

#include <cmath>
#include <cstring>
#include <sstream>

namespace mlit::addon {
namespace {

std::string numberText(double number) {
  std::ostringstream text;
  text.precision(17);
  text << number;
  return text.str();
}

const char* arrayTypeName(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array:
      return "Int8Array";
    case napi_uint8_array:
      return "Uint8Array";
    case napi_uint8_clamped_array:
      return "Uint8ClampedArray";
    case napi_int16_array:
      return "Int16Array";
    case napi_uint16_array:
      return "Uint16Array";
    case napi_int32_array:
      return "Int32Array";
    case napi_uint32_array:
      return "Uint32Array";
    case napi_float32_array:
      return "Float32Array";
    case napi_float64_array:
      return "Float64Array";
    case napi_bigint64_array:
      return "BigInt64Array";
    case napi_biguint64_array:
      return "BigUint64Array";
    default:
      return "another typed array";
  }
}

template <class T>
std::vector<T> typedArgument(Napi::Value value, const std::string& name, napi_typedarray_type type) {
  const Napi::Env env = value.Env();
  const std::string expected = std::string("an ") + (type == napi_int32_array ? "Int32Array" : "Float32Array");
  if (!value.IsTypedArray()) throwType(value, name, type == napi_int32_array ? expected : "a Float32Array");
  napi_typedarray_type gotType{};
  size_t length = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  const auto read = [&] {
    const napi_status status = napi_get_typedarray_info(env, value, &gotType, &length, &data, &buffer, nullptr);
    NAPI_THROW_IF_FAILED_VOID(env, status);
  };
  read();
  if (gotType != type) throwType(value, name, type == napi_int32_array ? expected : "a Float32Array");
  const Napi::Value bufferValue(env, buffer);
  if (!bufferValue.IsArrayBuffer()) {
    throw Napi::TypeError::New(
        env, name + " must not lie in a SharedArrayBuffer: give a copy (new " + arrayTypeName(type) + "(array))");
  }
  bool detached = false;
  napi_is_detached_arraybuffer(env, buffer, &detached);
  if (detached) throw Napi::TypeError::New(env, name + " lies in a detached ArrayBuffer");
  const Napi::Value resizable = bufferValue.As<Napi::Object>().Get("resizable");
  if (resizable.IsBoolean() && resizable.As<Napi::Boolean>()) {
    throw Napi::TypeError::New(
        env, name + " must not lie in a resizable ArrayBuffer: give a copy (new " + arrayTypeName(type) + "(array))");
  }
  read();  // reading a property may have run JavaScript
  std::vector<T> copy(length);
  if (length > 0) std::memcpy(copy.data(), data, length * sizeof(T));
  return copy;
}

}  // namespace

std::string describe(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return value.As<Napi::Boolean>() ? "true" : "false";
    case napi_number:
      return "number " + numberText(value.As<Napi::Number>().DoubleValue());
    case napi_bigint:
      return "a bigint";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_string: {
      const std::string text = value.As<Napi::String>();
      return "string '" + (text.size() > 80 ? text.substr(0, 77) + "..." : text) + "'";
    }
    default:
      break;
  }
  if (value.IsTypedArray()) return arrayTypeName(value.As<Napi::TypedArray>().TypedArrayType());
  if (value.IsArray()) return "an array";
  return "an object";
}

void throwType(Napi::Value got, const std::string& name, const std::string& expected) {
  throw Napi::TypeError::New(got.Env(), name + " must be " + expected + ", got " + describe(got));
}

void throwRange(Napi::Env env, const std::string& name, const std::string& expected, const std::string& got) {
  throw Napi::RangeError::New(env, name + " must " + expected + ", got " + got);
}

std::string textArgument(Napi::Value value, const std::string& name) {
  if (!value.IsString()) throwType(value, name, "a string");
  std::string text = value.As<Napi::String>();
  if (text.empty()) throwRange(value.Env(), name, "not be empty", "''");
  if (text.find('\0') != std::string::npos) throwRange(value.Env(), name, "not hold null characters", "one");
  return text;
}

bool booleanArgument(Napi::Value value, const std::string& name) {
  if (!value.IsBoolean()) throwType(value, name, "true or false");
  return value.As<Napi::Boolean>();
}

int64_t integerArgument(Napi::Value value, const std::string& name, int64_t least, int64_t most) {
  if (!value.IsNumber()) throwType(value, name, "an integer");
  const double number = value.As<Napi::Number>().DoubleValue();
  const bool whole = std::isfinite(number) && std::floor(number) == number &&
                     std::fabs(number) <= static_cast<double>(kMaxSafeInteger);
  if (!whole || static_cast<int64_t>(number) < least || static_cast<int64_t>(number) > most) {
    throwRange(value.Env(), name, "be an integer from " + std::to_string(least) + " to " + std::to_string(most),
               numberText(number));
  }
  return static_cast<int64_t>(number);
}

double numberArgument(Napi::Value value, const std::string& name, double least, double most) {
  if (!value.IsNumber()) throwType(value, name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number) || number < least || number > most) {
    const std::string upTo = most == std::numeric_limits<double>::max() ? " or more" : " to " + numberText(most);
    throwRange(value.Env(), name, "be a finite number of " + numberText(least) + upTo, numberText(number));
  }
  return number;
}

uint64_t bigintArgument(Napi::Value value, const std::string& name) {
  if (!value.IsBigInt()) throwType(value, name, "a bigint");
  bool lossless = false;
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throwRange(value.Env(), name, "be from 0n to 2n ** 64n - 1n", value.ToString().Utf8Value() + "n");
  return number;
}

Napi::Array arrayArgument(Napi::Value value, const std::string& name) {
  if (!value.IsArray()) throwType(value, name, "an array");
  return value.As<Napi::Array>();
}

std::vector<int32_t> int32Argument(Napi::Value value, const std::string& name) {
  return typedArgument<int32_t>(value, name, napi_int32_array);
}

std::vector<float> float32Argument(Napi::Value value, const std::string& name) {
  return typedArgument<float>(value, name, napi_float32_array);
}

void requireLength(Napi::Env env, size_t got, size_t expected, const std::string& name, const std::string& because) {
  if (got == expected) return;
  throwRange(env, name, "have " + std::to_string(expected) + " elements (" + because + ")", std::to_string(got));
}

OptionsReader::OptionsReader(Napi::Value value, std::string name) : name_(std::move(name)) {
  if (!value.IsObject() || value.IsArray() || value.IsTypedArray()) throwType(value, name_, "an object");
  object_ = value.As<Napi::Object>();
}

size_t OptionsReader::oneOf(const char* property, const std::vector<std::string>& words) const {
  const Napi::Value value = get(property);
  std::string expected;
  for (const std::string& word : words) expected += (expected.empty() ? "'" : ", '") + word + "'";
  if (!value.IsString()) throwType(value, path(property), "one of " + expected);
  const std::string text = value.As<Napi::String>();
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == text) return i;
  }
  throwRange(value.Env(), path(property), "be one of " + expected, "'" + text + "'");
}

}  // namespace mlit::addon
