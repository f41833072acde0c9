// A saved training state: refused, it changes nothing; taken, it is what the next save writes.
#include <cstring>

#include "fuzz/harness.h"
#include "fuzz/tiny.h"
#include "train/session.h"

using namespace mlit;
using namespace mlit::fuzz;

namespace {

std::unique_ptr<TrainSession> newSession() {
  AdapterSpec spec;
  spec.rank = 1;
  spec.targets.fill(false);
  spec.targets[0] = true;
  TrainOptions options;
  options.maxTokens = 8;
  return std::make_unique<TrainSession>(tinyModel(), std::vector{Adapter::create(tinyModel(), spec, 1)}, options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  static const std::unique_ptr<TrainSession> session = newSession();
  const auto parts = split({reinterpret_cast<const char*>(data), size}, 2);
  folder.write("state.safetensors", safetensorsOf(parts[0], parts[1]));
  const std::vector<float> before = session->adapters()[0]->toHost();
  const int64_t steps = session->stepCount(0);
  if (!survives([] { session->loadState(folder.file("state.safetensors")); })) {
    const std::vector<float> after = session->adapters()[0]->toHost();
    check(
        std::memcmp(before.data(), after.data(), before.size() * sizeof(float)) == 0 && session->stepCount(0) == steps,
        "a refused state changed the session");
    return 0;
  }
  const std::vector<float> loaded = session->adapters()[0]->toHost();
  survives([&] {
    session->saveState(folder.file("again.safetensors"));
    session->loadState(folder.file("again.safetensors"));
  });
  const std::vector<float> again = session->adapters()[0]->toHost();
  check(std::memcmp(loaded.data(), again.data(), loaded.size() * sizeof(float)) == 0, "a saved state differs");
  return 0;
}
