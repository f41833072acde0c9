// Products: the base's through cuBLASLt, then what adapters add by kernels of our own.
#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/kernels/lora.h"
#include "backend/cuda/kernels/weight_gradient.h"

namespace mlit::cuda {

namespace {

size_t loraBytes(std::span<const LoraGroup> groups) {
  int64_t segments = 0;
  for (const LoraGroup& group : groups) segments += static_cast<int64_t>(group.segments.size());
  return static_cast<size_t>(loraWorkspaceBytes(static_cast<int64_t>(groups.size()), segments));
}

}  // namespace

size_t CudaBackend::weightBytes(int64_t out, int64_t in, WeightFormat format) const {
  return cuda::weightBytes(out, in, format);
}

WeightId CudaBackend::createWeight(int64_t out, int64_t in, WeightFormat format) {
  return weights_.createWeight(out, in, format, next());
}

void CudaBackend::setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) {
  weights_.setWeightRows(weight, firstRow, count, host, next());
}

void CudaBackend::refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) {
  weights_.refreshWeightRows(weight, firstRow, count, rows, next());
}

void CudaBackend::destroyWeight(WeightId weight) {
  on_.hereIfAlive();
  weights_.destroyWeight(weight);
}

void CudaBackend::gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) {
  weights_.gatherWeightRows(weight, ids, n, scale, out, next());
}

void CudaBackend::linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                                std::span<const LoraGroup> groups, DevReal p) {
  if (rows == 0) return;
  weights_.forward(weight, x, ldx, rows, y, ldy, next());
  addAdapters(weight, x, ldx, rows, y, ldy, groups, p);
}

void CudaBackend::linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                               std::span<const LoraGroup> groups, DevReal p) {
  if (rows == 0) return;
  weights_.sample(weight, x, ldx, rows, y, ldy, next());
  addAdapters(weight, x, ldx, rows, y, ldy, groups, p);
}

void CudaBackend::addAdapters(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                              std::span<const LoraGroup> groups, DevReal p) {
  if (groups.empty()) return;
  const size_t bytes = loraBytes(groups);
  loraForward(x, ldx, rows, weights_.columns(weight), y, ldy, groups, p, workspace(bytes), static_cast<int64_t>(bytes),
              staging_, next());
}

void CudaBackend::linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy,
                                 int64_t lddy, DevReal dx, int64_t lddx, bool accumulate,
                                 std::span<const LoraGroup> groups, DevReal p, DevReal u) {
  if (rows == 0) return;
  if (dx) weights_.backward(weight, dy, lddy, rows, dx, lddx, accumulate, next());
  if (groups.empty()) return;
  const size_t bytes = loraBytes(groups);
  loraBackward(x, ldx, rows, weights_.columns(weight), dy, lddy, dx, lddx, groups, p, u, workspace(bytes),
               static_cast<int64_t>(bytes), staging_, next());
}

void CudaBackend::weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out,
                                 int64_t in, DevF32 dW) {
  const int64_t bytes = weightGradientWorkspaceBytes();
  cuda::weightGradient(x, ldx, rows, dy, lddy, out, in, dW, workspace(static_cast<size_t>(bytes)), bytes, next());
}

}  // namespace mlit::cuda
