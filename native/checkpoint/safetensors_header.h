// The JSON header of one safetensors file, checked as strictly as the format's own library does.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/input_file.h"
#include "core/tensor.h"

namespace mlit {

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;       // in the order of their data
  std::vector<std::string> storedTypes;  // of the same tensor, as the file spells it
  std::map<std::string, std::string> metadata;
};

// Throws kFileDamaged naming file, tensor and what is wrong; kModelUnsupported for an unknown dtype.
SafetensorsHeader readSafetensorsHeader(const InputFile& file, int fileIndex);

}  // namespace mlit
