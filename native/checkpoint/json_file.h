// Small JSON files beside a checkpoint (config.json, adapter_config.json): read whole, and written so that a crash
// leaves either the old file or the new one.
#pragma once

#include <string>

#include "core/json.h"

namespace mlit {

// kFileNotFound, kFileIo; kFileDamaged where it is not a JSON object, with the byte at which parsing stopped.
JsonDocument readJsonFile(const std::string& path);

// Temporary name, write, fsync, rename, fsync of the folder. kFileIo names the step that failed.
void writeTextFile(const std::string& path, const std::string& text);

}  // namespace mlit
