// What every fuzzer shares: inputs become files in memory, an Error is an answer, and anything else is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "test/tiny_model.h"

namespace mlit::fuzz {

using test::safetensorsOf;

// A folder on a file system in memory where there is one, removed with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  void write(const std::string& name, std::string_view bytes) const;

 private:
  std::string path_;
};

// Several files in one input: the parts between lines of kSeparator, exactly count of them, absent ones empty. The last
// takes all that is left.
inline constexpr std::string_view kSeparator = "\n%%%%\n";
std::vector<std::string_view> split(std::string_view input, size_t count);

// True when action returns. An mlit::Error is the other good end, if its message is short and says something and its code
// is one of those that a file can cause; everything else aborts.
bool survives(const std::function<void()>& action);

// Aborts with the text unless condition holds: a property that a mutated file broke.
void check(bool condition, const char* what);

// Reads every tensor that a source lists, in two pieces.
void readEverything(const TensorSource& source);

}  // namespace mlit::fuzz
