// safetensors: a raw file, a header's text with data, or a folder with an index and two shards; the first byte chooses.
#include "checkpoint/safetensors.h"

#include "fuzz/harness.h"

using namespace mlit;
using namespace mlit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder, sharded;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 2) {
    const auto parts = split(input, 5);
    sharded.write("model.safetensors.index.json", parts[0]);
    sharded.write("a.safetensors", safetensorsOf(parts[1], parts[2]));
    sharded.write("b.safetensors", safetensorsOf(parts[3], parts[4]));
    survives([] { readEverything(*openSafetensors(sharded.path())); });
    return 0;
  }
  const auto parts = split(input, 2);
  const std::string bytes = data[0] % 3 == 0 ? std::string(input) : safetensorsOf(parts[0], parts[1]);
  folder.write("a.safetensors", bytes);
  const std::string path = folder.file("a.safetensors");
  const bool opened = survives([&] { readEverything(*openSafetensors(path)); });
  const bool described = survives([&] { safetensorsMetadata(path); });
  check(described || !opened, "a file opens, but its metadata do not");
  if (!opened) return 0;
  // What was read can be written, and is then read as the same.
  survives([&] {
    const auto source = openSafetensors(path);
    std::vector<TensorToWrite> tensors;
    for (const TensorInfo& tensor : source->tensors()) {
      if (tensor.dtype == DType::kOther) return;
      tensors.push_back({tensor.name, tensor.dtype, tensor.shape, bytes.data() + tensor.offset});
    }
    const std::string copy = folder.file("copy.safetensors");
    writeSafetensors(copy, tensors, safetensorsMetadata(path));
    const auto again = openSafetensors(copy);
    check(again->tensors().size() == tensors.size(), "a copy has another number of tensors");
    for (const TensorToWrite& tensor : tensors)
      check(again->find(tensor.name) && again->find(tensor.name)->shape == tensor.shape, "a copy differs");
  });
  return 0;
}
