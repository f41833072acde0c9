// runtime.h on the emulator: the same errors for the same mistakes, every one of them also to order, and the mistakes that a
// card keeps silent about as findings.
#include "backend/cuda/runtime.h"

#include <cstring>
#include <utility>

#include "backend/cuda/recording.h"
#include "core/error.h"
#include "emulation/asked.h"
#include "emulation/launch.h"
#include "emulation/memory.h"
#include "emulation/streams.h"
#include "emulation/translated.h"

namespace mlit::emulation {

namespace {

struct Faults {
  uint64_t calls = 0, nth = 0;
  std::string error, sticky;
} faults;

std::map<std::string, size_t> dynamicBytesByName;

[[noreturn]] void raise(const char* call, const std::string& cuda) {
  const ErrorCode code = cuda == "cudaErrorMemoryAllocation" ? ErrorCode::kOutOfMemory
                         : cuda == "cudaErrorInvalidDevice" || cuda == "cudaErrorNoDevice"
                             ? ErrorCode::kDeviceUnavailable
                             : ErrorCode::kInternal;
  throw Error(code, std::string(call) + " failed: " + cuda, {{"call", call}, {"cuda", cuda}});
}

// At the head of every call that can fail.
void enter(const char* call) {
  if (const std::string error = libraryCall(); !error.empty()) raise(call, error);
}

// What no thread may ask for while it captures a stream; the capture is lost, too.
void refuseInCapture(const char* call, const char* error = "cudaErrorStreamCaptureUnsupported") {
  if (!machine.capturing) return;
  machine.captureFailed = true;
  raise(call, error);
}

// Of what can't throw.
void lostInCapture(const char* call) {
  if (!machine.capturing) return;
  machine.captureFailed = true;
  machine.opName = call;
  report(Kind::kLaunch, "a release while a stream is captured", nullptr);
}

// A wait: for an event of a capture it is none.
void refuseCaptured(const char* call, const EventMark& mark) {
  refuseInCapture(call);
  if (mark.captured) raise(call, "cudaErrorCapturedEvent");
}

StreamQueue* raw(const cuda::Stream& stream) { return static_cast<StreamQueue*>(stream.handle()); }

uint64_t hashOf(const void* memory, size_t bytes) {
  uint64_t hash = 1469598103934665603u;
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(memory)[i]) * 1099511628211u;
  return hash;
}

// The kernel as nvcc wrote it, which must take what the host gives.
void (*translated(const char* name, const Call& call))(const void* const*) {
  const TranslatedKernel* kernel = translationOf(call.kernel);
  if (!kernel) throw Error(ErrorCode::kInternal, std::string("no translated kernel is ") + name, {});
  if (kernel->parameterBytes != call.parameterBytes) {
    throw Error(ErrorCode::kInternal, std::string("host and nvcc differ in the sizes of the parameters of ") + name,
                {});
  }
  return kernel->run;
}

}  // namespace

void reset(const Options& options) {
  dynamicBytesByName.clear();
  closeAllStreams();
  resetMemory();
  faults = {};
  machine.options = options;
  machine.card = cardOf(options.architecture);
  machine.random.seed(options.seed);
  machine.findings.clear();
  machine.libraryObjects.clear();
  machine.stats = {};
  machine.op = 0;
  machine.capturing = machine.captureFailed = false;
  machine.current = nullptr;
  const size_t ops = size_t{1} << kOpBits;
  machine.opNames.assign(ops, "");
  machine.opStream.assign(ops, 0);
  machine.opPlace.assign(ops, 0);
}

void reseed(uint64_t seed) {
  machine.options.seed = seed;
  machine.random.seed(seed);
}

const Stats& stats() { return machine.stats; }
uint64_t callCount() { return faults.calls; }
void failCall(uint64_t nth, const std::string& cuda) {
  faults.nth = nth;
  faults.error = cuda;
}

