// The parser's callback sees every key and every opening bracket before they cost memory.
#include "core/json.h"

#include <unordered_set>
#include <vector>

#include "core/file_error.h"

namespace mlit {

namespace {

// An empty array or object, unlike a full one, is destroyed without a list of what was in it.
void empty(nlohmann::json& value) {
  if (value.is_array()) {
    auto& list = value.get_ref<nlohmann::json::array_t&>();
    for (nlohmann::json& child : list) empty(child);
    list.clear();
  } else if (value.is_object()) {
    auto& members = value.get_ref<nlohmann::json::object_t&>();
    for (auto& [key, child] : members) empty(child);
    members.clear();
  }
}

}  // namespace

JsonDocument::~JsonDocument() { empty(root_); }

JsonDocument parseJson(std::string_view text, const std::string& file, const JsonLimits& limits) {
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open, innermost last
  size_t values = 0;
  const auto watch = [&](int depth, Event event, nlohmann::json& parsed) {
    switch (event) {
      case Event::object_start:
      case Event::array_start:
        if (depth >= limits.depth)
          throw damagedFile(file, "its JSON is nested deeper than " + std::to_string(limits.depth) + " levels.",
                            {{"expected", "at most " + std::to_string(limits.depth) + " levels"}});
        if (event == Event::object_start) keys.emplace_back();
        break;
      case Event::object_end:
        keys.pop_back();
        return true;
      case Event::array_end:
        return true;
      case Event::key: {
        std::string key = parsed.get<std::string>();
        if (keys.back().count(key))
          throw damagedFile(file, "its JSON has the key \"" + printable(key) + "\" twice in one object.",
                            {{"key", printable(key)}, {"expected", "each key once"}});
        keys.back().insert(std::move(key));
        break;
      }
      case Event::value:
        break;
    }
    if (++values > limits.values)
      throw damagedFile(file, "its JSON has more than " + std::to_string(limits.values) + " values.",
                        {{"expected", "at most " + std::to_string(limits.values) + " values"}});
    return true;
  };
  try {
    return JsonDocument(nlohmann::json::parse(text.begin(), text.end(), watch));
  } catch (const nlohmann::json::parse_error& error) {
    const std::string offset = std::to_string(error.byte > 0 ? error.byte - 1 : 0);
    throw damagedFile(file, "its JSON cannot be read at byte " + offset + " of " + std::to_string(text.size()) + ".",
                      {{"offset", offset}, {"expected", "JSON in UTF-8"}, {"actual", printable(error.what())}});
  } catch (const nlohmann::json::exception& error) {
    throw damagedFile(file, std::string("its JSON cannot be read: ") + printable(error.what()) + ".",
                      {{"expected", "JSON in UTF-8"}, {"actual", printable(error.what())}});
  }
}

}  // namespace mlit
