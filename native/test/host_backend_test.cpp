// The test backend must itself be as strict as it claims: a check that lets everything through would prove nothing.
#include "test/host_backend.h"

#include "test/op_support.h"

namespace mlit::test {
namespace {

ErrorCode codeOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(HostBackend, DoesNothingBeforeSynchronize) {
  HostBackend backend(createCpuBackend(1));
  const auto memory = backend.allocate(16);
  std::vector<float> from = {1, 2, 3, 4}, to(4, 9);
  backend.upload(memory, from.data(), 16);
  backend.scale(memory.as<float>(), 2, 4);
  backend.download(to.data(), memory, 16);
  EXPECT_EQ(backend.pendingOps(), 3u);
  EXPECT_TRUE(std::isnan(to[0]));
  from[0] = 5;  // too late for a caller who may not: the upload has not been read
  backend.synchronize();
  EXPECT_EQ(to, (std::vector<float>{10, 4, 6, 8}));
  backend.release(memory, 16);
}

TEST(HostBackend, RefusesWhatIsOutside) {
  HostBackend backend(createCpuBackend(1));
  const auto memory = backend.allocate(64), other = backend.allocate(64);
  const DevF32 floats = memory.as<float>();
  EXPECT_EQ(codeOf([&] { backend.scale(floats, 1, 17); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(codeOf([&] { backend.scale(floats + 10, 1, 7); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(codeOf([&] { backend.scale(floats + 100, 1, 1); }), ErrorCode::kInvalidArgument);
  float host = 0;
  EXPECT_EQ(codeOf([&] { backend.scale(DevF32(&host), 1, 1); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(codeOf([&] { backend.scale({}, 1, 1); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(codeOf([&] { backend.release(memory, 32); }), ErrorCode::kInvalidArgument);
  backend.scale(floats, 1, 16);
  backend.release(memory, 64);
  backend.synchronize();
  EXPECT_EQ(codeOf([&] { backend.scale(floats, 1, 16); }), ErrorCode::kInvalidArgument);  // released
  backend.release(other, 64);
}

TEST(HostBackend, PoisonsOutputsAndFreshMemory) {
  HostBackend backend(createCpuBackend(1));
  const auto memory = backend.allocate(8);
  std::vector<float> fresh(2);
  backend.download(fresh.data(), memory, 8);
  backend.synchronize();
  EXPECT_TRUE(std::isnan(fresh[0]) && std::isnan(fresh[1]));
  DeviceFloats logits(backend, {1, 3, 2}), logprobs(backend, 1, 0.0f);
  DeviceArray<int32_t> tokens(backend, 1, 7);
  const std::vector<SampleParams> greedy(1);
  backend.sampleRows(logits.ptr(), 1, 3, 3, greedy, tokens.ptr(), logprobs.ptr());
  EXPECT_EQ(tokens.read()[0], 1);
  EXPECT_TRUE(std::isnan(logits.read()[0]));
  backend.release(memory, 8);
}

TEST(HostBackend, ChecksIndicesWhenItRuns) {
  HostBackend backend(createCpuBackend(1));
  DeviceFloats x(backend, 12, 1.0f), out(backend, 8, 0.0f);
  DeviceArray<int32_t> rows(backend, std::vector<int32_t>{0, 3}), twice(backend, std::vector<int32_t>{1, 1});
  backend.gatherRows(x.ptr(), 4, rows.ptr(), 2, 4, out.ptr());
  EXPECT_EQ(codeOf([&] { backend.synchronize(); }), ErrorCode::kInvalidArgument);
  backend.scatterRows(out.ptr(), twice.ptr(), 2, 4, x.ptr(), 4, true);
  EXPECT_EQ(codeOf([&] { backend.synchronize(); }), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mlit::test
