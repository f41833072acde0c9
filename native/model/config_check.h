// Errors and checks common to the readers of GGUF metadata and of config.json; internal to model/.
#pragma once

#include <string>

#include "model/config.h"

namespace mlit {

// kModelUnsupported, naming the architecture found and those that are known.
[[noreturn]] void refuseArchitecture(const std::string& file, const std::string& found, const std::string& supported);
// kModelUnsupported, naming an option of the model that this build does not compute.
[[noreturn]] void refuseOption(const std::string& file, const std::string& option, const std::string& value,
                               const std::string& expected);
// kFileDamaged, naming a key whose value cannot be.
[[noreturn]] void damagedKey(const std::string& file, const std::string& key, const std::string& value,
                             const std::string& expected);

int32_t checkedSize(const std::string& file, const std::string& key, int64_t value);  // 1 … 2³⁰
// A token id; -1, which checkConfig drops, for a number that can be none.
inline int32_t idOf(int64_t value) {
  return value >= 0 && value < (int64_t{1} << 31) ? static_cast<int32_t>(value) : -1;
}
RopeSpec::Scaling ropeScaling(const std::string& file, const std::string& option, const std::string& type);
// Layers pattern - 1, 2 · pattern - 1, … are global, all others local.
void everySixthGlobal(ModelConfig& config, int64_t pattern = 6);
// The sizes that memory is taken by, far above those of any model there is and small enough that no product of two overflows;
// called before anything is made by them.
void checkSizes(const std::string& file, const ModelConfig& config);
// The relations between fields; fills layerIsLocal where no layer is local and drops impossible end-of-sequence ids.
void checkConfig(const std::string& file, ModelConfig& config);

}  // namespace mlit
