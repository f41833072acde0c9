// GGUF: metadata of every type through every accessor, the tensor table, and rows of every stored format.
#include "checkpoint/gguf.h"

#include "fuzz/harness.h"

using namespace mlit;
using namespace mlit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  folder.write("a.gguf", {reinterpret_cast<const char*>(data), size});
  survives([] {
    const auto file = openGguf(folder.file("a.gguf"));
    for (const auto& [key, value] : file->metadata()) {
      check(file->has(key), "a listed key cannot be found");
      const std::string& name = key;
      survives([&] { file->text(name); });
      survives([&] { file->integer(name); });
      survives([&] { file->number(name); });
    }
    readEverything(*file);
  });
  return 0;
}
