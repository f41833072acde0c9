// Arguments from JavaScript, checked: every refusal names the option, what was expected and what came. TypeError for a
// wrong type, RangeError for a wrong value or length.
#pragma once

#include <napi.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace mlit::addon {

inline constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

std::string describe(Napi::Value value);  // "number 3", "Float32Array", "undefined"
[[noreturn]] void throwType(Napi::Value got, const std::string& name, const std::string& expected);
[[noreturn]] void throwRange(Napi::Env env, const std::string& name, const std::string& expected,
                             const std::string& got);

std::string textArgument(Napi::Value value, const std::string& name);  // without null characters, not empty
bool booleanArgument(Napi::Value value, const std::string& name);
int64_t integerArgument(Napi::Value value, const std::string& name, int64_t least, int64_t most);
double numberArgument(Napi::Value value, const std::string& name, double least,
                      double most = std::numeric_limits<double>::max());
uint64_t bigintArgument(Napi::Value value, const std::string& name);  // 0 … 2^64 - 1
Napi::Array arrayArgument(Napi::Value value, const std::string& name);

// A copy of a typed array's elements, byteOffset and length honoured. Resizable, shared and detached buffers are refused.
std::vector<int32_t> int32Argument(Napi::Value value, const std::string& name);
std::vector<float> float32Argument(Napi::Value value, const std::string& name);
void requireLength(Napi::Env env, size_t got, size_t expected, const std::string& name, const std::string& because);

// The properties of an options object, each named "options.property" in errors.
class OptionsReader {
 public:
  OptionsReader(Napi::Value value, std::string name);
  Napi::Value get(const char* property) const { return object_.Get(property); }
  std::string path(const char* property) const { return name_ + "." + property; }

  std::string text(const char* property) const { return textArgument(get(property), path(property)); }
  bool boolean(const char* property) const { return booleanArgument(get(property), path(property)); }
  int64_t integer(const char* property, int64_t least, int64_t most) const {
    return integerArgument(get(property), path(property), least, most);
  }
  int32_t int32(const char* property, int32_t least) const {
    return static_cast<int32_t>(integer(property, least, std::numeric_limits<int32_t>::max()));
  }
  double number(const char* property, double least, double most = std::numeric_limits<double>::max()) const {
    return numberArgument(get(property), path(property), least, most);
  }
  std::vector<int32_t> int32s(const char* property) const { return int32Argument(get(property), path(property)); }
  std::vector<float> float32s(const char* property) const { return float32Argument(get(property), path(property)); }
  // The index of the word that was given.
  size_t oneOf(const char* property, const std::vector<std::string>& words) const;

 private:
  Napi::Object object_;
  std::string name_;
};

}  // namespace mlit::addon
