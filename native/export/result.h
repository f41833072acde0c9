// What an export tells when it is done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlit {

struct ExportResult {
  std::vector<std::string> files;  // names below the folder, or the one file's path
  uint64_t bytes = 0;              // of all tensors
  bool untied = false;             // the head became a matrix of its own, because the adapter changes it
};

}  // namespace mlit
