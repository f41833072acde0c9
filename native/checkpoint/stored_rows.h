// Rows of a tensor that lies in a mapped file: both containers end in the same arithmetic and the same checks.
#pragma once

#include <string>

#include "core/mapped_file.h"
#include "core/tensor.h"

namespace mlit {

// TensorSource::readRows on one file. storedType names the type in messages, for dtype may be kOther.
void readStoredRows(const MappedFile& file, const TensorInfo& tensor, const std::string& storedType, int64_t first,
                    int64_t count, float* out);

// The tensor's bytes, checked to lie within the file.
const uint8_t* storedTensorBytes(const MappedFile& file, const TensorInfo& tensor);

}  // namespace mlit
