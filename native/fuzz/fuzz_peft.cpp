// A PEFT folder on a tiny model: adapter_config.json, then header and data of adapter_model.safetensors.
#include <cstring>

#include "checkpoint/peft.h"
#include "fuzz/harness.h"
#include "fuzz/tiny.h"
#include "model/adapter.h"

using namespace mlit;
using namespace mlit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder, copy;
  const auto parts = split({reinterpret_cast<const char*>(data), size}, 3);
  folder.write(kPeftConfigFile, parts[0]);
  folder.write(kPeftTensorFile, safetensorsOf(parts[1], parts[2]));
  survives([] { readPeftConfig(folder.path()); });
  survives([] {
    const auto adapter = Adapter::load(tinyModel(), folder.path());
    const std::vector<float> values = adapter->toHost();
    adapter->save(copy.path(), readPeftConfig(folder.path()).baseModel);
    const std::vector<float> again = Adapter::load(tinyModel(), copy.path())->toHost();
    check(values.size() == again.size() && std::memcmp(values.data(), again.data(), values.size() * sizeof(float)) == 0,
          "a saved adapter differs from what was loaded");
  });
  return 0;
}
