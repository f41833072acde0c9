// The threads of a pool would only slow a fuzzer down and hide which input did it: one processor, one thread.
#include "fuzz/harness.h"

#include <sched.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace mlit::fuzz {

namespace fs = std::filesystem;

Folder::Folder() {
  std::string pattern = fs::is_directory("/dev/shm") ? "/dev/shm/mlit-fuzz-XXXXXX" : "/tmp/mlit-fuzz-XXXXXX";
  check(mkdtemp(pattern.data()) != nullptr, "no temporary folder could be made");
  path_ = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void Folder::write(const std::string& name, std::string_view bytes) const {
  std::ofstream out(file(name), std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  check(static_cast<bool>(out.flush()), "a temporary file could not be written");
}

std::vector<std::string_view> split(std::string_view input, size_t count) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    const size_t at = input.find(kSeparator);
    if (at == std::string_view::npos) break;
    parts.push_back(input.substr(0, at));
    input.remove_prefix(at + kSeparator.size());
  }
  parts.push_back(input);
  parts.resize(count);
  return parts;
}

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

bool survives(const std::function<void()>& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    check(message.size() >= 16, "an error's message says nothing");
    check(message.size() <= 2048, "an error's message is as long as a hostile file makes it");
    check(error.code() != ErrorCode::kInternal, "a file caused an internal error");
    return false;
  }
}

void readEverything(const TensorSource& source) {
  for (const TensorInfo& tensor : source.tensors()) {
    check(source.find(tensor.name) != nullptr, "a listed tensor cannot be found");
    if (tensor.dtype == DType::kOther) continue;
    const int64_t count = elementCount(tensor.shape);
    const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
    const int64_t rows = count == 0 ? 0 : tensor.shape.size() < 2 ? 1 : count / columns;
    std::vector<float> values(static_cast<size_t>(count));
    source.readRows(tensor, 0, rows / 2, values.data());
    source.readRows(tensor, rows / 2, rows - rows / 2, values.data() + rows / 2 * columns);
  }
}

}  // namespace mlit::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  const int processor = sched_getcpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(processor < 0 ? 0 : processor), &one);
  sched_setaffinity(0, sizeof one, &one);
  return 0;
}
