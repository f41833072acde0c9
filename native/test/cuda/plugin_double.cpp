// A plug-in for tests of the addon's side: it says what MLIT_DOUBLE tells it, and where it is usable it computes by the CPU backend
// behind addresses that are mapped nowhere, so that a model on "cuda" really goes through another library.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "backend/plugin.h"
#include "core/error.h"
#include "test/host_backend.h"

namespace {

std::string told() {
  const char* value = std::getenv("MLIT_DOUBLE");
  return value == nullptr ? "" : value;
}

mlit::Backend* create(int32_t device) {
  if (told() == "create-fails") {
    throw mlit::Error(mlit::ErrorCode::kOutOfMemory, "the card has 3 bytes left", {{"device", std::to_string(device)}});
  }
  // "mib=N": of its own memory so much is free.
  const int64_t bytes = told().starts_with("mib=") ? std::stoll(told().substr(4)) << 20 : -1;
  return new mlit::test::HostBackend(mlit::createCpuBackend(1), bytes);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) const mlit::PluginTable* mlit_backend_init() {
  static mlit::PluginTable table{mlit::kPluginVersion,
                                 MLIT_INTERFACE,
                                 [] { return 2; },
                                 create,
                                 [] { return "the double reaches no other card"; },
                                 nullptr,
                                 nullptr};
  if (told() == "no-table") return nullptr;
  if (told() == "other-version") table.version = mlit::kPluginVersion + 1;
  if (told() == "other-interface") table.interface = "0.0.9 0123456789ab";
  return &table;
}

__attribute__((visibility("default"))) int32_t mlit_backend_score(int32_t device, char* text, size_t capacity) {
  if (told() == "useless" || device == 1) {
    std::snprintf(text, capacity, "card %d is not for us", device);
    return 0;
  }
  std::snprintf(text, capacity, "double of card %d", device);
  return 100;
}

}  // extern "C"
