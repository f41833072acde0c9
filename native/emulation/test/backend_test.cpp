// The CUDA backend's own side of memory: what is staged arrives whole and in order, waiting is left when that is asked for, and
// whatever call of the runtime fails, nothing leaks.
#include <atomic>

#include "backend/cuda/backend/backend_impl.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/test/support.h"

namespace mlit::test {
namespace {

class OnCard : public Emulated {};

std::vector<std::byte> bytesOf(size_t count, uint64_t seed) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 131 + i / 251 + seed);
  return bytes;
}

TEST_F(OnCard, WhatIsUploadedComesBack) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    begin(seed);
    cuda::CudaBackend backend(0, emulation::cublasLt());
    // Twice what staging holds, and pieces that leave its halves at odd places.
    for (const size_t count : {size_t{1}, size_t{777}, 2 * cuda::kStagingBytes + 12345}) {
      const DevicePtr<std::byte> at = backend.allocate(count), other = backend.allocate(count);
      std::vector<std::byte> sent = bytesOf(count, seed), back(count), backAgain(count);
      backend.upload(at, sent.data(), count);
      std::fill(sent.begin(), sent.end(), std::byte{0});  // staged: the caller's memory is free
      backend.copy(other, at, count);
      backend.zero(at, count / 2);
      backend.download(back.data(), at, count);
      backend.download(backAgain.data(), other, count);
      backend.synchronize();
      const std::vector<std::byte> want = bytesOf(count, seed);
      EXPECT_EQ(backAgain, want);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(back[i], i < count / 2 ? std::byte{0} : want[i]) << i;
      backend.release(at, count);
      backend.release(other, count);
    }
  }
}

TEST_F(OnCard, ManySmallCopiesKeepTheirOrder) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    begin(seed);
    cuda::CudaBackend backend(0, emulation::cublasLt());
    constexpr int kCount = 300;
    const DevicePtr<std::byte> at = backend.allocate(sizeof(int));
    std::vector<int> back(kCount);
    for (int i = 0; i < kCount; ++i) {
      backend.upload(at, &i, sizeof i);
      backend.download(&back[static_cast<size_t>(i)], at, sizeof i);
    }
    const uint64_t waits = emulation::stats().hostWaits;
    backend.synchronize();
    EXPECT_EQ(emulation::stats().hostWaits, waits + 1);
    for (int i = 0; i < kCount; ++i) EXPECT_EQ(back[static_cast<size_t>(i)], i);
    backend.release(at, sizeof(int));
  }
}

TEST_F(OnCard, AnOpOrAWaitThatFindsTheFlagIsLeft) {
  cuda::CudaBackend backend(0, emulation::cublasLt());
  const DevicePtr<std::byte> at = backend.allocate(64);
  std::atomic<bool> flag{false};
  backend.watchCancel(&flag);
  backend.zero(at, 64);
  backend.synchronize();
  int back = 7;
  backend.download(&back, at, sizeof back);
  flag = true;
  const auto cancelled = [](const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code() == ErrorCode::kCancelled;
    }
    return false;
  };
  EXPECT_TRUE(cancelled([&] { backend.zero(at, 64); }));
  flag = false;
  backend.watchCancel(nullptr);
  backend.synchronize();
  EXPECT_EQ(back, 7) << "what was asked for before the cancel is forgotten";
  backend.download(&back, at, sizeof back);
  backend.synchronize();
  EXPECT_EQ(back, 0);
  backend.release(at, 64);
}

TEST_F(OnCard, TwoCardsOfOneThreadKeepApart) {
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

TEST_F(OnCard, SaysWhatItHolds) {
  const auto free = static_cast<int64_t>(cuda::memoryInfo().freeBytes);
  cuda::CudaBackend backend(0, emulation::cublasLt());
  EXPECT_EQ(backend.deviceBytes(), free);
  EXPECT_EQ(backend.name(), "cuda");
  EXPECT_NE(backend.description().find("8.0"), std::string::npos) << backend.description();
  EXPECT_EQ(emulation::stats().liveBytes, backend.fixedBytes());
}

TEST_F(OnCard, EveryCallCanFailAndNothingLeaks) {
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
