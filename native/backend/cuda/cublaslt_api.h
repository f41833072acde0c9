// What of cuBLASLt is called, declared here so that the plug-in builds without cublasLt.h and loads without the library. Names in
// comments are the header's; its numbers and types are the same in releases 12 and 13, and cublaslt_header.cpp holds them to the
// header where a toolkit has it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlit::cuda {

enum class LtStatus : int {  // cublasStatus_t
  kSuccess = 0,
  kNotInitialized = 1,
  kAllocFailed = 3,
  kInvalidValue = 7,
  kArchMismatch = 8,
  kExecutionFailed = 13,
  kNotSupported = 15,
};
enum class LtType : int { kF32 = 0, kBF16 = 14 };  // CUDA_R_32F, CUDA_R_16BF
enum class LtCompute : int { kF32 = 68 };          // CUBLAS_COMPUTE_32F: no TF32, sums in float32
enum class LtOperation : int32_t { kN = 0, kT = 1 };
enum class LtDescAttribute : int { kTransA = 3, kTransB = 4 };            // CUBLASLT_MATMUL_DESC_*, int32_t
enum class LtLayoutAttribute : int { kCols = 3, kLeadingDimension = 4 };  // CUBLASLT_MATRIX_LAYOUT_*, 64 bits
enum class LtPreferenceAttribute : int {                                  // CUBLASLT_MATMUL_PREF_*
  kMaxWorkspaceBytes = 1,                                                 // uint64_t
  kReductionSchemeMask = 3,  // uint32_t: 0 = CUBLASLT_REDUCTION_SCHEME_NONE alone, "in one sequence"
  kMinAlignmentA = 5,        // uint32_t, as the next three: bytes, 256 where it is not said
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8,
};

struct LtHandle;
struct LtMatmulDesc;
struct LtLayout;  // column-major
struct LtPreference;

struct LtAlgorithm {  // cublasLtMatmulAlgo_t: may be copied and kept
  uint64_t data[8];
};
struct LtHeuristic {  // cublasLtMatmulHeuristicResult_t
  LtAlgorithm algorithm;
  size_t workspaceBytes;
  LtStatus state;
  float waves;
  int reserved[4];
};

// One pointer a function, each cublasLt and its name here.
struct CublasLtApi {
  LtStatus (*create)(LtHandle** handle);
  LtStatus (*destroy)(LtHandle* handle);
  const char* (*getStatusName)(LtStatus status);
  LtStatus (*matmulDescCreate)(LtMatmulDesc** desc, LtCompute compute, LtType scale);
  LtStatus (*matmulDescDestroy)(LtMatmulDesc* desc);
  LtStatus (*matmulDescSetAttribute)(LtMatmulDesc* desc, LtDescAttribute name, const void* value, size_t bytes);
  LtStatus (*matrixLayoutCreate)(LtLayout** layout, LtType type, uint64_t rows, uint64_t cols, int64_t ld);
  LtStatus (*matrixLayoutDestroy)(LtLayout* layout);
  LtStatus (*matrixLayoutSetAttribute)(LtLayout* layout, LtLayoutAttribute name, const void* value, size_t bytes);
  LtStatus (*matmulPreferenceCreate)(LtPreference** preference);
  LtStatus (*matmulPreferenceDestroy)(LtPreference* preference);
  LtStatus (*matmulPreferenceSetAttribute)(LtPreference* preference, LtPreferenceAttribute name, const void* value,
                                           size_t bytes);
  LtStatus (*matmulAlgoGetHeuristic)(LtHandle* handle, LtMatmulDesc* desc, LtLayout* a, LtLayout* b, LtLayout* c,
                                     LtLayout* d, LtPreference* preference, int wanted, LtHeuristic* results,
                                     int* count);
  LtStatus (*matmulAlgoCheck)(LtHandle* handle, LtMatmulDesc* desc, LtLayout* a, LtLayout* b, LtLayout* c, LtLayout* d,
                              const LtAlgorithm* algorithm, LtHeuristic* result);
  LtStatus (*matmul)(LtHandle* handle, LtMatmulDesc* desc, const void* alpha, const void* a, LtLayout* aLayout,
                     const void* b, LtLayout* bLayout, const void* beta, const void* c, LtLayout* cLayout, void* d,
                     LtLayout* dLayout, const LtAlgorithm* algorithm, void* workspace, size_t workspaceBytes,
                     void* stream);
};

// The functions of a library that openCublasLt() found. Throws kDeviceUnavailable with the name of one that is missing.
CublasLtApi cublasLtApi(void* library);

}  // namespace mlit::cuda
