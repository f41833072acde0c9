// Graphs: what a capture takes and what it refuses, that a launch of one is checked like the launches in it, and that the backend
// launches one only for the work that it holds.
#include <algorithm>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/recording.h"
#include "backend/cuda/test/support.h"
#include "core/error.h"
#include "emulation/cublaslt.h"
#include "emulation/emulator.h"
#include "emulation/test/planted.h"

namespace mlit::test {
namespace {

using emulation::Kind;

class Graphs : public OnDevice {
 protected:
  static bool found(Kind kind) {
    const auto all = emulation::takeFindings();
    return std::any_of(all.begin(), all.end(), [kind](const auto& f) { return f.kind == kind; });
  }
};

// The runtime's name of what call throws; "" where it does not.
std::string errorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.fields().at(1).second;
  }
  return "";
}

struct Pinned {
  float* at = static_cast<float*>(cuda::allocatePinned(256));
  ~Pinned() { cuda::releasePinned(at); }
};

TEST_F(Graphs, ACaptureRunsNothingAndALaunchAllOfIt) {
  DeviceArray<float> in(std::vector<float>(64, 1.0f)), middle(size_t{64}), out(size_t{64});
  cuda::Stream stream;
  cuda::Graph graph(stream, [&] {
    runIncrement(in.get(), middle.get(), 1, stream);
    runIncrement(middle.get(), out.get(), 1, stream);
  });
  stream.synchronize();
  EXPECT_TRUE(emulation::stats().launches.empty());
  for (const float value : {1.0f, 5.0f}) {
    cuda::copyToDevice(in.get(), std::vector<float>(64, value).data(), 256, stream);
    graph.launch(stream);
    stream.synchronize();
    EXPECT_EQ(out.read(), std::vector<float>(64, value + 2));
  }
  EXPECT_EQ(emulation::stats().launches.at("increment"), 4u);
  EXPECT_EQ(emulation::stats().graphs, 1u);
  EXPECT_EQ(emulation::stats().graphLaunches, 2u);
}

TEST_F(Graphs, ACaptureRefusesWhatItCannotHold) {
  DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(size_t{64});
  std::vector<float> pageable(64, 1.0f);
  cuda::Stream stream, other;
  cuda::Event before, inside;
  before.record(other);
  Pinned pinned;
  std::fill_n(pinned.at, 64, 1.0f);
  struct Case {
    const char* error;
    std::function<void()> call;
  };
  const char* const kUnsupported = "cudaErrorStreamCaptureUnsupported";
  const Case cases[] = {
      {kUnsupported, [&] { stream.synchronize(); }},
      {kUnsupported, [&] { other.synchronize(); }},
      {kUnsupported, [&] { stream.idle(); }},
      {kUnsupported, [&] { before.synchronize(); }},
      {kUnsupported, [&] { before.done(); }},
      {kUnsupported, [&] { cuda::synchronizeDevice(); }},
      {kUnsupported, [&] { cuda::allocate(256); }},
      {kUnsupported, [&] { cuda::allocatePinned(256); }},
      {kUnsupported, [&] { cuda::copyToDevice(in.get(), pageable.data(), 256, stream); }},
      {kUnsupported, [&] { cuda::copyToHost(pageable.data(), in.get(), 256, stream); }},
      {"cudaErrorStreamCaptureIsolation", [&] { stream.wait(before); }},
      {"cudaErrorIllegalState", [&] { cuda::Graph again(stream, [] {}); }},
      {"", [&] { inside.record(stream); }},
      {"", [&] { cuda::copyToDevice(in.get(), pinned.at, 256, stream); }},
      {"", [&] { cuda::fill(in.get(), 0, 256, stream); }},
      {"", [&] { cuda::copyOnDevice(out.get(), in.get(), 256, stream); }},
      {"", [&] { runIncrement(in.get(), out.get(), 1, stream); }},
  };
  for (const Case& each : cases) {
    const auto place = &each - cases;
    EXPECT_EQ(errorOf([&] { cuda::Graph graph(stream, each.call); }), each.error) << place;
    // Who passes over the error has lost the capture all the same.
    const bool passes = *each.error == 0;
    EXPECT_EQ(errorOf([&] { cuda::Graph graph(stream, [&] { errorOf(each.call); }); }),
              passes ? "" : "cudaErrorStreamCaptureInvalidated")
        << place;
    stream.synchronize();  // it is a stream like any other again
  }
  EXPECT_EQ(errorOf([&] { inside.synchronize(); }), "cudaErrorCapturedEvent");
  EXPECT_EQ(errorOf([&] { other.wait(inside); }), "cudaErrorCapturedEvent");
  EXPECT_TRUE(emulation::findings().empty());
  EXPECT_EQ(errorOf([&] { cuda::Graph graph(stream, [&] { cuda::release(cuda::allocate(0)); }); }), kUnsupported);
  void* memory = cuda::allocate(256);
  EXPECT_EQ(errorOf([&] { cuda::Graph graph(stream, [&] { cuda::release(memory); }); }),
            "cudaErrorStreamCaptureInvalidated");
  EXPECT_TRUE(found(Kind::kLaunch)) << "a release says nothing, but is seen";
}

