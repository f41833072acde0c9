// The emulated cuBLASLt must see what the library refuses and what it keeps silent about: each mistake is planted once in a call that is
// right otherwise.
#include "emulation/cublaslt.h"

#include <memory>
#include <optional>

#include "backend/cuda/test/support.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

using emulation::Kind;
using namespace cuda;  // NOLINT: the types of the interface

constexpr int64_t kM = 24, kK = 40, kRows = 32;

enum class Mistake {
  kNone,
  kNullOperand,
  kNullAlgorithm,
  kDefaultStream,
  kDestroyedLayout,
  kDestroyedTwice,
  kNotDestroyed,
  kAttributeSize,
  kNarrowLeadingDimension,
  kSizes,
  kTypes,
  kComputeType,
  kCLiesElsewhere,
  kCLiesOtherwise,
  kOperandAlignment,
  kOutputAlignment,
  kNothingPromised,  // so the algorithm may want the default, 256 bytes
  kOddLeadingDimension,
  kOtherAlgorithm,
  kOverlap,
  kWorkspaceTooSmall,
  kWorkspaceAlignment,
  kWorkspaceOfTwoStreams,
  kFewRows,
  kReadBeyond,
  kWriteBeyond,
  kUnwrittenOperand,
};

// D [24 x 32] = A [40 x 24]ᵀ · B [40 x 32] with one mistake.
struct Call {
  const CublasLtApi& api = emulation::cublasLt();
  DeviceReals a{ElementType::kBF16, randomFloats(kM*kK + 8, 1)}, b{ElementType::kBF16, randomFloats(kRows*kK + 8, 2)},
      unwritten{ElementType::kBF16, size_t{kRows * kK}}, d{ElementType::kF32, size_t{kRows * kM + 8}};
  DeviceArray<std::byte> workspace{2048};
  Stream stream, second;
  LtHandle* handle = nullptr;
  LtMatmulDesc* desc = nullptr;
  LtLayout *la = nullptr, *lb = nullptr, *lc = nullptr, *ld = nullptr;
  LtPreference* preference = nullptr;
  LtHeuristic found[8] = {};
  int count = 0;
  LtStatus status = LtStatus::kSuccess;

  template <class T>
  void prefer(LtPreferenceAttribute name, T value) {
    api.matmulPreferenceSetAttribute(preference, name, &value, sizeof value);
  }
  template <class T>
  void set(LtLayout* layout, LtLayoutAttribute name, T value) {
    api.matrixLayoutSetAttribute(layout, name, &value, sizeof value);
  }
  static void* at(const DeviceReals& reals, int64_t element = 0) { return (reals.get() + element).bytes().raw(); }

  explicit Call(uint32_t schemes = 0, bool promise = true) {
    api.create(&handle);
    api.matmulDescCreate(&desc, LtCompute::kF32, LtType::kF32);
    const LtOperation transposed = LtOperation::kT;
    api.matmulDescSetAttribute(desc, LtDescAttribute::kTransA, &transposed, sizeof transposed);
    api.matrixLayoutCreate(&la, LtType::kBF16, kK, kM, kK);
    api.matrixLayoutCreate(&lb, LtType::kBF16, kK, kRows, kK);
    api.matrixLayoutCreate(&lc, LtType::kF32, kM, kRows, kM);
    api.matrixLayoutCreate(&ld, LtType::kF32, kM, kRows, kM);
    api.matmulPreferenceCreate(&preference);
    prefer(LtPreferenceAttribute::kMaxWorkspaceBytes, uint64_t{2048});
    prefer(LtPreferenceAttribute::kReductionSchemeMask, schemes);
    for (const auto name : {LtPreferenceAttribute::kMinAlignmentA, LtPreferenceAttribute::kMinAlignmentB,
                            LtPreferenceAttribute::kMinAlignmentC, LtPreferenceAttribute::kMinAlignmentD}) {
      if (promise) prefer(name, uint32_t{16});
    }
  }
  ~Call() {
    synchronizeDevice();
    api.matmulPreferenceDestroy(preference);
    for (LtLayout* layout : {la, lb, lc, ld}) api.matrixLayoutDestroy(layout);
    api.matmulDescDestroy(desc);
    api.destroy(handle);
  }

