// nlohmann-json takes any depth and lets the last of two equal keys win; files from strangers get limits here and
// an error of ours instead. Its destructors allocate, and end the process where they can't: a document is taken apart here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace mlit {

struct JsonLimits {
  int depth = 64;             // nested arrays and objects
  size_t values = 4'000'000;  // numbers, strings, keys and so on in all
};

// A parsed value that goes without an allocation.
class JsonDocument {
 public:
  explicit JsonDocument(nlohmann::json&& root) : root_(std::move(root)) {}
  JsonDocument(JsonDocument&&) = default;
  ~JsonDocument();

  const nlohmann::json& root() const { return root_; }
  operator const nlohmann::json&() const { return root_; }  // NOLINT(google-explicit-constructor): it is one

 private:
  nlohmann::json root_;
};

// Throws kFileDamaged naming file and the byte offset when text is not one JSON value in UTF-8, repeats a key within an
// object or exceeds a limit. file only serves the message.
JsonDocument parseJson(std::string_view text, const std::string& file, const JsonLimits& limits = {});

}  // namespace mlit