std::string libraryCall() {
  ++faults.calls;
  if (!faults.sticky.empty()) return faults.sticky;
  if (faults.calls != faults.nth) return "";
  if (faults.error != "cudaErrorMemoryAllocation") faults.sticky = faults.error;
  return faults.error;
}

void markRead(const void* at, size_t bytes) {
  if (bytes > 0) touch(at, bytes, false, false, nullptr);
}
void markWritten(void* at, size_t bytes) {
  if (bytes > 0) touch(at, bytes, true, false, nullptr);
}

void enqueueLibrary(cuda::Stream& stream, const char* name, std::function<void()> work) {
  enqueue(raw(stream), name, std::move(work), true);
}

const std::map<std::string, size_t>& dynamicBytes() { return dynamicBytesByName; }

void enqueueKernel(const char* name, cuda::Dim3 grid, cuda::Dim3 block, size_t sharedBytes, cuda::Stream& stream,
                   Call call) {
  enter(name);
  const auto refuse = [&](const std::string& why, bool byCard) {
    machine.opName = name;
    report(Kind::kLaunch, why, nullptr);
    if (byCard) raise(name, "cudaErrorInvalidConfiguration");
  };
  const uint64_t threads = uint64_t{block.x} * block.y * block.z, blocks = uint64_t{grid.x} * grid.y * grid.z;
  const size_t most = machine.card.sharedKiBPerBlock * 1024;
  if (threads == 0 || threads > kThreadsPerBlock || block.z > kBlockZ) {
    refuse("a block of " + std::to_string(block.x) + " x " + std::to_string(block.y) + " x " + std::to_string(block.z),
           true);
  }
  if (blocks == 0 || grid.x > kGridX || grid.y > kGridYZ || grid.z > kGridYZ) {
    refuse("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " + std::to_string(grid.z),
           true);
  }
  if (sharedBytes > most) {
    refuse(std::to_string(sharedBytes) + " bytes of dynamic shared memory; at most " + std::to_string(most), true);
  }
  if (threads % 32 != 0) {
    refuse("a block of " + std::to_string(threads) + " threads, not whole warps", false);
    return;
  }
  dynamicBytesByName[name] = sharedBytes;
  Launch launch;
  launch.name = name;
  launch.grid = grid;
  launch.block = block;
  launch.sharedBytes = sharedBytes;
  launch.thunk = call.thunk;
  if (runsTranslated()) launch.translated = translated(name, call);
  enqueue(
      raw(stream), name,
      [launch, call = std::move(call)] {
        machine.launch = launch;
        machine.launch.arguments = call.arguments.get();
        machine.launch.parameters = call.parameters.data();
        runLaunch();
      },
      true);
}

void reportPadding(const char* kernel) {
  machine.opName = kernel;
  report(Kind::kLaunch, "a parameter with padding, whose bytes may differ where nothing does", nullptr);
}

}  // namespace mlit::emulation

