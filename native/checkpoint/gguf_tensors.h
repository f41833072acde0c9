// The tensor table of a GGUF file.
#pragma once

#include <vector>

#include "checkpoint/byte_reader.h"
#include "core/tensor.h"

namespace mlit {

// Reads count entries at the cursor and places their data after it, aligned. Throws kFileDamaged naming the tensor when
// an entry is impossible, data overlap or end after the file; kModelUnsupported for a type that cannot be read.
std::vector<TensorInfo> readGgufTensors(ByteReader& reader, uint64_t count, uint64_t alignment, uint64_t fileBytes);

}  // namespace mlit
