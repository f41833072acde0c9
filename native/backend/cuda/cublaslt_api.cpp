// The table of cuBLASLt's functions, from the names that the library exports.
#include "backend/cuda/cublaslt_api.h"

#include <dlfcn.h>

#include <string>

#include "core/error.h"

namespace mlit::cuda {
namespace {

template <class F>
void find(void* library, const char* name, F*& to) {
  to = reinterpret_cast<F*>(dlsym(library, name));
  if (to != nullptr) return;
  throw Error(ErrorCode::kDeviceUnavailable,
              std::string("the cuBLASLt that was found has no ") + name + ": install cuBLAS of CUDA 12 or 13",
              {{"symbol", name}});
}

}  // namespace

CublasLtApi cublasLtApi(void* library) {
  CublasLtApi api{};
  find(library, "cublasLtCreate", api.create);
  find(library, "cublasLtDestroy", api.destroy);
  find(library, "cublasLtGetStatusName", api.getStatusName);
  find(library, "cublasLtMatmulDescCreate", api.matmulDescCreate);
  find(library, "cublasLtMatmulDescDestroy", api.matmulDescDestroy);
  find(library, "cublasLtMatmulDescSetAttribute", api.matmulDescSetAttribute);
  find(library, "cublasLtMatrixLayoutCreate", api.matrixLayoutCreate);
  find(library, "cublasLtMatrixLayoutDestroy", api.matrixLayoutDestroy);
  find(library, "cublasLtMatrixLayoutSetAttribute", api.matrixLayoutSetAttribute);
  find(library, "cublasLtMatmulPreferenceCreate", api.matmulPreferenceCreate);
  find(library, "cublasLtMatmulPreferenceDestroy", api.matmulPreferenceDestroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", api.matmulPreferenceSetAttribute);
  find(library, "cublasLtMatmulAlgoGetHeuristic", api.matmulAlgoGetHeuristic);
  find(library, "cublasLtMatmulAlgoCheck", api.matmulAlgoCheck);
  find(library, "cublasLtMatmul", api.matmul);
  return api;
}

}  // namespace mlit::cuda
