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

// A place that was named by a download is its owner's again when the wait for it has thrown.
TEST_F(BackendFailures, WhatWasAskedForInVainDoesNotComeLater) {
  constexpr size_t kBytes = 1000;
  const std::vector<std::byte> untouched(kBytes, std::byte{0x5A});
  uint64_t first = 0, last = 0;
  for (uint64_t nth = 0; nth <= last; nth = nth == 0 ? first : nth + 1) {  // 0: nothing fails
    begin(1);
    cuda::CudaBackend backend(0, emulation::cublasLt());
    const DevicePtr<std::byte> at = backend.allocate(kBytes);
    backend.zero(at, kBytes);
    backend.synchronize();
    if (nth == 0) first = emulation::callCount() + 1;
    std::vector<std::byte> place = untouched;
    if (nth > 0) emulation::failCall(nth, "cudaErrorMemoryAllocation");
    const auto ask = [&] {
      backend.download(place.data(), at, kBytes / 2);
      backend.download(place.data() + kBytes / 2, at + kBytes / 2, kBytes / 2);
      backend.synchronize();
    };
    if (nth == 0) {
      ask();
      last = emulation::callCount();
      EXPECT_EQ(place, std::vector<std::byte>(kBytes));
    } else {
      EXPECT_THROW(ask(), Error) << nth;
      backend.synchronize();
      EXPECT_EQ(place, untouched) << "call " << nth - first + 1;
    }
    backend.release(at, kBytes);
  }
  EXPECT_GT(last, first);
}

}  // namespace
}  // namespace mlit::test
