// What is the CPU backend's own and no case of an op shows: which wishes it refuses and how its memory behaves.
#include <gtest/gtest.h>

#include <string>

#include "test/backend_cases.h"

namespace mlit::test {
namespace {

TEST(CpuBackend, RefusesWhatItCannotDo) {
  const auto codeOf = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(codeOf([] { createCpuBackend(-1); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(codeOf([] { createCpuBackend(1, "sse9"); }), ErrorCode::kDeviceUnavailable);
  const auto backend = createCpuBackend(2);
  EXPECT_EQ(codeOf([&] { backend->allocate(~size_t{0}); }), ErrorCode::kOutOfMemory);
  EXPECT_THROW(backend->destroyWeight(WeightId{}), Error);
  EXPECT_THROW(backend->setWeightRows(WeightId{3}, 0, 1, nullptr), Error);
  const WeightId weight = backend->createWeight(4, 4, WeightFormat::kF32);
  EXPECT_THROW(backend->setWeightRows(weight, 3, 2, randomFloats(8, 1).data()), Error);
  backend->destroyWeight(weight);
  EXPECT_THROW(backend->destroyWeight(weight), Error);
  EXPECT_EQ(backend->name(), "cpu");
  EXPECT_NE(backend->description().find("2 threads"), std::string::npos);
}

TEST(CpuBackend, MemoryIsAlignedAndCopiesMayOverlap) {
  const auto backend = createCpuBackend(1);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{5} << 20}) {
    const auto memory = backend->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.raw()) % 256, 0u);
    backend->zero(memory, bytes);
    backend->release(memory, bytes);
  }
  const DeviceArray<int32_t> values(*backend, {1, 2, 3, 4, 5});
  backend->copy(values.ptr().as<std::byte>() + 4, values.ptr().as<std::byte>(), 12);
  EXPECT_EQ(values.read(), (std::vector<int32_t>{1, 1, 2, 3, 5}));
}

}  // namespace
}  // namespace mlit::test
