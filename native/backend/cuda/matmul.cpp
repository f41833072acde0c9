// How an algorithm is chosen and kept. cuBLASLt is column-major: a row-major [rows, n] is its n x rows, so W is its A and x its B.
//
// What is known: with CUBLASLT_REDUCTION_SCHEME_NONE "dot-product shall be performed in one sequence" (cublasLt.h), so a row's sums are
// split neither over blocks nor over the number of rows; an algorithm names kernel and tile, and cublasLtMatmul runs what it is given.
// What is not proved without a card: that a kernel's order within that sequence is the same at a tile's edge and in its middle (tensor
// cores are fed alike in both, and rows beyond the end are zeros), and that no algorithm takes another kernel for few rows. A test on a
// card has to compare rows alone with rows together.
#include "backend/cuda/matmul.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "backend/cuda/recording.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

// For so many rows the library is asked: between a step of sampling and a micro-batch of training, which have to share an algorithm.
constexpr int64_t kCanonicalRows = 512;
constexpr int kCandidates = 16;
constexpr int64_t kAlignment = 16;  // of x; of y as far as its width allows

void check(const CublasLtApi& api, LtStatus status, const char* call, const std::string& of = "") {
  if (status == LtStatus::kSuccess) return;
  const ErrorCode code = status == LtStatus::kAllocFailed      ? ErrorCode::kOutOfMemory
                         : status == LtStatus::kNotInitialized ? ErrorCode::kDeviceUnavailable
                                                               : ErrorCode::kInternal;
  const std::string name = api.getStatusName(status);
  throw Error(code, std::string(call) + of + " failed: " + name, {{"call", call}, {"cublas", name}});
}

std::string describeShape(const ProductShape& s) {
  return std::string(" of a ") + (s.forward ? "forward" : "backward") + " product with a weight [" +
         std::to_string(s.forward ? s.width : s.depth) + ", " + std::to_string(s.forward ? s.depth : s.width) +
         "] in " + (s.in == LtType::kF32 ? "float32" : "bfloat16");
}

bool aligned(const void* at, int64_t ld, int64_t elementBytes, int64_t alignment) {
  return reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(alignment) == 0 && ld * elementBytes % alignment == 0;
}

int64_t paddedInput(const ProductShape& shape) {
  const int64_t step = kAlignment / bytesOf(shape.in);
  return (shape.depth + step - 1) / step * step;
}

// The largest power of two, 16 at most, that divides a packed row of y: rows of an odd vocabulary are taken as they are.
int64_t outputAlignment(const ProductShape& shape) {
  const int64_t bytes = shape.width * bytesOf(shape.out);
  return std::min(bytes & -bytes, kAlignment);
}

}  // namespace

bool ProductPlan::takesInput(const void* x, int64_t ldx) const {
  return aligned(x, ldx, bytesOf(shape_.in), kAlignment);
}

bool ProductPlan::takesOutput(const void* y, int64_t ldy) const {
  return aligned(y, ldy, bytesOf(shape_.out), outputAlignment(shape_));
}

int64_t ProductPlan::packedInput() const { return paddedInput(shape_); }

Matmul::Matmul(const CublasLtApi& api, void* workspace, size_t workspaceBytes)
    : api_(api), workspace_(workspace), workspaceBytes_(workspaceBytes) {
  LtHandle* handle = nullptr;
  check(api_, api_.create(&handle), "cublasLtCreate");
  handle_ = {handle, api_.destroy};
}

Matmul::Owned<LtLayout> Matmul::layout(LtType type, int64_t width, int64_t rows, int64_t ld) {
  LtLayout* made = nullptr;
  check(api_, api_.matrixLayoutCreate(&made, type, static_cast<uint64_t>(width), static_cast<uint64_t>(rows), ld),
        "cublasLtMatrixLayoutCreate");
  return {made, api_.matrixLayoutDestroy};
}

ProductPlan Matmul::describe(const ProductShape& s) {
  LtMatmulDesc* made = nullptr;
  check(api_, api_.matmulDescCreate(&made, LtCompute::kF32, LtType::kF32), "cublasLtMatmulDescCreate");
  Owned<LtMatmulDesc> desc{made, api_.matmulDescDestroy};
  const LtOperation ofW = s.forward ? LtOperation::kT : LtOperation::kN;
  check(api_, api_.matmulDescSetAttribute(made, LtDescAttribute::kTransA, &ofW, sizeof ofW),
        "cublasLtMatmulDescSetAttribute");
  Owned<LtLayout> w = s.forward ? layout(s.in, s.depth, s.width, s.ldw) : layout(s.in, s.width, s.depth, s.ldw);
  Owned<LtLayout> x = layout(s.in, s.depth, kCanonicalRows, paddedInput(s));
  return {s, std::move(desc), std::move(w), std::move(x), layout(s.out, s.width, kCanonicalRows, s.width)};
}

