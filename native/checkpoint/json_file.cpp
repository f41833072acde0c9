// Text files are small: one read, one parse, one atomic write.
#include "checkpoint/json_file.h"

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/input_file.h"
#include "core/json.h"

namespace mlit {

JsonDocument readJsonFile(const std::string& path) {
  const InputFile file(path);
  JsonDocument document = parseJson(file.text(0, file.size()), path);
  if (!document.root().is_object()) {
    throw Error(ErrorCode::kFileDamaged, path + " must hold a JSON object", {{"file", path}});
  }
  return document;
}

void writeTextFile(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace mlit
