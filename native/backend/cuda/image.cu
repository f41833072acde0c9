// The runtime's own word on whether this library holds code for a card: the architectures' names may agree and the driver refuse all
// the same (PTX newer than it knows, a card held exclusively by another process).
#include <cuda_runtime.h>

#include <string>

#include "backend/cuda/cuda_backend.h"

namespace mlit::cuda {
namespace {

__global__ void anyKernel() {}

}  // namespace

std::string imageReason(int device) {
  cudaFuncAttributes attributes;
  cudaError_t code = cudaSetDevice(device);
  if (code == cudaSuccess) code = cudaFuncGetAttributes(&attributes, anyKernel);
  if (code == cudaSuccess) return "";
  return std::string(cudaGetErrorName(code)) + ": " + cudaGetErrorString(code);
}

}  // namespace mlit::cuda
