// Text files are small: one map, one parse, one atomic write.
#include "checkpoint/json_file.h"

#include <string_view>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"

namespace mlit {

JsonDocument readJsonFile(const std::string& path) {
  const MappedFile file(path);
  JsonDocument document = parseJson({reinterpret_cast<const char*>(file.data()), file.size()}, path);
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