void Matmul::setRows(const ProductPlan& plan, int64_t rows, int64_t ldx, int64_t ldy) {
  const auto set = [&](LtLayout* of, int64_t ld) {
    const auto columns = static_cast<uint64_t>(rows);
    check(api_, api_.matrixLayoutSetAttribute(of, LtLayoutAttribute::kCols, &columns, sizeof columns),
          "cublasLtMatrixLayoutSetAttribute");
    check(api_, api_.matrixLayoutSetAttribute(of, LtLayoutAttribute::kLeadingDimension, &ld, sizeof ld),
          "cublasLtMatrixLayoutSetAttribute");
  };
  set(plan.x_.get(), ldx);
  set(plan.y_.get(), ldy);
}

// Whether the plan's algorithm takes so many packed rows.
bool Matmul::fits(const ProductPlan& plan, int64_t rows) {
  setRows(plan, rows, plan.packedInput(), plan.packedOutput());
  LtHeuristic result{};
  const LtStatus status = api_.matmulAlgoCheck(handle_.get(), plan.desc_.get(), plan.w_.get(), plan.x_.get(),
                                               plan.y_.get(), plan.y_.get(), &plan.algorithm_, &result);
  if (status == LtStatus::kInvalidValue || status == LtStatus::kNotSupported || status == LtStatus::kArchMismatch) {
    return false;
  }
  check(api_, status, "cublasLtMatmulAlgoCheck", describeShape(plan.shape_));
  return result.workspaceBytes <= workspaceBytes_;
}

void Matmul::choose(ProductPlan& plan) {
  LtPreference* made = nullptr;
  check(api_, api_.matmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Owned<LtPreference> preference{made, api_.matmulPreferenceDestroy};
  const auto prefer = [&](LtPreferenceAttribute name, auto value) {
    check(api_, api_.matmulPreferenceSetAttribute(made, name, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  const auto ofOutput = static_cast<uint32_t>(outputAlignment(plan.shape_));
  prefer(LtPreferenceAttribute::kMaxWorkspaceBytes, uint64_t{workspaceBytes_});
  prefer(LtPreferenceAttribute::kReductionSchemeMask, uint32_t{0});
  // A is a weight and aligned to 256 bytes, which is what the library takes for granted.
  prefer(LtPreferenceAttribute::kMinAlignmentB, static_cast<uint32_t>(kAlignment));
  prefer(LtPreferenceAttribute::kMinAlignmentC, ofOutput);
  prefer(LtPreferenceAttribute::kMinAlignmentD, ofOutput);

  const std::string what = describeShape(plan.shape_);
  std::array<LtHeuristic, kCandidates> found{};
  int count = 0;
  check(api_,
        api_.matmulAlgoGetHeuristic(handle_.get(), plan.desc_.get(), plan.w_.get(), plan.x_.get(), plan.y_.get(),
                                    plan.y_.get(), made, kCandidates, found.data(), &count),
        "cublasLtMatmulAlgoGetHeuristic", what);
  for (int i = 0; i < count; ++i) {  // fastest first
    const LtHeuristic& candidate = found[static_cast<size_t>(i)];
    if (candidate.state != LtStatus::kSuccess) continue;
    plan.algorithm_ = candidate.algorithm;
    if (!fits(plan, kCanonicalRows)) continue;
    // What it takes of few and of many rows it is thought to take of all between; run() would throw.
    plan.leastRows_ = 1;
    while (plan.leastRows_ < kCanonicalRows && !fits(plan, plan.leastRows_)) {
      plan.leastRows_ = plan.leastRows_ == 1 ? 8 : 2 * plan.leastRows_;
    }
    plan.mostRows_ = kMostRows;
    while (plan.mostRows_ > kCanonicalRows && !fits(plan, plan.mostRows_)) plan.mostRows_ /= 2;
    return;
  }
  throw Error(ErrorCode::kInternal, "cuBLASLt offers no algorithm" + what + " without a split of its sums",
              {{"call", "cublasLtMatmulAlgoGetHeuristic"}, {"algorithms", std::to_string(count)}});
}

const ProductPlan& Matmul::plan(const ProductShape& shape) {
  const auto known = plans_.find(shape);
  if (known != plans_.end()) return known->second;
  ProductPlan made = describe(shape);
  choose(made);
  return plans_.emplace(shape, std::move(made)).first->second;
}

void Matmul::run(const ProductPlan& plan, const void* w, const void* x, int64_t ldx, int64_t rows, void* y, int64_t ldy,
                 bool accumulate, Stream& stream) {
  if (Recording* const recording = stream.recording()) {
    recording->note([=, this, &plan](Stream& on) { run(plan, w, x, ldx, rows, y, ldy, accumulate, on); },
                    Other::kProduct, &plan, w, x, ldx, rows, y, ldy, accumulate);
    return;
  }
  setRows(plan, rows, ldx, ldy);
  const float alpha = 1, beta = accumulate ? 1 : 0;  // read before the call returns
  check(api_,
        api_.matmul(handle_.get(), plan.desc_.get(), &alpha, w, plan.w_.get(), x, plan.x_.get(), &beta, y,
                    plan.y_.get(), y, plan.y_.get(), &plan.algorithm_, workspace_, workspaceBytes_, stream.handle()),
        "cublasLtMatmul", describeShape(plan.shape_) + " over " + std::to_string(rows) + " rows");
}

}  // namespace mlit::cuda
