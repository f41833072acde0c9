// The emulated runtime: order of streams, what copies promise, shapes of launches, and every error to order.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/test/support.h"
#include "core/error.h"
#include "emulation/emulator.h"
#include "emulation/test/planted.h"

namespace mlit::test {
namespace {

using emulation::Kind;

class Runtime : public OnDevice {
 protected:
  static bool found(Kind kind) {
    const auto all = emulation::takeFindings();
    return std::any_of(all.begin(), all.end(), [kind](const auto& f) { return f.kind == kind; });
  }
};

enum class Order { kEvent, kNotWaited, kNoEvent, kHost };

// One stream writes what another reads.
void twoStreams(Order order) {
  DeviceArray<float> in(std::vector<float>(64, 1.0f)), middle(size_t{64}), out(size_t{64});
  cuda::Stream a, b;
  cuda::Event event;
  runIncrement(in.get(), middle.get(), 1, a);
  if (order == Order::kEvent || order == Order::kNotWaited) event.record(a);
  if (order == Order::kEvent) b.wait(event);
  if (order == Order::kHost) a.synchronize();
  runIncrement(middle.get(), out.get(), 1, b);
  b.synchronize();
  a.synchronize();
  if (order == Order::kEvent || order == Order::kHost) {
    EXPECT_EQ(out.read(), std::vector<float>(64, 3.0f));
  }
}

TEST_F(Runtime, StreamsAreOrderedByEventsAndByTheHostOnly) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const Order order : {Order::kEvent, Order::kHost}) {
      begin(seed);
      twoStreams(order);
      EXPECT_TRUE(emulation::findings().empty()) << emulation::describe(emulation::findings()[0]);
    }
    for (const Order order : {Order::kNoEvent, Order::kNotWaited}) {
      begin(seed);
      twoStreams(order);
      const auto all = emulation::takeFindings();
      ASSERT_FALSE(all.empty()) << "seed " << seed;
      // Run first, the reader meets memory that nothing has written; run second, a write that is not over.
      EXPECT_TRUE(all[0].kind == Kind::kRace || all[0].kind == Kind::kUnwritten) << all[0].text;
    }
  }
}

TEST_F(Runtime, WorkOfOneStreamKeepsItsOrderAndOthersVary) {
  std::vector<std::string> seen;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    std::string order;
    cuda::Stream a, b;
    for (const char* name : {"1", "2", "3"}) emulation::enqueueLibrary(a, name, [&order, name] { order += name; });
    for (const char* name : {"x", "y"}) emulation::enqueueLibrary(b, name, [&order, name] { order += name; });
    EXPECT_EQ(order, "");
    cuda::synchronizeDevice();
    EXPECT_LT(order.find('1'), order.find('2'));
    EXPECT_LT(order.find('2'), order.find('3'));
    EXPECT_LT(order.find('x'), order.find('y'));
    seen.push_back(order);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_GT(std::unique(seen.begin(), seen.end()) - seen.begin(), 4);
}

TEST_F(Runtime, AnUploadOverAnInputInUseIsARace) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const bool waits : {false, true}) {
      begin(seed);
      {
        DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(size_t{64});
        const std::vector<float> next(64, 2.0f);
        cuda::Stream compute, copies;
        cuda::Event used;
        runIncrement(in.get(), out.get(), 1, compute);
        used.record(compute);
        if (waits) copies.wait(used);
        cuda::copyToDevice(in.get(), next.data(), 256, copies);
        cuda::synchronizeDevice();
      }
      EXPECT_EQ(found(Kind::kRace), !waits) << "seed " << seed;
    }
  }
}

TEST_F(Runtime, EveryConcurrentReaderCounts) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    {
      DeviceArray<float> in(std::vector<float>(64, 1.0f)), one(size_t{64}), two(size_t{64});
      cuda::Stream a, b, c;
      cuda::Event ofB;
      runIncrement(in.get(), one.get(), 1, a);
      runIncrement(in.get(), two.get(), 1, b);
      ofB.record(b);
      c.wait(ofB);  // and not for a
      cuda::fill(in.get(), 0, 256, c);
      cuda::synchronizeDevice();
    }
    EXPECT_TRUE(found(Kind::kRace)) << "seed " << seed;
  }
}

TEST_F(Runtime, APinnedSourceMustRestUntilItIsRead) {
  auto* host = static_cast<float*>(cuda::allocatePinned(256));
  std::fill_n(host, 64, 1.0f);
  DeviceArray<float> in(size_t{64});
  cuda::Stream stream;
  cuda::copyToDevice(in.get(), host, 256, stream);
  host[3] = 5;
  stream.synchronize();
  EXPECT_TRUE(found(Kind::kHostMemory));
  cuda::copyToDevice(in.get(), host, 256, stream);
  stream.synchronize();
  host[3] = 6;
  EXPECT_EQ(in.read()[3], 5);
  cuda::releasePinned(host);
}

TEST_F(Runtime, PageableCopiesAreTakenAtOnceAndDownloadsWait) {
  std::vector<float> host(64, 1.0f);
  DeviceArray<float> in(size_t{64});
  cuda::Stream stream;
  cuda::copyToDevice(in.get(), host.data(), 256, stream);
  host.assign(64, 2.0f);
  const uint64_t waits = emulation::stats().hostWaits;
  cuda::copyToHost(host.data(), in.get(), 256, stream);
  EXPECT_EQ(host, std::vector<float>(64, 1.0f));
  EXPECT_EQ(emulation::stats().hostWaits, waits + 1);
}

