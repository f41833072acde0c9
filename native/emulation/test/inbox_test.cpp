// Uploads beside computation: they cross while earlier ops run, keep their place in the order of all ops, and no order of the two
// streams breaks that.
#include <algorithm>
#include <cstring>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/test/support.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

class InboxTest : public OnDevice {};

TEST_F(InboxTest, UploadsKeepTheirPlaceAmongOps) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    DeviceArray<std::byte> room(2048);  // two halves of four uploads: they turn all the time
    DeviceArray<float> x(size_t{64}), y(std::vector<float>(64, 0.0f));
    float want = 0;
    {
      cuda::Stream stream;
      cuda::Inbox inbox(room.get(), room.count());
      for (int i = 1; i <= 15; ++i) {
        std::vector<float> values(64, static_cast<float>(i));
        inbox.upload(x.get(), values.data(), 256, stream);
        values.assign(64, -1);  // staged
        cuda::add(DevF32(y.get()), DevF32(x.get()), 64, stream);
        want += static_cast<float>(i);
        if (i % 6 != 0) continue;
        stream.synchronize();
        inbox.clear();
      }
      stream.synchronize();
    }
    EXPECT_EQ(y.read(), std::vector<float>(64, want)) << "seed " << seed;
    ASSERT_TRUE(emulation::findings().empty()) << "seed " << seed << ": " << emulation::findings()[0].text;
  }
}

TEST_F(InboxTest, MoreThanItHoldsComesThrough) {
  constexpr size_t kPiece = cuda::kInboxBytes / 8 - 256, kPieces = 24;
  cuda::CudaBackend backend(0, emulation::cublasLt());
  const DevicePtr<std::byte> at = backend.allocate(kPiece * kPieces), large = backend.allocate(cuda::kInboxBytes);
  backend.zero(large, 16);  // it is busy from here on
  std::vector<std::byte> sent(kPiece * kPieces), whole(cuda::kInboxBytes, std::byte{7});
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 31 + i / 253);
  for (size_t i = 0; i < kPieces; ++i) {
    backend.upload(at + static_cast<int64_t>(i * kPiece), sent.data() + i * kPiece, kPiece);
  }
  backend.upload(large, whole.data(), whole.size());
  std::vector<std::byte> back(sent.size()), backLarge(whole.size());
  backend.download(back.data(), at, back.size());
  backend.download(backLarge.data(), large, backLarge.size());
  backend.synchronize();
  EXPECT_TRUE(back == sent);
  EXPECT_TRUE(backLarge == whole);
  backend.release(at, kPiece * kPieces);
  backend.release(large, cuda::kInboxBytes);
}

// The copy to the device may run before ops that were enqueued earlier: on a card they overlap.
TEST_F(InboxTest, CrossesBesideEarlierOps) {
  int early = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    DeviceArray<std::byte> room(1024);
    DeviceArray<float> to(size_t{64});
    const std::vector<float> values(64, 2.0f);
    {
      cuda::Inbox inbox(room.get(), 1024);
      cuda::Stream stream;
      emulation::enqueueLibrary(stream, "earlier work",
                                [&] { early += std::memcmp(room.get(), values.data(), 256) == 0; });
      inbox.upload(to.get(), values.data(), 256, stream);
      stream.synchronize();
    }
    EXPECT_EQ(to.read(), values);
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, static_cast<int>(kSeeds));
}

enum class Order { kRight, kNotWaitedFor, kNotRead };

// What the inbox does, by hand, with an event left out.
void deliverTwice(Order order) {
  DeviceArray<float> box(size_t{64}), to(size_t{64});
  auto* const host = static_cast<float*>(cuda::allocatePinned(512));
  std::fill_n(host, 128, 3.0f);
  {
    cuda::Stream compute, copies;
    cuda::Event sent, read;
    for (int i = 0; i < 2; ++i) {
      if (i > 0 && order != Order::kNotRead) copies.wait(read);
      cuda::copyToDevice(box.get(), host + 64 * i, 256, copies);
      sent.record(copies);
      if (order != Order::kNotWaitedFor) compute.wait(sent);
      cuda::copyOnDevice(to.get(), box.get(), 256, compute);
      read.record(compute);
    }
    cuda::synchronizeDevice();
  }
  cuda::releasePinned(host);
}

TEST_F(InboxTest, AMissingEventIsFound) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const Order order : {Order::kRight, Order::kNotWaitedFor, Order::kNotRead}) {
      begin(seed);
      deliverTwice(order);
      EXPECT_EQ(emulation::takeFindings().empty(), order == Order::kRight) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace mlit::test