  bool choose() {
    status = api.matmulAlgoGetHeuristic(handle, desc, la, lb, lc, ld, preference, 8, found, &count);
    return status == LtStatus::kSuccess && count > 0;
  }
  struct Operands {
    const void *a, *b, *c;
    void *d, *workspace;
    size_t workspaceBytes;
    void* stream;
    const LtAlgorithm* algorithm;
  };
  Operands operands() {
    return {at(a), at(b), at(d), at(d), workspace.get(), workspace.count(), stream.handle(), &found[0].algorithm};
  }
  void multiply(const Operands& o) {
    const float alpha = 1, beta = 0;
    status = api.matmul(handle, desc, &alpha, o.a, la, o.b, lb, &beta, o.c, lc, o.d, ld, o.algorithm, o.workspace,
                        o.workspaceBytes, o.stream);
  }
};

// Whether the mistake could be made: some want an algorithm with a workspace, or one that refuses few rows.
bool make(Mistake mistake) {
  Call call(0, mistake != Mistake::kNothingPromised);
  if (mistake == Mistake::kNarrowLeadingDimension) call.set(call.lb, LtLayoutAttribute::kLeadingDimension, int64_t{39});
  if (mistake == Mistake::kSizes) {
    for (LtLayout* layout : {call.lc, call.ld}) call.set(layout, LtLayoutAttribute::kCols, uint64_t{31});
  }
  if (mistake == Mistake::kAttributeSize) call.set(call.lb, LtLayoutAttribute::kCols, uint32_t{32});
  if (mistake == Mistake::kTypes) {
    call.api.matrixLayoutDestroy(call.lb);
    call.api.matrixLayoutCreate(&call.lb, LtType::kF32, kK, kRows, kK);
  }
  if (mistake == Mistake::kComputeType) {
    LtMatmulDesc* none = nullptr;
    call.api.matmulDescCreate(&none, LtCompute::kF32, LtType::kBF16);
  }
  if (mistake == Mistake::kCLiesOtherwise) call.set(call.lc, LtLayoutAttribute::kLeadingDimension, int64_t{28});
  if (mistake == Mistake::kDestroyedTwice) {
    call.api.matmulPreferenceDestroy(call.preference);
    call.api.matmulPreferenceDestroy(call.preference);
    call.preference = nullptr;
    return true;
  }
  if (!call.choose()) return true;
  Call::Operands o = call.operands();
  switch (mistake) {
    case Mistake::kNullOperand:
      o.b = nullptr;
      break;
    case Mistake::kNullAlgorithm:
      o.algorithm = nullptr;
      break;
    case Mistake::kDefaultStream:
      o.stream = nullptr;
      break;
    case Mistake::kDestroyedLayout:
      call.api.matrixLayoutDestroy(call.lb);
      break;
    case Mistake::kNotDestroyed:
      call.lc = nullptr;
      call.api.matrixLayoutCreate(&call.lc, LtType::kF32, kM, kRows, kM);
      break;
    case Mistake::kCLiesElsewhere:
      o.c = Call::at(call.d, 8);
      break;
    case Mistake::kOperandAlignment:
      o.a = Call::at(call.a, 4);
      break;
    case Mistake::kOutputAlignment:
      o.c = o.d = Call::at(call.d, 2);
      break;
    case Mistake::kNothingPromised:
      o.b = Call::at(call.b, 8);
      break;
    case Mistake::kOddLeadingDimension:
      call.set(call.lb, LtLayoutAttribute::kLeadingDimension, int64_t{44});
      break;
    case Mistake::kOtherAlgorithm: {
      LtHeuristic other[8];
      int count = 0;
      LtLayout *wide = nullptr, *tall = nullptr;
      call.api.matrixLayoutCreate(&wide, LtType::kBF16, kK, kM + 8, kK);
      call.api.matrixLayoutCreate(&tall, LtType::kF32, kM + 8, kRows, kM + 8);
      call.api.matmulAlgoGetHeuristic(call.handle, call.desc, wide, call.lb, tall, tall, call.preference, 8, other,
                                      &count);
      call.api.matrixLayoutDestroy(wide);
      call.api.matrixLayoutDestroy(tall);
      call.found[0] = other[0];
      break;
    }
    case Mistake::kOverlap:
      o.c = o.d = const_cast<void*>(o.b);
      break;
    case Mistake::kWorkspaceTooSmall:
      if (call.found[0].workspaceBytes == 0) return false;
      o.workspaceBytes = call.found[0].workspaceBytes - 1;
      break;
    case Mistake::kWorkspaceAlignment:
      o.workspace = call.workspace.get() + 128;
      break;
    case Mistake::kWorkspaceOfTwoStreams: {
      if (call.found[0].workspaceBytes == 0) return false;
      call.multiply(o);
      const DeviceReals elsewhere(ElementType::kF32, size_t{kRows * kM});
      o.c = o.d = Call::at(elsewhere);
      o.stream = call.second.handle();
      call.multiply(o);
      synchronizeDevice();
      return true;
    }
    case Mistake::kFewRows: {
      for (LtLayout* layout : {call.lb, call.lc, call.ld}) call.set(layout, LtLayoutAttribute::kCols, uint64_t{1});
      LtHeuristic checked{};
      const LtStatus status =
          call.api.matmulAlgoCheck(call.handle, call.desc, call.la, call.lb, call.lc, call.ld, o.algorithm, &checked);
      if (status == LtStatus::kSuccess) return false;
      EXPECT_EQ(status, LtStatus::kNotSupported);
      EXPECT_TRUE(emulation::findings().empty()) << "asking is no mistake";
      break;
    }
    case Mistake::kReadBeyond:
      o.b = Call::at(call.b, 16);
      break;
    case Mistake::kWriteBeyond:
      o.c = o.d = Call::at(call.d, 12);
      break;
    case Mistake::kUnwrittenOperand:
      o.b = Call::at(call.unwritten);
      break;
    default:
      break;
  }
  call.multiply(o);
  call.stream.synchronize();
  return true;
}

