// The model and the backend behind fuzzers that go further than a file's bytes.
#include "fuzz/tiny.h"

#include "fuzz/harness.h"
#include "test/tiny_model.h"

namespace mlit::fuzz {

std::shared_ptr<Backend> backend() {
  static const std::shared_ptr<Backend> kept = createCpuBackend(1);
  return kept;
}

std::shared_ptr<Model> tinyModel() {
  static const std::shared_ptr<Model> kept = [] {
    const Folder folder;
    const auto [header, data] = test::tinyWeights("llama");
    folder.write("config.json", test::tinyConfig("llama"));
    folder.write("model.safetensors", test::safetensorsOf(header, data));
    return Model::load(folder.path(), backend(), {});
  }();
  return kept;
}

}  // namespace mlit::fuzz
