// The CUDA backend's own side of memory: what is staged arrives whole and in order, and waiting is left when that is asked for.
#include <atomic>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

class OnCard : public OnDevice {};

std::vector<std::byte> bytesOf(size_t count, uint64_t seed) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 131 + i / 251 + seed);
  return bytes;
}

TEST_F(OnCard, WhatIsUploadedComesBack) {
  for (uint64_t seed = 1; seed <= seedsOr(2); ++seed) {
    begin(seed);
    cuda::CudaBackend backend(0, device::cublasLt());
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
  for (uint64_t seed = 1; seed <= seedsOr(5); ++seed) {
    begin(seed);
    cuda::CudaBackend backend(0, device::cublasLt());
    constexpr int kCount = 300;
    const DevicePtr<std::byte> at = backend.allocate(sizeof(int));
    std::vector<int> back(kCount);
    for (int i = 0; i < kCount; ++i) {
      backend.upload(at, &i, sizeof i);
      backend.download(&back[static_cast<size_t>(i)], at, sizeof i);
    }
    const uint64_t waits = device::hostCounts().waits;
    backend.synchronize();
    EXPECT_EQ(device::hostCounts().waits, waits + 1);
    for (int i = 0; i < kCount; ++i) EXPECT_EQ(back[static_cast<size_t>(i)], i);
    backend.release(at, sizeof(int));
  }
}

TEST_F(OnCard, AnOpOrAWaitThatFindsTheFlagIsLeft) {
  cuda::CudaBackend backend(0, device::cublasLt());
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

TEST_F(OnCard, SaysWhatItHolds) {
  const auto free = static_cast<int64_t>(cuda::memoryInfo().freeBytes);
  cuda::CudaBackend backend(0, device::cublasLt());
  EXPECT_EQ(backend.deviceBytes(), free);
  EXPECT_EQ(backend.name(), "cuda");
  const cuda::DeviceProperties card = cuda::deviceProperties(0);
  const std::string capability = std::to_string(card.major) + "." + std::to_string(card.minor);
  EXPECT_NE(backend.description().find(capability), std::string::npos) << backend.description();
  EXPECT_EQ(device::hostCounts().liveBytes, backend.fixedBytes());
}

}  // namespace
}  // namespace mlit::test