TEST_F(Runtime, AResultIsNaNUntilTheHostHasWaited) {
  auto* host = static_cast<float*>(cuda::allocatePinned(256));
  DeviceArray<float> in(std::vector<float>(64, 4.0f));
  cuda::Stream stream;
  const uint64_t waits = emulation::stats().hostWaits;
  cuda::copyToHost(host, in.get(), 256, stream);
  EXPECT_TRUE(std::isnan(host[0]));
  EXPECT_EQ(emulation::stats().hostWaits, waits);
  stream.synchronize();
  EXPECT_EQ(host[0], 4);
  cuda::releasePinned(host);
}

TEST_F(Runtime, EventsCanBeAskedAndComeToPass) {
  DeviceArray<float> in(std::vector<float>(64, 4.0f)), out(size_t{64});
  cuda::Stream stream;
  cuda::Event event;
  EXPECT_TRUE(event.done());  // never recorded
  for (int i = 0; i < 5; ++i) runIncrement(in.get(), out.get(), 1, stream);
  event.record(stream);
  int asked = 1;
  while (!event.done()) ++asked;
  EXPECT_EQ(asked, 5);
  EXPECT_TRUE(stream.idle());
  EXPECT_EQ(emulation::stats().launches.at("increment"), 5u);
}

TEST_F(Runtime, LaunchesThatTheCardRefuses) {
  struct Case {
    cuda::Dim3 grid, block;
    size_t shared;
    int refusedOn, fineOn;  // architectures; 0: none
  };
  const Case cases[] = {
      {{1}, {2048}, 0, 90, 0},
      {{1}, {0}, 0, 80, 0},
      {{1}, {1, 1, 128}, 0, 80, 0},
      {{1, 70000}, {32}, 0, 100, 0},
      {{0}, {32}, 0, 80, 0},
      {{1}, {32}, 100 * 1024, 86, 80},
      {{1}, {32}, 164 * 1024, 80, 90},
      {{1}, {32}, 228 * 1024, 100, 0},
      {{1}, {32}, 100 * 1024, 120, 100},
      {{1}, {32}, 100 * 1024, 89, 90},
  };
  for (const Case& c : cases) {
    begin(1, c.refusedOn);
    cuda::Stream stream;
    EXPECT_THROW(runShape(c.grid, c.block, c.shared, stream), Error);
    EXPECT_TRUE(found(Kind::kLaunch));
    if (c.fineOn == 0) continue;
    begin(1, c.fineOn);
    cuda::Stream other;
    runShape(c.grid, c.block, c.shared, other);
    other.synchronize();
    EXPECT_TRUE(emulation::findings().empty());
  }
  begin(1);
  cuda::Stream stream;
  runShape({1}, {33}, 0, stream);  // a card takes it; no kernel here does
  EXPECT_TRUE(found(Kind::kLaunch));
}

// A round of everything, as host code would write it.
void workload() {
  cuda::setDevice(0);
  cuda::Stream compute, copies;
  cuda::Event event;
  DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(size_t{64});
  event.record(copies);
  compute.wait(event);
  runIncrement(in.get(), out.get(), 1, compute);
  compute.synchronize();
  out.read();
  cuda::synchronizeDevice();
}

TEST_F(Runtime, EveryCallCanFailAndNothingLeaks) {
  workload();
  const uint64_t calls = emulation::callCount();
  ASSERT_GT(calls, 10u);
  for (const char* cuda : {"cudaErrorMemoryAllocation", "cudaErrorLaunchFailure"}) {
    for (uint64_t nth = 1; nth <= calls; ++nth) {
      begin(nth);
      emulation::failCall(nth, cuda);
      try {
        workload();
        ADD_FAILURE() << "call " << nth << " did not fail";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(),
                  std::strcmp(cuda, "cudaErrorMemoryAllocation") == 0 ? ErrorCode::kOutOfMemory : ErrorCode::kInternal);
        EXPECT_EQ(error.fields().at(1), std::make_pair(std::string("cuda"), std::string(cuda)));
      }
      EXPECT_EQ(emulation::stats().liveBytes, 0u) << "call " << nth;
      EXPECT_TRUE(emulation::findings().empty()) << "call " << nth;
    }
  }
  // An error of the device stays.
  EXPECT_THROW(cuda::synchronizeDevice(), Error);
}

TEST_F(Runtime, MemoryEnds) {
  emulation::Options options;
  options.memoryBytes = 1 << 20;
  emulation::reset(options);
  void* most = cuda::allocate(1000000);
  EXPECT_THROW(cuda::allocate(100000), Error);
  EXPECT_EQ(cuda::memoryInfo().freeBytes, (1u << 20) - 1000000u);
  cuda::release(most);
  cuda::release(cuda::allocate(1 << 20));
  EXPECT_EQ(emulation::stats().peakBytes, 1u << 20);
}

TEST_F(Runtime, AbsentDevicesHaveAReason) {
  emulation::Options options;
  options.devices = 0;
  emulation::reset(options);
  std::string reason;
  EXPECT_EQ(cuda::deviceCount(reason), 0);
  EXPECT_NE(reason, "");
  EXPECT_THROW(cuda::setDevice(0), Error);
  begin(1, 89);
  EXPECT_EQ(cuda::deviceCount(reason), 1);
  EXPECT_EQ(cuda::deviceProperties(0).major * 10 + cuda::deviceProperties(0).minor, 89);
}

}  // namespace
}  // namespace mlit::test
