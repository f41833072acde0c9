// What launches asked for, for a list of it that stands elsewhere.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace mlit::emulation {

// Dynamic shared memory of the latest launch of each name since reset().
const std::map<std::string, size_t>& dynamicBytes();

}  // namespace mlit::emulation