TEST_F(Graphs, ALaunchIsCheckedLikeWhatIsInIt) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const bool waits : {false, true}) {
      begin(seed);
      {
        DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(size_t{64});
        Pinned next;
        std::fill_n(next.at, 64, 2.0f);
        cuda::Stream compute, copies;
        cuda::Event used;
        cuda::Graph graph(compute, [&] { runIncrement(in.get(), out.get(), 1, compute); });
        for (int step = 0; step < 2; ++step) {
          graph.launch(compute);
          used.record(compute);
          if (waits) copies.wait(used);
          cuda::copyToDevice(in.get(), next.at, 256, copies);
          used.record(copies);
          compute.wait(used);
        }
        cuda::synchronizeDevice();
      }
      EXPECT_EQ(found(Kind::kRace), !waits) << "seed " << seed;
    }
  }
}

TEST_F(Graphs, AReleasedAddressInAGraphIsFound) {
  cuda::Stream stream;
  void* const memory = cuda::allocate(256);
  auto pinned = std::make_unique<Pinned>();
  std::fill_n(pinned->at, 64, 1.0f);
  DeviceArray<float> kept(size_t{64});
  cuda::Graph ofDevice(stream, [&] { cuda::fill(memory, 0, 256, stream); });
  cuda::Graph fromHost(stream, [&] { cuda::copyToDevice(kept.get(), pinned->at, 256, stream); });
  cuda::Graph toHost(stream, [&] { cuda::copyToHost(pinned->at, kept.get(), 256, stream); });
  for (cuda::Graph* graph : {&fromHost, &toHost, &ofDevice}) {
    graph->launch(stream);
    stream.synchronize();
  }
  EXPECT_TRUE(emulation::findings().empty());
  cuda::release(memory);
  ofDevice.launch(stream);
  stream.synchronize();
  EXPECT_TRUE(found(Kind::kFreed));
  fromHost.launch(stream);
  pinned->at[3] = 7;
  stream.synchronize();
  EXPECT_TRUE(found(Kind::kHostMemory)) << "changed between launch and copy";
  pinned.reset();
  for (cuda::Graph* graph : {&fromHost, &toHost}) {
    graph->launch(stream);
    stream.synchronize();
    EXPECT_TRUE(found(Kind::kHostMemory)) << "released";
  }
}

TEST_F(Graphs, ParametersHaveNoPadding) {
  DeviceArray<float> in(std::vector<float>(64, 1.0f));
  cuda::Stream stream;
  runPadded(in.get(), stream);
  stream.synchronize();
  EXPECT_TRUE(found(Kind::kLaunch));
}

TEST_F(Graphs, ARecordedStreamKeepsItsOrderWhateverIsAskedOfIt) {
  DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(size_t{64});
  Pinned pinned;
  std::fill_n(pinned.at, 64, 8.0f);
  cuda::Stream stream, other;
  cuda::Event event;
  cuda::Recording recording;
  const std::function<void()> ends[] = {
      [&] { stream.synchronize(); },
      [&] { stream.idle(); },
      [&] { event.record(stream); },
      [&] { stream.wait(event); },
      [&] { cuda::copyToDevice(in.get(), pinned.at, 256, stream); },
      [&] { cuda::copyToHost(pinned.at, in.get(), 256, stream); },
      [&] { cuda::Graph graph(stream, [] {}); },
  };
  for (const auto& end : ends) {
    cuda::fill(in.get(), 0, 256, stream);
    recording.clear();
    stream.record(&recording);
    runIncrement(in.get(), out.get(), 1, stream);
    stream.wait(event);
    EXPECT_EQ(stream.recording(), nullptr);
    recording.clear();
    stream.record(&recording);
    runIncrement(out.get(), in.get(), 1, stream);
    cuda::copyOnDevice(out.get(), in.get(), 256, stream);
    end();
    EXPECT_EQ(stream.recording(), nullptr) << &end - ends;
    stream.synchronize();
    EXPECT_EQ(out.read()[0], 2) << &end - ends;
    std::fill_n(pinned.at, 64, 8.0f);
  }
}

