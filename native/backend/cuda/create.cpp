#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/cuda_backend.h"

namespace mlit::cuda {

std::unique_ptr<Backend> createCudaBackend(int device, const CublasLt& cublasLt) {
  return std::make_unique<CudaBackend>(device, cublasLtApi(cublasLt.library));
}

}  // namespace mlit::cuda
