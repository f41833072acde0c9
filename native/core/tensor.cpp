// Names and arithmetic of dtypes and shapes; every product is checked, for shapes come from files.
#include "core/tensor.h"

#include "core/error.h"

namespace mlit {

const char* dtypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kQ8_0:
      return "Q8_0";
    case DType::kQ4_0:
      return "Q4_0";
    case DType::kQ4_1:
      return "Q4_1";
    case DType::kQ5_0:
      return "Q5_0";
    case DType::kQ5_1:
      return "Q5_1";
    case DType::kQ4_K:
      return "Q4_K";
    case DType::kQ5_K:
      return "Q5_K";
    case DType::kQ6_K:
      return "Q6_K";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kU8:
      return "U8";
    case DType::kOther:
      return "other";
  }
  return "other";
}

std::string shapeText(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) text += ", ";
    if (i == 8) return text + "… " + std::to_string(shape.size()) + " sizes]";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::optional<int64_t> checkedElementCount(const Shape& shape) {
  bool zero = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    zero = zero || size == 0;
  }
  if (zero) return 0;
  int64_t count = 1;
  for (const int64_t size : shape)
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  return count;
}

int64_t elementCount(const Shape& shape) {
  const std::optional<int64_t> count = checkedElementCount(shape);
  if (!count)
    throw Error(ErrorCode::kInvalidArgument,
                "The shape " + shapeText(shape) +
                    " is impossible: sizes must not be negative and their product must fit 63 bits.",
                {{"actual", shapeText(shape)}});
  return *count;
}

}  // namespace mlit
