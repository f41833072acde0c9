// Ops on rows, the loss and the optimiser: each is one launcher.
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/kernels/gradients.h"
#include "backend/cuda/kernels/loss.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/optimizer.h"
#include "backend/cuda/kernels/rope.h"

namespace mlit::cuda {

void CudaBackend::rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows,
                                        DevConstF32 invRms, DevF32 dWeight) {
  const size_t bytes = columnSumsWorkspaceBytes(xRows.rows * xRows.heads, xRows.dim);
  cuda::rmsNormWeightGradient(dy, lddy, x, xRows, invRms, dWeight, workspace(bytes), bytes, next());
}

void CudaBackend::biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) {
  const size_t bytes = columnSumsWorkspaceBytes(rows, n);
  cuda::biasGradient(dy, lddy, rows, n, dBias, workspace(bytes), bytes, next());
}

void CudaBackend::gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) {
  cuda::gatherGradient(dy, ids, n, d, scale, dTable, next());
}

void CudaBackend::rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                                 DevConstF32 addTo, DevF32 invRms) {
  cuda::rmsNormForward(x, xRows, weight, eps, y, ldy, addTo, invRms, next());
}

void CudaBackend::rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                                  DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) {
  cuda::rmsNormBackward(dy, lddy, x, xRows, weight, invRms, dx, lddx, accumulate, next());
}

void CudaBackend::rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) {
  cuda::rope(x, rows, positions, table, direction, next());
}

void CudaBackend::gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) {
  cuda::gatedForward(act, gateUp, rows, f, h, next());
}

void CudaBackend::gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh,
                                DevReal h) {
  cuda::gatedBackward(act, gateUp, rows, f, dh, h, next());
}

void CudaBackend::add(DevF32 y, DevConstReal x, int64_t n) { cuda::add(y, x, n, next()); }

void CudaBackend::addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) {
  cuda::addToRows(y, ldy, rows, x, n, next());
}

void CudaBackend::scale(DevF32 y, float factor, int64_t n) { cuda::scale(y, factor, n, next()); }

void CudaBackend::gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) {
  cuda::gatherRows(x, ldx, rows, n, d, out, next());
}

void CudaBackend::scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                              bool accumulate) {
  cuda::scatterRows(in, rows, n, d, x, ldx, accumulate, next());
}

void CudaBackend::crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                               DevF32 logprobs) {
  cuda::crossEntropy(logits, n, vocabulary, targets, weights, logprobs, next());
}

void CudaBackend::sumSquares(DevConstF32 x, int64_t n, DevF32 out) {
  const size_t bytes = sumSquaresWorkspaceBytes(n);
  cuda::sumSquares(x, n, out, workspace(bytes), bytes, next());
}

void CudaBackend::adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
                        const AdamWParams& params) {
  cuda::adamW(parameters, gradients, m, v, n, sumSquares, params, next());
}

}  // namespace mlit::cuda
