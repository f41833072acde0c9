// nlohmann-json takes any depth and lets the last of two equal keys win; files from strangers get limits here and
// an error of ours instead.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mlit {

struct JsonLimits {
  int depth = 64;             // nested arrays and objects
  size_t values = 4'000'000;  // numbers, strings, keys and so on in all
};

// Throws kFileDamaged naming file and the byte offset when text is not one JSON value in UTF-8, repeats a key within an
// object or exceeds a limit. file only serves the message.
nlohmann::json parseJson(std::string_view text, const std::string& file, const JsonLimits& limits = {});

}  // namespace mlit
