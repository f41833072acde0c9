// Sums over the cards of several ranks, each a thread with a backend of its own: the bytes are those of the sum through the hosts'
// memory, and a rank that fails does not leave the others waiting.
#include <thread>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/nccl_exchange.h"
#include "backend/cuda/test/support.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"
#include "emulation/nccl.h"
#include "ranks/ranks.h"

namespace mlit::test {
namespace {

// Sums on cards need no other way to the ranks.
class NoWay final : public Exchange {
 public:
  NoWay(int32_t rank, int32_t size) : rank_(rank), size_(size) {}
  int32_t rank() const override { return rank_; }
  int32_t size() const override { return size_; }
  std::string description() const override { return "none"; }
  void exchange(const std::byte*, std::span<const RankPart>, std::byte*, std::span<const RankPart>,
                const std::atomic<bool>*) override {
    throw Error(ErrorCode::kInternal, "a sum on cards went through the host");
  }
  void leave() override {}

 private:
  int32_t rank_, size_;
};

class CardsOfRanks : public OnDevice {
 protected:
  void TearDown() override {
    OnDevice::TearDown();
    EXPECT_EQ(emulation::stats().liveBytes, 0u);
    EXPECT_EQ(emulation::ncclCommunicators(), 0u);
  }

  static void onRanks(int32_t size, int64_t chunkFloats, const std::function<void(Ranks&, Backend&)>& body) {
    cuda::NcclId id{};
    emulation::ncclApi().getUniqueId(&id);
    std::vector<std::thread> threads;
    for (int32_t rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        const auto turn = emulation::cards();
        const auto backend = std::make_shared<cuda::CudaBackend>(0, emulation::cublasLt());
        Ranks ranks(std::make_unique<NoWay>(rank, size), chunkFloats);
        ranks.useCards(backend, cuda::joinByNccl(emulation::ncclApi(), "2.30.7", *backend, 0, id, rank, size));
        EXPECT_EQ(ranks.description(), "none, gradients by NCCL 2.30.7");
        body(ranks, *backend);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(CardsOfRanks, SumInTheOrderOfTheRanks) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    begin(seed);
    struct Case {
      int32_t size;
      int64_t n, chunk;
    };
    for (const Case& each : {Case{2, 1, 1024}, {2, 3000, 1024}, {3, 1025, 4096}}) {
      const int32_t size = each.size;
      const int64_t n = each.n;
      SCOPED_TRACE(std::to_string(size) + " ranks, " + std::to_string(n) + " floats");
      std::vector<float> expected = randomFloats(n, 1);
      for (int32_t rank = 1; rank < size; ++rank) {
        const std::vector<float> more = randomFloats(n, static_cast<uint64_t>(rank) + 1);
        for (size_t i = 0; i < more.size(); ++i) expected[i] += more[i];
      }
      onRanks(size, each.chunk, [&](Ranks& ranks, Backend& backend) {
        const std::vector<float> own = randomFloats(n, static_cast<uint64_t>(ranks.rank()) + 1);
        std::vector<float> found(own.size());
        const size_t bytes = own.size() * sizeof(float);
        const DevicePtr<std::byte> x = backend.allocate(bytes);
        backend.upload(x, own.data(), bytes);
        ranks.sum(backend, x.as<float>(), n);
        backend.download(found.data(), x, bytes);
        backend.synchronize();
        backend.release(x, bytes);
        EXPECT_EQ(found, expected) << "on rank " << ranks.rank();
      });
    }
  }
}

TEST_F(CardsOfRanks, DoNotWaitForOneThatHasGivenUp) {
  std::atomic<bool> cancel{true};
  onRanks(2, 1024, [&](Ranks& ranks, Backend& backend) {
    constexpr size_t kBytes = 4096;
    const DevicePtr<std::byte> x = backend.allocate(kBytes);
    backend.zero(x, kBytes);
    if (ranks.rank() == 1) ranks.setCancelFlag(&cancel);
    EXPECT_THROW(ranks.sum(backend, x.as<float>(), kBytes / sizeof(float)), Error);
    EXPECT_THROW(ranks.sum(backend, x.as<float>(), kBytes / sizeof(float)), Error) << "it is out of step for good";
    backend.synchronize();
    backend.release(x, kBytes);
  });
}

}  // namespace
}  // namespace mlit::test
