// Products of weights over a cuBLASLt that is made to order: algorithms that refuse few rows or want more than there is room for, and
// every call failing once.
#include <cstring>

#include "backend/cuda/test/weights_support.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

class WeightsFailures : public OnDevice {};

// An algorithm that refuses few rows gets them with zeros below: in a workspace that nothing has written yet.
TEST_F(WeightsFailures, FewRowsAreFilledUpWithZeros) {
  uint64_t filled = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    Rig rig;
    const WeightId id = rig.weights.createWeight(8, 24, WeightFormat::kBF16, rig.stream);
    const DeviceReals x(ElementType::kBF16, randomFloats(24, 1)), y(ElementType::kF32, randomFloats(8, 2)),
        dx(ElementType::kBF16, randomFloats(24, 3));
    const std::vector<float> before = dx.read();
    rig.weights.forward(id, x.get(), 24, 1, y.get(), 8, rig.stream);
    filled += emulation::stats().launches.count("convertRows");
    rig.weights.backward(id, y.get(), 8, 1, dx.get(), 24, true, rig.stream);
    rig.stream.synchronize();
    EXPECT_EQ(y.read(), std::vector<float>(8));
    EXPECT_EQ(dx.read(), before);
    ASSERT_TRUE(emulation::findings().empty()) << emulation::findings()[0].text;
  }
  EXPECT_GT(filled, 3u);
}

// Whose algorithm wants more rows than the workspace holds: no bits rather than others.
TEST_F(WeightsFailures, RowsThatDoNotFitAreRefused) {
  int refused = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    Rig rig;
    const WeightId wide = rig.weights.createWeight(1, 1024, WeightFormat::kF32, rig.stream);
    const DeviceReals x(ElementType::kF32, randomFloats(1024, 1)), y(ElementType::kF32, size_t{1});
    try {
      rig.weights.forward(wide, x.get(), 1024, 1, y.get(), 1, rig.stream);
      rig.stream.synchronize();
      EXPECT_EQ(y.read(), std::vector<float>{0});
    } catch (const Error& error) {
      ++refused;
      EXPECT_NE(std::string(error.what()).find("2 rows of a product with a weight [1, 1024]"), std::string::npos);
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, static_cast<int>(kSeeds));
}

// A round of everything, as host code would write it.
void workload(WeightFormat format) {
  Rig rig;
  const DeviceReals x(ElementType::kF32, randomFloats(3 * 24, 1)), y(ElementType::kBF16, size_t{3} * 40);
  const WeightId id = rig.make(40, 24, format, randomFloats(40 * 24, 2));
  const DeviceArray<float> fresh(randomFloats(24, 3));
  const DeviceArray<int32_t> ids(std::vector<int32_t>{7});
  rig.weights.forward(id, x.get(), 24, 3, y.get(), 40, rig.stream);
  rig.weights.backward(id, y.get(), 40, 3, x.get(), 24, true, rig.stream);
  rig.weights.refreshWeightRows(id, 7, 1, DevConstF32(fresh.get()), rig.stream);
  rig.weights.gatherWeightRows(id, DevConstI32(ids.get()), 1, 1, DevF32(fresh.get()), rig.stream);
  rig.stream.synchronize();
  rig.weights.destroyWeight(id);
}

TEST_F(WeightsFailures, EveryCallCanFailAndNothingLeaks) {
  for (const WeightFormat format : kFormats) {
    begin(3);
    workload(format);
    const uint64_t calls = emulation::callCount();
    ASSERT_GT(calls, 80u);
    for (const char* cuda : {"cudaErrorMemoryAllocation", "cudaErrorLaunchFailure"}) {
      const bool memory = std::strcmp(cuda, "cudaErrorMemoryAllocation") == 0;
      for (uint64_t nth = 1; nth <= calls; ++nth) {
        begin(3);
        emulation::failCall(nth, cuda);
        try {
          workload(format);
          ADD_FAILURE() << "call " << nth << " did not fail";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal) << error.what();
          EXPECT_EQ(error.fields().at(0).first, "call");
          const auto& [field, name] = error.fields().at(1);
          EXPECT_EQ(name, field == "cuda" ? cuda
                          : memory        ? "CUBLAS_STATUS_ALLOC_FAILED"
                                          : "CUBLAS_STATUS_EXECUTION_FAILED");
        }
        EXPECT_EQ(emulation::stats().liveBytes, 0u) << "call " << nth;
        EXPECT_EQ(emulation::stats().livePinnedBytes, 0u) << "call " << nth;
        EXPECT_EQ(emulation::cublasLtObjects(), 0u) << "call " << nth;
        ASSERT_TRUE(emulation::findings().empty()) << "call " << nth << ": " << emulation::findings()[0].text;
      }
    }
  }
}

}  // namespace
}  // namespace mlit::test
