// Weights' memory and how rows come into it.
#include "backend/cuda/weights.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "backend/cuda/kernels/nf4.h"
#include "backend/cuda/kernels/weights.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

std::string shapeOf(int64_t out, int64_t in) { return "[" + std::to_string(out) + ", " + std::to_string(in) + "]"; }

}  // namespace

std::byte* CudaWeights::Weight::at(int64_t row) const {
  return static_cast<std::byte*>(memory.get()) + row * rowBytes(in, format);
}

float* CudaWeights::Weight::scalesAt(int64_t row) const {
  return reinterpret_cast<float*>(at(0) + matrixBytes(out, in, format)) + row * rowScales(in, format);
}

CudaWeights::CudaWeights(const CublasLtApi& api, void* workspace, const WeightWorkspace& sizes)
    : sizes_(sizes),
      slice_(static_cast<std::byte*>(workspace) + sizes.product),
      in_(slice_ + sizes.slice),
      out_(in_ + sizes.in),
      matmul_(api, workspace, sizes.product) {
  for (Upload& upload : uploads_) upload.pinned = {allocatePinned(uploadBytes()), releasePinned};
}

// As much as comes at a time, through the workspace's `in`.
size_t CudaWeights::uploadBytes() const { return std::min(kUploadBytes, sizes_.in); }

WeightId CudaWeights::createWeight(int64_t out, int64_t in, WeightFormat format, Stream& stream) {
  if (out < 1 || in < 1) {
    throw Error(ErrorCode::kInternal, "a weight must have at least one row and column, got " + shapeOf(out, in));
  }
  auto made = std::make_unique<Weight>();
  made->out = out;
  made->in = in;
  made->ld = paddedRow(in, format);
  made->format = format;
  if (static_cast<size_t>(in) * sizeof(float) > uploadBytes() || sliceRows(*made) == 0) {
    throw Error(ErrorCode::kInternal,
                "a weight of " + shapeOf(out, in) + " is too wide for the CUDA backend's workspace");
  }
  const size_t bytes = weightBytes(out, in, format);
  made->memory = {allocate(bytes), release};
  fill(made->memory.get(), 0, bytes, stream);  // padding for good, rows until they are set
  const auto free = std::find(weights_.begin(), weights_.end(), nullptr);
  const auto index = static_cast<int32_t>(free - weights_.begin());
  if (free == weights_.end()) {
    weights_.push_back(std::move(made));
  } else {
    *free = std::move(made);
  }
  return WeightId{index};
}

void CudaWeights::destroyWeight(WeightId weight) {
  weightAt(weight);
  weights_[static_cast<size_t>(weight.index)].reset();
}

const CudaWeights::Weight& CudaWeights::weightAt(WeightId weight) const {
  const auto index = static_cast<size_t>(weight.index);
  if (!weight || index >= weights_.size() || !weights_[index]) {
    throw Error(ErrorCode::kInternal, "weight " + std::to_string(weight.index) + " does not exist on the CUDA backend");
  }
  return *weights_[index];
}

void CudaWeights::checkRows(const Weight& weight, int64_t firstRow, int64_t count) const {
  if (firstRow < 0 || count < 0 || firstRow > weight.out - count) {
    throw Error(ErrorCode::kInternal, "rows " + std::to_string(firstRow) + ".." + std::to_string(firstRow + count) +
                                          " are outside a weight of " + std::to_string(weight.out) + " rows");
  }
}

void CudaWeights::store(const Weight& w, int64_t firstRow, int64_t count, DevConstF32 rows, Stream& stream) {
  std::byte* const to = w.at(firstRow);
  if (w.format == WeightFormat::kI8Channel) {
    return quantiseRows(rows, count, w.in, reinterpret_cast<int8_t*>(to), w.ld, w.scalesAt(firstRow), stream);
  }
  if (w.format == WeightFormat::kNF4) return quantiseNf4(rows, count, w.in, to, w.scalesAt(firstRow), stream);
  const ElementType type = w.format == WeightFormat::kF32 ? ElementType::kF32 : ElementType::kBF16;
  convertRows(rows, w.in, count, w.in, {DevicePtr<std::byte>(to), type}, w.ld, stream);
}

// Through two pinned buffers by turns: while one is copied, the host fills the other. The host's rows have been read on return, and
// that is all that is waited for.
void CudaWeights::setWeightRows(WeightId id, int64_t firstRow, int64_t count, const float* host, Stream& stream) {
  const Weight& w = weightAt(id);
  checkRows(w, firstRow, count);
  const size_t rowBytes = static_cast<size_t>(w.in) * sizeof(float);
  const auto most = static_cast<int64_t>(uploadBytes() / rowBytes);
  for (int64_t done = 0; done < count; done += most, turn_ = 1 - turn_) {
    const int64_t rows = std::min(most, count - done);
    const size_t bytes = static_cast<size_t>(rows) * rowBytes;
    Upload& upload = uploads_[turn_];
    upload.copied.synchronize();
    std::memcpy(upload.pinned.get(), host + done * w.in, bytes);
    copyToDevice(in_, upload.pinned.get(), bytes, stream);
    upload.copied.record(stream);
    store(w, firstRow + done, rows, DevConstF32(reinterpret_cast<const float*>(in_)), stream);
  }
}

void CudaWeights::refreshWeightRows(WeightId id, int64_t firstRow, int64_t count, DevConstF32 rows, Stream& stream) {
  const Weight& w = weightAt(id);
  checkRows(w, firstRow, count);
  store(w, firstRow, count, rows, stream);
}

void CudaWeights::gatherWeightRows(WeightId id, DevConstI32 ids, int64_t n, float scale, DevF32 out, Stream& stream) {
  const Weight& w = weightAt(id);
  gatherRowsOf(w.format, w.at(0), w.ld, isQuantised(w.format) ? w.scalesAt(0) : nullptr, w.in, ids, n, scale, out,
               stream);
}

}  // namespace mlit::cuda
