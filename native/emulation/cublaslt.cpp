// The emulated cuBLASLt's functions: which calls it takes.
#include "emulation/cublaslt.h"

#include <cstring>
#include <memory>
#include <optional>

#include "emulation/cublaslt_objects.h"
#include "emulation/streams.h"

namespace mlit::emulation {
namespace {

using namespace cuda;  // NOLINT: the types of the interface
using Object = LibraryObject;
using ObjectKind = LibraryObject::Kind;

// Counts the call; not kSuccess where a test has ordered it to fail.
LtStatus enter() {
  const std::string error = libraryCall();
  if (error.empty()) return LtStatus::kSuccess;
  return error == "cudaErrorMemoryAllocation" ? LtStatus::kAllocFailed : LtStatus::kExecutionFailed;
}

LtStatus misuse(const char* call, const std::string& what, LtStatus status = LtStatus::kInvalidValue) {
  reportMisuse(call, what);
  return status;
}

// Null with a finding where it is none, or one of another kind, or destroyed.
template <class T>
Object* object(T* handle, ObjectKind kind, const char* call) {
  const auto found = machine.libraryObjects.find(handle);
  if (found != machine.libraryObjects.end() && found->second->kind == kind) return found->second.get();
  reportMisuse(call, "an object that was never made or is destroyed");
  return nullptr;
}

template <class T>
LtStatus make(T** to, Object made) {
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  auto owned = std::make_shared<Object>(made);
  *to = reinterpret_cast<T*>(owned.get());
  machine.libraryObjects.emplace(*to, std::move(owned));
  return LtStatus::kSuccess;
}

template <class T>
LtStatus destroy(T* handle, ObjectKind kind, const char* call) {
  if (handle == nullptr) return LtStatus::kSuccess;
  if (!object(handle, kind, call)) return LtStatus::kInvalidValue;
  machine.libraryObjects.erase(handle);
  return LtStatus::kSuccess;
}

// An attribute of exactly this type.
template <class T>
std::optional<T> valueOf(const void* value, size_t bytes, const char* call) {
  T read{};
  if (value == nullptr || bytes != sizeof(T)) {
    reportMisuse(call, "an attribute of " + std::to_string(bytes) + " bytes for " + std::to_string(sizeof(T)));
    return std::nullopt;
  }
  std::memcpy(&read, value, sizeof read);
  return read;
}

LtStatus createHandle(LtHandle** handle) { return make(handle, {.kind = ObjectKind::kHandle}); }
LtStatus destroyHandle(LtHandle* handle) { return destroy(handle, ObjectKind::kHandle, "cublasLtDestroy"); }

const char* statusName(LtStatus status) {
  switch (status) {
    case LtStatus::kSuccess:
      return "CUBLAS_STATUS_SUCCESS";
    case LtStatus::kNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case LtStatus::kAllocFailed:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case LtStatus::kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case LtStatus::kArchMismatch:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case LtStatus::kExecutionFailed:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case LtStatus::kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "?";
}

LtStatus createDesc(LtMatmulDesc** desc, LtCompute compute, LtType scale) {
  if (compute != LtCompute::kF32 || scale != LtType::kF32) {
    return misuse("cublasLtMatmulDescCreate", "not CUBLAS_COMPUTE_32F with a float32 scale");
  }
  return make(desc, {.kind = ObjectKind::kDesc});
}
LtStatus destroyDesc(LtMatmulDesc* desc) { return destroy(desc, ObjectKind::kDesc, "cublasLtMatmulDescDestroy"); }
LtStatus setDesc(LtMatmulDesc* desc, LtDescAttribute name, const void* value, size_t bytes) {
  const char* const call = "cublasLtMatmulDescSetAttribute";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  Object* const of = object(desc, ObjectKind::kDesc, call);
  const auto operation = valueOf<LtOperation>(value, bytes, call);
  if (!of || !operation) return LtStatus::kInvalidValue;
  (name == LtDescAttribute::kTransA ? of->transposedA : of->transposedB) = *operation == LtOperation::kT;
  return LtStatus::kSuccess;
}

LtStatus createLayout(LtLayout** layout, LtType type, uint64_t rows, uint64_t cols, int64_t ld) {
  return make(layout, {.kind = ObjectKind::kLayout,
                       .type = type,
                       .rows = static_cast<int64_t>(rows),
                       .cols = static_cast<int64_t>(cols),
                       .ld = ld});
}
LtStatus destroyLayout(LtLayout* layout) { return destroy(layout, ObjectKind::kLayout, "cublasLtMatrixLayoutDestroy"); }
LtStatus setLayout(LtLayout* layout, LtLayoutAttribute name, const void* value, size_t bytes) {
  const char* const call = "cublasLtMatrixLayoutSetAttribute";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  Object* const of = object(layout, ObjectKind::kLayout, call);
  const auto number = valueOf<int64_t>(value, bytes, call);
  if (!of || !number) return LtStatus::kInvalidValue;
  (name == LtLayoutAttribute::kCols ? of->cols : of->ld) = *number;
  return LtStatus::kSuccess;
}

LtStatus createPreference(LtPreference** preference) { return make(preference, {.kind = ObjectKind::kPreference}); }
LtStatus destroyPreference(LtPreference* preference) {
  return destroy(preference, ObjectKind::kPreference, "cublasLtMatmulPreferenceDestroy");
}
LtStatus setPreference(LtPreference* preference, LtPreferenceAttribute name, const void* value, size_t bytes) {
  const char* const call = "cublasLtMatmulPreferenceSetAttribute";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  Object* const of = object(preference, ObjectKind::kPreference, call);
  if (!of) return LtStatus::kInvalidValue;
  if (name == LtPreferenceAttribute::kMaxWorkspaceBytes) {
    const auto most = valueOf<uint64_t>(value, bytes, call);
    if (most) of->workspaceBytes = *most;
    return most ? LtStatus::kSuccess : LtStatus::kInvalidValue;
  }
  const auto number = valueOf<uint32_t>(value, bytes, call);
  if (!number) return LtStatus::kInvalidValue;
  if (name == LtPreferenceAttribute::kReductionSchemeMask) {
    of->reductionSchemes = *number;
  } else {
    of->alignments[static_cast<int>(name) - static_cast<int>(LtPreferenceAttribute::kMinAlignmentA)] = *number;
  }
  return LtStatus::kSuccess;
}

// The layouts as one problem; nothing, with a finding, where they are none that COMPUTE_32F takes.
std::optional<Problem> problemOf(LtHandle* handle, LtMatmulDesc* desc, LtLayout* a, LtLayout* b, LtLayout* c,
                                 LtLayout* d, const char* call) {
  if (!object(handle, ObjectKind::kHandle, call)) return std::nullopt;
  const Object *const of = object(desc, ObjectKind::kDesc, call), *const la = object(a, ObjectKind::kLayout, call),
                      *const lb = object(b, ObjectKind::kLayout, call),
                      *const lc = object(c, ObjectKind::kLayout, call),
                      *const ld = object(d, ObjectKind::kLayout, call);
  if (!of || !la || !lb || !lc || !ld) return std::nullopt;
  const auto wrong = [&](const std::string& what) -> std::optional<Problem> {
    reportMisuse(call, what);
    return std::nullopt;
  };
  if (of->transposedB) return wrong("a transposed B, which this library does not emulate");
  for (const Object* layout : {la, lb, lc, ld}) {
    if (layout->rows < 1 || layout->cols < 1) return wrong("an empty matrix");
    if (layout->ld < layout->rows) return wrong("a leading dimension that is less than the rows");
  }
  const int64_t m = of->transposedA ? la->cols : la->rows, k = of->transposedA ? la->rows : la->cols;
  if (lb->rows != k || ld->rows != m || ld->cols != lb->cols) return wrong("matrices whose sizes don't fit");
  if (lc->rows != ld->rows || lc->cols != ld->cols || lc->type != ld->type || lc->ld != ld->ld) {
    return wrong("a C that does not lie as D");
  }
  if (la->type != lb->type || (la->type == LtType::kF32 && ld->type != LtType::kF32)) {
    return wrong("types that CUBLAS_COMPUTE_32F does not take together");
  }
  return Problem{m, ld->cols, k, of->transposedA, *la, *lb, *ld};
}

std::optional<Algorithm> algorithmOf(const LtAlgorithm* algorithm, const Problem& p, const char* call) {
  Algorithm read{};
  if (algorithm == nullptr) {
    reportMisuse(call, "no algorithm: the library would choose one by the number of rows");
    return std::nullopt;
  }
  std::memcpy(&read, algorithm, sizeof read);
  if (read.m != p.m || read.k != p.k || read.transposed != p.transposed || read.in != static_cast<uint8_t>(p.a.type) ||
      read.out != static_cast<uint8_t>(p.d.type)) {
    reportMisuse(call, "an algorithm of another problem");
    return std::nullopt;
  }
  return read;
}

LtStatus getHeuristic(LtHandle* handle, LtMatmulDesc* desc, LtLayout* a, LtLayout* b, LtLayout* c, LtLayout* d,
                      LtPreference* preference, int wanted, LtHeuristic* results, int* count) {
  const char* const call = "cublasLtMatmulAlgoGetHeuristic";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  const auto problem = problemOf(handle, desc, a, b, c, d, call);
  const Object* const prefer = object(preference, ObjectKind::kPreference, call);
  if (!problem || !prefer || wanted < 1 || !results || !count) return LtStatus::kInvalidValue;
  *count = 0;
  for (const Algorithm& algorithm : algorithmsFor(*problem, *prefer)) {
    if (*count == wanted) break;
    LtHeuristic& result = results[(*count)++];
    std::memcpy(&result.algorithm, &algorithm, sizeof algorithm);
    result.workspaceBytes = algorithm.workspaceBytes;
    result.state = LtStatus::kSuccess;
  }
  return LtStatus::kSuccess;
}

LtStatus checkAlgorithm(LtHandle* handle, LtMatmulDesc* desc, LtLayout* a, LtLayout* b, LtLayout* c, LtLayout* d,
                        const LtAlgorithm* algorithm, LtHeuristic* result) {
  const char* const call = "cublasLtMatmulAlgoCheck";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  const auto problem = problemOf(handle, desc, a, b, c, d, call);
  if (!problem || !result) return LtStatus::kInvalidValue;
  const auto read = algorithmOf(algorithm, *problem, call);
  if (!read) return LtStatus::kInvalidValue;
  if (!refusal(*read, *problem).empty()) return LtStatus::kNotSupported;
  result->workspaceBytes = read->workspaceBytes;
  result->state = LtStatus::kSuccess;
  return LtStatus::kSuccess;
}

uintptr_t address(const void* at) { return reinterpret_cast<uintptr_t>(at); }

bool overlap(const void* a, const Object& of, const void* d, const Object& to) {
  const auto bytes = [](const Object& o) {
    return static_cast<uintptr_t>(((o.cols - 1) * o.ld + o.rows) * elementSize(o.type));
  };
  return address(a) < address(d) + bytes(to) && address(d) < address(a) + bytes(of);
}

LtStatus multiply(LtHandle* handle, LtMatmulDesc* desc, const void* alpha, const void* a, LtLayout* aLayout,
                  const void* b, LtLayout* bLayout, const void* beta, const void* c, LtLayout* cLayout, void* d,
                  LtLayout* dLayout, const LtAlgorithm* algorithm, void* workspace, size_t workspaceBytes,
                  void* stream) {
  const char* const call = "cublasLtMatmul";
  if (const LtStatus status = enter(); status != LtStatus::kSuccess) return status;
  const auto problem = problemOf(handle, desc, aLayout, bLayout, cLayout, dLayout, call);
  if (!problem) return LtStatus::kInvalidValue;
  if (!alpha || !beta || !a || !b || !c || !d) return misuse(call, "a null pointer");
  if (!stream) return misuse(call, "the default stream, which nothing orders with others");
  const auto read = algorithmOf(algorithm, *problem, call);
  if (!read) return LtStatus::kInvalidValue;
  if (const std::string why = refusal(*read, *problem); !why.empty()) {
    return misuse(call, why + " that the algorithm does not take", LtStatus::kNotSupported);
  }
  const void* const pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (address(pointers[i]) % (uintptr_t{1} << read->pointers[i]) == 0) continue;
    return misuse(call, std::string("less alignment of ") + "ABCD"[i] + " than was promised", LtStatus::kNotSupported);
  }
  if (workspaceBytes < read->workspaceBytes) return misuse(call, "less workspace than the algorithm wants");
  if (address(workspace) % 256 != 0) return misuse(call, "a workspace that is not 256-byte aligned");
  if (c != d) return misuse(call, "a C that is not D, which this library does not emulate");
  if (overlap(a, problem->a, d, problem->d) || overlap(b, problem->b, d, problem->d)) {
    return misuse(call, "a D that overlaps an operand");
  }
  const float factor = *static_cast<const float*>(alpha), addend = *static_cast<const float*>(beta);
  enqueue(
      static_cast<StreamQueue*>(stream), call,
      [algorithm = *read, problem = *problem, a, b, factor, addend, d, workspace] {
        runProduct(algorithm, problem, a, b, factor, addend, d, workspace);
      },
      true);
  return LtStatus::kSuccess;
}

}  // namespace

void reportMisuse(const char* call, const std::string& what) {
  machine.opName = call;
  report(Kind::kLibrary, what, nullptr);
}

size_t cublasLtObjects() { return machine.libraryObjects.size(); }

const CublasLtApi& cublasLt() {
  static const CublasLtApi api{createHandle,      destroyHandle, statusName,    createDesc,     destroyDesc,
                               setDesc,           createLayout,  destroyLayout, setLayout,      createPreference,
                               destroyPreference, setPreference, getHeuristic,  checkAlgorithm, multiply};
  return api;
}

}  // namespace mlit::emulation