namespace mlit::cuda {

using namespace mlit::emulation;  // NOLINT: this is the same program

int deviceCount(std::string& reason) {
  reason = machine.options.devices == 0 ? machine.options.noDevice : "";
  return machine.options.devices;
}

DeviceProperties deviceProperties(int device) {
  enter("cudaGetDeviceProperties");
  if (device < 0 || device >= machine.options.devices) raise("cudaGetDeviceProperties", "cudaErrorInvalidDevice");
  const Card& card = machine.card;
  return {std::string(card.name),
          card.major,
          card.minor,
          card.processors,
          machine.options.memoryBytes,
          size_t{32} << 20,
          card.sharedKiBPerBlock * 1024,
          card.sharedKiBPerProcessor * 1024,
          card.threadsPerProcessor,
          card.blocksPerProcessor};
}

void setDevice(int device) {
  enter("cudaSetDevice");
  if (device < 0 || device >= machine.options.devices) raise("cudaSetDevice", "cudaErrorInvalidDevice");
  machine.stats.device = device;
}

MemoryInfo memoryInfo() {
  enter("cudaMemGetInfo");
  return {machine.options.memoryBytes - machine.stats.liveBytes, machine.options.memoryBytes};
}

void* allocate(size_t bytes) {
  enter("cudaMalloc");
  refuseInCapture("cudaMalloc");
  void* memory = allocateDevice(bytes);
  if (!memory) raise("cudaMalloc", "cudaErrorMemoryAllocation");
  return memory;
}

void release(void* memory) noexcept {
  if (!memory) return;
  lostInCapture("cudaFree");
  waitFor(markOfAll());
  releaseDevice(memory);
}

void* allocatePinned(size_t bytes) {
  enter("cudaHostAlloc");
  refuseInCapture("cudaHostAlloc");
  void* memory = allocateHost(bytes);
  if (!memory) raise("cudaHostAlloc", "cudaErrorMemoryAllocation");
  return memory;
}

void releasePinned(void* memory) noexcept {
  if (!memory) return;
  lostInCapture("cudaFreeHost");
  waitFor(markOfAll());
  releaseHost(memory);
}

void synchronizeDevice() {
  enter("cudaDeviceSynchronize");
  refuseInCapture("cudaDeviceSynchronize");
  ++machine.stats.hostWaits;
  waitFor(markOfAll());
}

Stream::Stream() {
  enter("cudaStreamCreateWithFlags");
  handle_ = createStream();
}
Stream::~Stream() {
  if (handle_) closeStream(raw(*this));
}
void Stream::synchronize() {
  endRecording(*this);
  enter("cudaStreamSynchronize");
  refuseInCapture("cudaStreamSynchronize");
  ++machine.stats.hostWaits;
  waitFor(markOf(raw(*this)));
}
bool Stream::idle() {
  endRecording(*this);
  enter("cudaStreamQuery");
  refuseInCapture("cudaStreamQuery");
  return isOver(markOf(raw(*this)));
}
void Stream::wait(const Event& event) {
  endRecording(*this);
  enter("cudaStreamWaitEvent");
  const auto& mark = *static_cast<const EventMark*>(event.handle());
  if (captures(raw(*this)) != mark.captured && mark.recorded) {
    refuseInCapture("cudaStreamWaitEvent", "cudaErrorStreamCaptureIsolation");
    raise("cudaStreamWaitEvent", "cudaErrorCapturedEvent");  // a fork, or a graph that is not running
  }
  orderAfter(raw(*this), mark);
}

Event::Event() {
  enter("cudaEventCreateWithFlags");
  handle_ = new EventMark;
}
Event::~Event() { delete static_cast<EventMark*>(handle_); }
void Event::record(Stream& stream) {
  endRecording(stream);
  enter("cudaEventRecord");
  *static_cast<EventMark*>(handle_) = markOf(raw(stream));
}
void Event::synchronize() {
  enter("cudaEventSynchronize");
  refuseCaptured("cudaEventSynchronize", *static_cast<EventMark*>(handle_));
  ++machine.stats.hostWaits;
  waitFor(*static_cast<EventMark*>(handle_));
}
bool Event::done() {
  enter("cudaEventQuery");
  refuseCaptured("cudaEventQuery", *static_cast<EventMark*>(handle_));
  return isOver(*static_cast<EventMark*>(handle_));
}

Graph::Graph(Stream& stream, const std::function<void()>& enqueue) {
  endRecording(stream);
  enter("cudaStreamBeginCapture");
  refuseInCapture("cudaStreamBeginCapture", "cudaErrorIllegalState");
  if (!machine.options.captures) raise("cudaStreamBeginCapture", "cudaErrorNotSupported");
  auto list = std::make_unique<std::vector<Captured>>();
  captureTo(raw(stream), list.get());
  machine.capturing = true;
  const auto end = [&] {
    captureTo(raw(stream), nullptr);
    machine.capturing = false;
    return std::exchange(machine.captureFailed, false);
  };
  try {
    enqueue();
  } catch (...) {
    end();
    throw;
  }
  const bool failed = end();
  enter("cudaStreamEndCapture");
  if (failed) raise("cudaStreamEndCapture", "cudaErrorStreamCaptureInvalidated");
  enter("cudaGraphInstantiate");
  ++machine.stats.graphs;
  handle_ = list.release();
}
Graph::~Graph() { delete static_cast<std::vector<Captured>*>(handle_); }
void Graph::launch(Stream& stream) {
  endRecording(stream);
  enter("cudaGraphLaunch");
  refuseInCapture("cudaGraphLaunch");
  ++machine.stats.graphLaunches;
  launchCaptured(raw(stream), *static_cast<std::vector<Captured>*>(handle_));
}

void copyToDevice(void* to, const void* from, size_t bytes, Stream& stream) {
  endRecording(stream);
  enter("cudaMemcpyAsync");
  machine.stats.bytesToDevice += bytes;
  if (bytes == 0) return;
  if (!isPinned(from, bytes)) {
    if (captures(raw(stream))) refuseInCapture("cudaMemcpyAsync");
    auto staged =
        std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    enqueue(raw(stream), "copy to the device", [to, staged] {
      if (touch(to, staged->size(), true, false, nullptr)) std::memcpy(to, staged->data(), staged->size());
    });
    return;
  }
  enqueueMade(raw(stream), "copy to the device", [to, from, bytes]() -> std::function<void()> {
    if (!isPinned(from, bytes)) {
      return [] { report(Kind::kHostMemory, "a graph copies from pinned memory that was released", nullptr); };
    }
    return [to, from, bytes, before = hashOf(from, bytes)] {
      if (hashOf(from, bytes) != before) report(Kind::kHostMemory, "pinned source changed before it was read", nullptr);
      if (touch(to, bytes, true, false, nullptr)) std::memcpy(to, from, bytes);
    };
  });
}

void copyToHost(void* to, const void* from, size_t bytes, Stream& stream) {
  endRecording(stream);
  enter("cudaMemcpyAsync");
  machine.stats.bytesToHost += bytes;
  if (bytes == 0) return;
  const bool pinned = isPinned(to, bytes);
  if (captures(raw(stream)) && !pinned) refuseInCapture("cudaMemcpyAsync");
  enqueueMade(raw(stream), "copy to the host", [to, from, bytes, pinned]() -> std::function<void()> {
    if (pinned && !isPinned(to, bytes)) {
      return [] { report(Kind::kHostMemory, "a graph copies to pinned memory that was released", nullptr); };
    }
    std::memset(to, 0xFF, bytes);  // whoever looks too early sees NaN
    return [to, from, bytes] {
      if (touch(from, bytes, false, false, nullptr)) std::memcpy(to, from, bytes);
    };
  });
  if (pinned) return;
  ++machine.stats.hostWaits;
  waitFor(markOf(raw(stream)));
}

void copyOnDevice(void* to, const void* from, size_t bytes, Stream& stream) {
  if (Recording* const recording = stream.recording()) {
    return recording->note([=](Stream& on) { copyOnDevice(to, from, bytes, on); }, Other::kCopy, to, from, bytes);
  }
  enter("cudaMemcpyAsync");
  if (bytes == 0) return;
  enqueue(raw(stream), "copy on the device", [to, from, bytes] {
    if (touch(from, bytes, false, false, nullptr) && touch(to, bytes, true, false, nullptr))
      std::memmove(to, from, bytes);
  });
}

void fill(void* at, unsigned char value, size_t bytes, Stream& stream) {
  if (Recording* const recording = stream.recording()) {
    return recording->note([=](Stream& on) { fill(at, value, bytes, on); }, Other::kFill, at, value, bytes);
  }
  enter("cudaMemsetAsync");
  if (bytes == 0) return;
  enqueue(raw(stream), "fill", [at, value, bytes] {
    if (touch(at, bytes, true, false, nullptr)) std::memset(at, value, bytes);
  });
}

}  // namespace mlit::cuda
