// A row is found by arithmetic alone, so everything that the arithmetic trusts is checked here once more.
#include "checkpoint/stored_rows.h"

#include <algorithm>
#include <vector>

#include "checkpoint/dequant.h"
#include "core/file_error.h"

namespace mlit {

namespace {

constexpr uint64_t kPieceBytes = 256 * 1024;

void checkWithin(const InputFile& file, const TensorInfo& tensor) {
  if (tensor.offset > file.size() || tensor.bytes > file.size() - tensor.offset)
    throw Error(
        ErrorCode::kInvalidArgument,
        "Tensor " + printable(tensor.name) + " does not lie in " + file.path() + ": pass a tensor of this source.",
        {{"file", file.path()}, {"tensor", printable(tensor.name)}});
}

}  // namespace

void readStoredRows(const InputFile& file, const TensorInfo& tensor, const std::string& storedType, int64_t first,
                    int64_t count, float* out) {
  const std::string name = printable(tensor.name);
  if (tensor.dtype == DType::kOther)
    throw Error(ErrorCode::kModelUnsupported,
                file.path() + ": tensor " + name + " is stored as " + storedType +
                    ", which this build cannot read. Convert the model to F32, F16 or BF16.",
                {{"file", file.path()}, {"tensor", name}, {"actual", storedType}});
  const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
  const int64_t rows = columns == 0 ? 0 : tensor.shape.size() < 2 ? 1 : elementCount(tensor.shape) / columns;
  if (first < 0 || count < 0 || first > rows || count > rows - first)
    throw Error(ErrorCode::kInvalidArgument,
                "Rows " + std::to_string(first) + " to " + std::to_string(first) + " + " + std::to_string(count) +
                    " of tensor " + name + " were asked for, but it has " + std::to_string(rows) + ".",
                {{"file", file.path()},
                 {"tensor", name},
                 {"expected", "0 to " + std::to_string(rows)},
                 {"actual", std::to_string(first) + " + " + std::to_string(count)}});
  const BlockShape block = blockShape(tensor.dtype);
  const uint64_t rowBytes = static_cast<uint64_t>(columns / block.elements) * static_cast<uint64_t>(block.bytes);
  checkWithin(file, tensor);
  if (count == 0) return;
  if (columns % block.elements != 0 || static_cast<uint64_t>(rows) * rowBytes != tensor.bytes)
    throw Error(ErrorCode::kInvalidArgument,
                "Tensor " + name + " claims " + std::to_string(tensor.bytes) + " bytes for the shape " +
                    shapeText(tensor.shape) + ": pass a tensor of this source.",
                {{"file", file.path()}, {"tensor", name}});
  // Piece by piece: the stored form of a tensor of many gigabytes need not lie in memory beside the other.
  const int64_t rowsAtOnce = std::max<int64_t>(1, static_cast<int64_t>(kPieceBytes / std::max<uint64_t>(1, rowBytes)));
  std::vector<uint8_t> piece(static_cast<size_t>(std::min(rowsAtOnce, count)) * rowBytes);
  for (int64_t done = 0; done < count; done += rowsAtOnce) {
    const int64_t now = std::min(rowsAtOnce, count - done);
    file.read(tensor.offset + static_cast<uint64_t>(first + done) * rowBytes, static_cast<size_t>(now) * rowBytes,
              piece.data());
    dequantize(tensor.dtype, piece.data(), now * columns, out + done * columns);
  }
}

}  // namespace mlit
