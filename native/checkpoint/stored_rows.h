// Rows of a tensor that lies in an open file: both containers end in the same arithmetic and the same checks.
#pragma once

#include <string>

#include "core/input_file.h"
#include "core/tensor.h"

namespace mlit {

// TensorSource::readRows on one file. storedType names the type in messages, for dtype may be kOther.
void readStoredRows(const InputFile& file, const TensorInfo& tensor, const std::string& storedType, int64_t first,
                    int64_t count, float* out);

}  // namespace mlit
