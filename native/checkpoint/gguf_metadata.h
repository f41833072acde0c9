// Reading one typed metadata value of a GGUF file.
#pragma once

#include <string>

#include "checkpoint/byte_reader.h"
#include "checkpoint/gguf.h"

namespace mlit {

// Reads type and value at the cursor. Integers widen to 64 bits (arrays: to 32 where the stored type always fits,
// else 64), floats of single values to double. Throws kFileDamaged naming key and offset.
GgufValue readGgufValue(ByteReader& reader, const std::string& key);

// "an integer array" and the like, for messages.
std::string ggufValueKind(const GgufValue& value);

}  // namespace mlit
