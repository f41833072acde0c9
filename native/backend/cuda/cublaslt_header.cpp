// Compiles to nothing: where a toolkit has cublasLt.h, what cublaslt_api.h says of the library must be what the header says.
#if __has_include(<cublasLt.h>)
#include <cublasLt.h>

#include <cstddef>
#include <type_traits>

#include "backend/cuda/cublaslt_api.h"

namespace mlit::cuda {
namespace {

template <class Ours, class Theirs>
constexpr bool same(Ours ours, Theirs theirs) {
  static_assert(sizeof(Ours) == sizeof(Theirs), "passed alike");
  return static_cast<long long>(ours) == static_cast<long long>(theirs);
}

static_assert(same(LtStatus::kSuccess, CUBLAS_STATUS_SUCCESS));
static_assert(same(LtStatus::kNotInitialized, CUBLAS_STATUS_NOT_INITIALIZED));
static_assert(same(LtStatus::kAllocFailed, CUBLAS_STATUS_ALLOC_FAILED));
static_assert(same(LtStatus::kInvalidValue, CUBLAS_STATUS_INVALID_VALUE));
static_assert(same(LtStatus::kArchMismatch, CUBLAS_STATUS_ARCH_MISMATCH));
static_assert(same(LtStatus::kExecutionFailed, CUBLAS_STATUS_EXECUTION_FAILED));
static_assert(same(LtStatus::kNotSupported, CUBLAS_STATUS_NOT_SUPPORTED));
static_assert(same(LtType::kF32, CUDA_R_32F));
static_assert(same(LtType::kBF16, CUDA_R_16BF));
static_assert(same(LtCompute::kF32, CUBLAS_COMPUTE_32F));
static_assert(same(LtOperation::kN, CUBLAS_OP_N));
static_assert(same(LtOperation::kT, CUBLAS_OP_T));
static_assert(same(LtDescAttribute::kTransA, CUBLASLT_MATMUL_DESC_TRANSA));
static_assert(same(LtDescAttribute::kTransB, CUBLASLT_MATMUL_DESC_TRANSB));
static_assert(same(LtLayoutAttribute::kCols, CUBLASLT_MATRIX_LAYOUT_COLS));
static_assert(same(LtLayoutAttribute::kLeadingDimension, CUBLASLT_MATRIX_LAYOUT_LD));
static_assert(same(LtPreferenceAttribute::kMaxWorkspaceBytes, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
static_assert(same(LtPreferenceAttribute::kReductionSchemeMask, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK));
static_assert(same(LtPreferenceAttribute::kMinAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES));
static_assert(same(LtPreferenceAttribute::kMinAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES));
static_assert(same(LtPreferenceAttribute::kMinAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES));
static_assert(same(LtPreferenceAttribute::kMinAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
static_assert(CUBLASLT_REDUCTION_SCHEME_NONE == 0);

static_assert(sizeof(LtAlgorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(LtHeuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(LtHeuristic, workspaceBytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(LtHeuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

// A function of the table takes as many arguments of the same sizes as the header's.
template <class Ours, class Theirs>
struct Alike : std::false_type {};
template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) struct Alike<R (*)(A...), S (*)(B...)> {
  static constexpr bool value =
      ((sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>)&&...) && sizeof(R) == sizeof(S);
};
#define MLIT_ALIKE(ours, theirs) static_assert(Alike<decltype(CublasLtApi::ours), decltype(&theirs)>::value)
MLIT_ALIKE(create, cublasLtCreate);
MLIT_ALIKE(destroy, cublasLtDestroy);
MLIT_ALIKE(getStatusName, cublasLtGetStatusName);
MLIT_ALIKE(matmulDescCreate, cublasLtMatmulDescCreate);
MLIT_ALIKE(matmulDescDestroy, cublasLtMatmulDescDestroy);
MLIT_ALIKE(matmulDescSetAttribute, cublasLtMatmulDescSetAttribute);
MLIT_ALIKE(matrixLayoutCreate, cublasLtMatrixLayoutCreate);
MLIT_ALIKE(matrixLayoutDestroy, cublasLtMatrixLayoutDestroy);
MLIT_ALIKE(matrixLayoutSetAttribute, cublasLtMatrixLayoutSetAttribute);
MLIT_ALIKE(matmulPreferenceCreate, cublasLtMatmulPreferenceCreate);
MLIT_ALIKE(matmulPreferenceDestroy, cublasLtMatmulPreferenceDestroy);
MLIT_ALIKE(matmulPreferenceSetAttribute, cublasLtMatmulPreferenceSetAttribute);
MLIT_ALIKE(matmulAlgoGetHeuristic, cublasLtMatmulAlgoGetHeuristic);
MLIT_ALIKE(matmulAlgoCheck, cublasLtMatmulAlgoCheck);
MLIT_ALIKE(matmul, cublasLtMatmul);
#undef MLIT_ALIKE

}  // namespace
}  // namespace mlit::cuda
#endif
