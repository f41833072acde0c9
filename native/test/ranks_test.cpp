// Ranks over real sockets, each on a thread of its own: what they sum has the bytes of a sum in their order, what is lost is named,
// and sessions that share a step are one session.
#include "ranks/ranks.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "model_support.h"
#include "ranks/socket.h"
#include "ranks/tcp.h"

namespace mlit::test {
namespace {

uint16_t freePort() {
  const Socket listening = listenAt("127.0.0.1", 0);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  getsockname(listening.fd(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

TcpPlace placeOf(uint16_t port, int32_t rank, int32_t size) {
  return {"127.0.0.1", port, rank, size, std::chrono::seconds(20)};
}

// Runs a body on each of `size` threads. What one throws is rethrown once all have ended.
void onThreads(int32_t size, const std::function<void(int32_t rank)>& body) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  for (int32_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void onRanks(int32_t size, const std::function<void(Ranks&)>& body, int64_t chunkFloats = 1 << 20) {
  const uint16_t port = freePort();
  onThreads(size, [&](int32_t rank) {
    Ranks ranks(joinByTcp(placeOf(port, rank, size), nullptr), chunkFloats);
    body(ranks);
  });
}

std::vector<float> valuesOf(int32_t rank, int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(rank) + 1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = std::ldexp(uniform(random), static_cast<int>(random() % 20));
  return values;
}

class RanksSum : public ::testing::TestWithParam<BackendFactory> {};

TEST_P(RanksSum, HasTheBytesOfASumInTheOrderOfTheRanks) {
  struct Case {
    int32_t size;
    int64_t n, chunk;
  };
  for (const Case& each : {Case{1, 10, 1 << 20}, {2, 1, 1 << 20}, {2, 1001, 256}, {3, 1000, 1 << 20}, {4, 5000, 512}}) {
    const int32_t size = each.size;
    const int64_t n = each.n;
    SCOPED_TRACE(std::to_string(size) + " ranks, " + std::to_string(n) + " floats");
    std::vector<float> expected = valuesOf(0, n);
    for (int32_t rank = 1; rank < size; ++rank) {
      const std::vector<float> more = valuesOf(rank, n);
      for (size_t i = 0; i < more.size(); ++i) expected[i] += more[i];
    }
    onRanks(
        size,
        [&](Ranks& ranks) {
          const std::unique_ptr<Backend> backend = GetParam().create();
          const size_t bytes = static_cast<size_t>(n) * sizeof(float);
          const std::vector<float> own = valuesOf(ranks.rank(), n);
          std::vector<float> found(own.size());
          const DevicePtr<std::byte> x = backend->allocate(bytes);
          backend->upload(x, own.data(), bytes);
          ranks.sum(*backend, x.as<float>(), n);
          backend->download(found.data(), x, bytes);
          backend->synchronize();
          backend->release(x, bytes);
          EXPECT_EQ(std::memcmp(found.data(), expected.data(), bytes), 0) << "on rank " << ranks.rank();
          ranks.leave();
        },
        each.chunk);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RanksSum, ::testing::Values(backendFactories().front(), backendFactories().back()),
                         factoryName);

TEST(Ranks, GatherWhatEachSays) {
  onRanks(3, [](Ranks& ranks) {
    const std::string long_(300'000, static_cast<char>('a' + ranks.rank()));
    for (const std::string& own : {std::to_string(ranks.rank()), long_, std::string("x")}) {
      const std::vector<std::string> texts = ranks.gather(own);
      ASSERT_EQ(texts.size(), 3u);
      EXPECT_EQ(texts[static_cast<size_t>(ranks.rank())], own);
    }
    const std::vector<std::string> texts = ranks.gather(std::string(static_cast<size_t>(ranks.rank()) * 3, '.'));
    EXPECT_EQ(texts, (std::vector<std::string>{"", "...", "......"}));
    ranks.leave();
  });
}

TEST(Ranks, NameTheOneThatIsGone) {
  for (const int32_t gone : {0, 2}) {
    SCOPED_TRACE(gone);
    onRanks(3, [&](Ranks& ranks) {
      ranks.gather("here");
      if (ranks.rank() == gone) return;  // and is destroyed
      for (int again = 0; again < 2; ++again) {
        const std::optional<Error> error = errorOf([&] { ranks.gather("still here"); });
        ASSERT_TRUE(error.has_value());
        EXPECT_EQ(error->code(), ErrorCode::kDeviceUnavailable);
        EXPECT_NE(std::string(error->what()).find("rank " + std::to_string(gone) + " is gone"), std::string::npos)
            << error->what();
      }
    });
  }
}

TEST(Ranks, EndAWaitThatIsCancelled) {
  onRanks(2, [](Ranks& ranks) {
    std::atomic<bool> cancel{false};
    if (ranks.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      return;
    }
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      cancel = true;
    });
    ranks.setCancelFlag(&cancel);
    expectError(ErrorCode::kCancelled, {}, [&] { ranks.gather("anybody?"); });
    later.join();
  });
}

TEST(Ranks, AreRefusedWhereTheyDoNotComeTogether) {
  const auto join = [](TcpPlace place) {
    place.patience = std::chrono::milliseconds(400);
    joinByTcp(place, nullptr);
  };
  const uint16_t port = freePort();
  expectError(ErrorCode::kDeviceUnavailable, {"rank 1, 2 of 3 did not come"}, [&] { join(placeOf(port, 0, 3)); });
  expectError(ErrorCode::kDeviceUnavailable, {"rank 0 does not answer"}, [&] { join(placeOf(freePort(), 1, 2)); });
  const Socket taken = listenAt("127.0.0.1", port);
  expectError(ErrorCode::kDeviceUnavailable, {"in use", "MASTER_PORT"}, [&] { join(placeOf(port, 0, 2)); });

  const uint16_t other = freePort();
  onThreads(2, [&](int32_t rank) {
    if (rank == 0) {
      expectError(ErrorCode::kDeviceUnavailable, {"rank 1 was told of 3 ranks, rank 0 of 2"},
                  [&] { joinByTcp(placeOf(other, 0, 2), nullptr); });
    } else {
      EXPECT_TRUE(errorOf([&] { joinByTcp(placeOf(other, 1, 3), nullptr); }).has_value());
    }
  });
}

TEST(Ranks, DoNotMindStrangersAtTheirDoor) {
  const uint16_t port = freePort();
  onThreads(3, [&](int32_t rank) {
    if (rank == 2) {
      Socket stranger;
      while (!stranger) stranger = connectTo("127.0.0.1", port);
      const std::string request = "GET / HTTP/1.1\r\n\r\n";
      writeAll(stranger, request.data(), request.size(), nullptr);
      return;
    }
    if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    Ranks ranks(joinByTcp(placeOf(port, rank, 2), nullptr));
    EXPECT_EQ(ranks.gather(rank == 0 ? "a" : "b"), (std::vector<std::string>{"a", "b"}));
  });
}

// Two steps of one session with three documents, and of sessions that share them; one has none.
TEST(Ranks, ThatShareAStepAreOneSession) {
  const Fixture f("smol-tiny");
  const auto trained = [&](const std::vector<size_t>& mine, std::shared_ptr<Ranks> ranks) {
    const std::shared_ptr<Model> model = loadFixture(f.path("model"), backendFactories()[0]);
    const std::shared_ptr<Adapter> adapter = Adapter::load(model, f.path("adapter"));
    TrainSession session(model, {adapter}, smallOptions());
    if (ranks) session.setRanks(ranks);
    const std::vector<Document> all = f.packedDocuments();
    std::vector<Document> documents;
    for (const size_t at : mine) documents.push_back(all[at]);
    for (int step = 0; step < 2; ++step) {
      if (!documents.empty()) session.forwardBackward(BatchData(documents).view());
      AdamWParams params;
      params.learningRate = 1e-3f;
      params.gradScale = 1.0f / static_cast<float>(f.expected["packed"]["totalWeight"].get<double>());
      session.optimStep(0, params);
      EXPECT_FALSE(session.gradientsPending());
    }
    return adapter->toHost();
  };
  const std::vector<float> alone = trained({0, 1, 2}, nullptr);
  const std::vector<std::vector<size_t>> shares = {{1}, {0, 2}, {}};
  std::vector<std::vector<float>> found(shares.size());
  const uint16_t port = freePort();
  onThreads(3, [&](int32_t rank) {
    const auto ranks = std::make_shared<Ranks>(joinByTcp(placeOf(port, rank, 3), nullptr));
    found[static_cast<size_t>(rank)] = trained(shares[static_cast<size_t>(rank)], ranks);
    ranks->leave();
  });
  EXPECT_EQ(found[1], found[0]);
  EXPECT_EQ(found[2], found[0]);
  EXPECT_LE(maxError(found[0], alone), 2e-5);  // gradients are added up in another order
  EXPECT_NE(found[0], trained(shares[1], nullptr));
}

}  // namespace
}  // namespace mlit::test