class CublasLt : public OnDevice {};

TEST_F(CublasLt, SeesEachMistakeAndNoOther) {
  const struct {
    Mistake mistake;
    Kind kind;
    const char* text;
  } mistakes[] = {
      {Mistake::kNullOperand, Kind::kLibrary, "a null pointer"},
      {Mistake::kNullAlgorithm, Kind::kLibrary, "no algorithm"},
      {Mistake::kDefaultStream, Kind::kLibrary, "the default stream"},
      {Mistake::kDestroyedLayout, Kind::kLibrary, "is destroyed"},
      {Mistake::kDestroyedTwice, Kind::kLibrary, "is destroyed"},
      {Mistake::kAttributeSize, Kind::kLibrary, "an attribute of 4 bytes for 8"},
      {Mistake::kNarrowLeadingDimension, Kind::kLibrary, "less than the rows"},
      {Mistake::kSizes, Kind::kLibrary, "sizes don't fit"},
      {Mistake::kTypes, Kind::kLibrary, "does not take together"},
      {Mistake::kComputeType, Kind::kLibrary, "not CUBLAS_COMPUTE_32F"},
      {Mistake::kCLiesElsewhere, Kind::kLibrary, "a C that is not D"},
      {Mistake::kCLiesOtherwise, Kind::kLibrary, "a C that does not lie as D"},
      {Mistake::kOperandAlignment, Kind::kLibrary, "less alignment of A"},
      {Mistake::kOutputAlignment, Kind::kLibrary, "less alignment of C"},
      {Mistake::kNothingPromised, Kind::kLibrary, "less alignment of B"},
      {Mistake::kOddLeadingDimension, Kind::kLibrary, "the leading dimension of B"},
      {Mistake::kOtherAlgorithm, Kind::kLibrary, "of another problem"},
      {Mistake::kOverlap, Kind::kLibrary, "overlaps"},
      {Mistake::kWorkspaceTooSmall, Kind::kLibrary, "less workspace"},
      {Mistake::kWorkspaceAlignment, Kind::kLibrary, "not 256-byte aligned"},
      {Mistake::kWorkspaceOfTwoStreams, Kind::kRace, "race"},
      {Mistake::kFewRows, Kind::kLibrary, "1 columns"},
      {Mistake::kReadBeyond, Kind::kOutOfBounds, "read of"},
      {Mistake::kWriteBeyond, Kind::kOutOfBounds, "write of"},
      {Mistake::kUnwrittenOperand, Kind::kUnwritten, "read of"},
  };
  for (const auto& [mistake, kind, text] : mistakes) {
    int made = 0;
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      begin(seed);
      if (!make(mistake)) continue;
      ++made;
      const auto all = emulation::takeFindings();
      ASSERT_FALSE(all.empty()) << "mistake " << static_cast<int>(mistake) << " seed " << seed;
      EXPECT_NE(all[0].text.find(text), std::string::npos) << text << ": " << all[0].text;
      for (const auto& finding : all) {
        // A call that was refused has not touched memory; one that was taken has made this mistake alone.
        EXPECT_EQ(finding.kind, kind) << "mistake " << static_cast<int>(mistake) << ": " << finding.text;
      }
    }
    EXPECT_GT(made, 3) << "mistake " << static_cast<int>(mistake);
  }
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    make(Mistake::kNone);
    ASSERT_TRUE(emulation::findings().empty()) << emulation::findings()[0].text;
    EXPECT_EQ(emulation::cublasLtObjects(), 0u);
    make(Mistake::kNotDestroyed);
    EXPECT_EQ(emulation::cublasLtObjects(), 1u);
  }
  begin(1);  // forgets what was left on purpose
}