// Ops of a backend over an array, as a caller repeats them.
class Repeater {
 public:
  Repeater() { backend_.upload(at_, std::vector<float>(64, 1.0f).data(), 256); }
  ~Repeater() { backend_.release(at_, 256); }

  // x = (x + … + x) * factor, a summand more than there are adds
  void run(float factor, int adds = 1) {
    backend_.repeated([&] {
      const DevF32 x = at_.as<float>();
      for (int i = 0; i < adds; ++i) backend_.add(x, x, 64);
      backend_.scale(x, factor, 64);
    });
  }
  float value() {
    float back = 0;
    backend_.download(&back, at_, sizeof back);
    backend_.synchronize();
    return back;
  }
  cuda::CudaBackend& backend() { return backend_; }
  DevF32 at() const { return at_.as<float>(); }

 private:
  cuda::CudaBackend backend_{0, emulation::cublasLt()};
  DevicePtr<std::byte> at_ = backend_.allocate(256);
};

TEST_F(Graphs, TheBackendLaunchesOneForTheSameWorkAndForNoOther) {
  Repeater repeater;
  const auto launches = [] { return emulation::stats().graphLaunches; };
  repeater.run(0.5f);
  EXPECT_EQ(launches(), 0u) << "what comes once needs none";
  repeater.run(0.5f);
  EXPECT_EQ(launches(), 1u);
  EXPECT_EQ(repeater.value(), 1);
  repeater.run(2.0f);  // another argument
  EXPECT_EQ(launches(), 1u);
  EXPECT_EQ(repeater.value(), 4);
  repeater.run(0.25f, 2);  // another number of ops
  repeater.run(0.5f);
  EXPECT_EQ(launches(), 2u);
  repeater.run(2.0f);
  EXPECT_EQ(launches(), 3u);
  EXPECT_EQ(repeater.value(), 16);
  EXPECT_EQ(emulation::stats().graphs, 2u);
}

TEST_F(Graphs, ManyKindsOfWorkKeepTheirRightResults) {
  Repeater repeater;
  float want = 1;
  for (int round = 0; round < 3; ++round) {
    for (int kind = 1; kind <= 12; ++kind) {  // more than are kept
      const float factor = 1 / (2 + static_cast<float>(kind) / 64);
      repeater.run(factor);
      want = (want + want) * factor;
      ASSERT_EQ(repeater.value(), want);
    }
  }
}

TEST_F(Graphs, WhereNoCaptureIsTakenTheWorkIsDoneWithout) {
  emulation::Options options;
  options.captures = false;
  emulation::reset(options);
  Repeater repeater;
  for (int i = 0; i < 4; ++i) repeater.run(1.0f);
  EXPECT_EQ(repeater.value(), 16);
  EXPECT_EQ(emulation::stats().graphs, 0u);
}

TEST_F(Graphs, OpsThatThrowAreNotRunAndTheNextOnesAre) {
  Repeater repeater;
  EXPECT_THROW(repeater.backend().repeated([&] {
    repeater.backend().scale(repeater.at(), 3, 64);
    throw Error(ErrorCode::kInternal, "planted");
  }),
               Error);
  EXPECT_EQ(repeater.value(), 1);
  repeater.run(4);
  EXPECT_EQ(repeater.value(), 8);
}

TEST_F(Graphs, AnUploadInTheMiddleKeepsItsPlace) {
  Repeater repeater;
  for (int i = 0; i < 3; ++i) {
    repeater.backend().repeated([&] {
      repeater.backend().scale(repeater.at(), 3, 64);
      const float five = 5;
      repeater.backend().upload(repeater.at().as<std::byte>(), &five, sizeof five);
      repeater.backend().scale(repeater.at(), 2, 64);
    });
    EXPECT_EQ(repeater.value(), 10);
  }
  EXPECT_EQ(emulation::stats().graphs, 0u);
}

}  // namespace
}  // namespace mlit::test
