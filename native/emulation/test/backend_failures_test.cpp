// The CUDA backend where its surroundings are made to order: two cards of one thread, and every call of the runtime failing once.
#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/support.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

class BackendFailures : public OnDevice {};

TEST_F(BackendFailures, TwoCardsOfOneThreadKeepApart) {
  emulation::Options options;
  options.devices = 2;
  emulation::reset(options);
  cuda::CudaBackend first(0, emulation::cublasLt()), second(1, emulation::cublasLt());
  cuda::CudaBackend* const backends[] = {&first, &second};
  float back = 1;
  DevicePtr<std::byte> at[2];
  const std::function<void(size_t)> calls[] = {
      [&](size_t i) { at[i] = backends[i]->allocate(256); },
      [&](size_t i) { backends[i]->zero(at[i], 256); },
      [&](size_t i) { backends[i]->upload(at[i], &back, sizeof back); },
      [&](size_t i) { backends[i]->scale(DevF32(reinterpret_cast<float*>(at[i].raw())), 2, 64); },
      [&](size_t i) { backends[i]->download(&back, at[i], sizeof back); },
      [&](size_t i) { backends[i]->synchronize(); },
      [&](size_t i) { backends[i]->release(at[i], 256); },
  };
  for (const auto& call : calls) {
    for (const size_t i : {size_t{0}, size_t{1}}) {
      call(i);
      EXPECT_EQ(emulation::stats().device, static_cast<int>(i)) << "call " << &call - calls;
    }
  }
}

TEST_F(BackendFailures, EveryCallCanFailAndNothingLeaks) {
  const auto run = [] {
    cuda::CudaBackend backend(0, emulation::cublasLt());
    const DevicePtr<std::byte> at = backend.allocate(1000);
    try {
      std::vector<std::byte> bytes(1000);
      backend.upload(at, bytes.data(), bytes.size());
      backend.download(bytes.data(), at, bytes.size());
      backend.synchronize();
    } catch (...) {
      backend.release(at, 1000);
      throw;
    }
    backend.release(at, 1000);
  };
  run();
  const uint64_t calls = emulation::callCount();
  ASSERT_GT(calls, 10u);
  uint64_t failed = 0;
  for (uint64_t nth = 1; nth <= calls; ++nth) {
    begin(nth);
    emulation::failCall(nth, "cudaErrorLaunchFailure");
    try {
      run();
    } catch (const Error& error) {
      ++failed;
      EXPECT_NE(std::string(error.what()).find("failed"), std::string::npos) << error.what();
    }
    EXPECT_EQ(emulation::stats().liveBytes, 0u) << "call " << nth;
    EXPECT_EQ(emulation::stats().livePinnedBytes, 0u) << "call " << nth;
    EXPECT_EQ(emulation::cublasLtObjects(), 0u) << "call " << nth;
  }
  EXPECT_GT(failed, calls / 2);
}

}  // namespace
}  // namespace mlit::test