// The first so many rows of the product by the heuristic's first choice for all rows.
std::vector<float> firstRows(uint64_t rows, uint32_t schemes) {
  Call call(schemes);
  EXPECT_TRUE(call.choose());
  for (LtLayout* layout : {call.lb, call.lc, call.ld}) call.set(layout, LtLayoutAttribute::kCols, rows);
  fill(Call::at(call.d), 0, size_t{kRows * kM + 8} * 4, call.stream);
  call.multiply(call.operands());
  EXPECT_EQ(call.status, LtStatus::kSuccess);
  call.stream.synchronize();
  std::vector<float> all = call.d.read();
  all.resize(size_t{24} * kM);
  return all;
}

TEST_F(CublasLt, ComputesAndSplitsSumsOnlyWhereItMay) {
  int different = 0, moved = 0;
  std::vector<float> before;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    const std::vector<float> whole = firstRows(kRows, 0);
    EXPECT_EQ(firstRows(24, 0), whole) << "seed " << seed;
    different += firstRows(24, 7) != firstRows(kRows, 7);
    moved += !before.empty() && whole != before;
    before = whole;
    const std::vector<float> a = roundedTo(ElementType::kBF16, randomFloats(kM * kK, 1)),
                             b = roundedTo(ElementType::kBF16, randomFloats(kRows * kK, 2));
    std::vector<double> want(whole.size());
    for (size_t i = 0; i < want.size(); ++i) {
      for (size_t k = 0; k < size_t{kK}; ++k) {
        want[i] += static_cast<double>(a[i % size_t{kM} * kK + k]) * b[i / size_t{kM} * kK + k];
      }
    }
    expectClose(whole, want, 1e-5, "product");
  }
  EXPECT_GT(different, 3);  // with a split the bits follow the number of rows
  EXPECT_GT(moved, 3);      // and the order of the sums follows the seed
}

}  // namespace
}  // namespace mlit::test
