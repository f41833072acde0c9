// GGUF v2/v3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): one file with weights, tokenizer and chat
// template. Metadata is kept typed so that the TypeScript side can build the tokenizer from it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace mlit {

using GgufValue =
    std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<std::string>, std::vector<int32_t>,
                 std::vector<int64_t>, std::vector<float>, std::vector<double>, std::vector<bool>>;

class GgufFile : public TensorSource {
 public:
  virtual const std::map<std::string, GgufValue>& metadata() const = 0;

  // A value as the file has it, its type first: what GgufEntry holds. Throws kFileDamaged where there is none.
  virtual std::string storedValue(const std::string& key) const = 0;

  // Typed access; a key of another type is kFileDamaged naming the key, what was expected and what is there.
  virtual bool has(const std::string& key) const = 0;
  virtual std::string text(const std::string& key) const = 0;  // throws if absent
  virtual int64_t integer(const std::string& key) const = 0;   // any integer type
  virtual double number(const std::string& key) const = 0;     // any numeric type
};

std::unique_ptr<GgufFile> openGguf(const std::string& path);

}  // namespace mlit
