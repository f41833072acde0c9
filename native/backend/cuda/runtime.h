// All that the CUDA backend's host side wants of a runtime, so that one source runs on a card and, in tests, on an emulator
// that knows what a card would have refused. Two implementations, chosen by linking: runtime_cuda.cu over NVIDIA's
// runtime (in the plug-in) and native/emulation (in tests). Kernels are launched by device/launch.cuh.
//
// What both keep, and the emulator checks:
//  - Work of one stream runs in order; work of two streams is ordered by events, or by the host waiting in between.
//  - A copy from pinned memory reads its source when it runs: the host leaves it alone until then. A copy from pageable
//    memory has read it on return; one to pageable memory makes the host wait, so a step has none.
//  - Whatever fails throws mlit::Error: kOutOfMemory, kDeviceUnavailable (no device, no usable driver) or kInternal, with the
//    fields `call` and `cuda` (the runtime's name of the error). A failed launch may only show in a later call. After an
//    error of the device itself every call fails: the process has to give it up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace mlit::cuda {

struct DeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int processors = 0;        // SMs
  size_t totalBytes = 0;
  size_t l2Bytes = 0;
  size_t sharedBytesPerBlock = 0;  // the most that a launch may ask for (above 48 KiB launch() opts in)
  size_t sharedBytesPerProcessor = 0;
  int threadsPerProcessor = 0;
  int blocksPerProcessor = 0;
};

// Devices that can be used, CUDA_VISIBLE_DEVICES honoured. Never throws: 0 with the reason (no driver, too old a one, none there).
int deviceCount(std::string& reason);
DeviceProperties deviceProperties(int device);
// The device of every later call of this thread.
void setDevice(int device);
struct MemoryInfo {
  size_t freeBytes = 0, totalBytes = 0;
};
MemoryInfo memoryInfo();

void* allocate(size_t bytes);         // 256-byte aligned; contents are undefined
void release(void* memory) noexcept;  // waits for the device; null is allowed
void* allocatePinned(size_t bytes);   // page-locked host memory
void releasePinned(void* memory) noexcept;
void synchronizeDevice();

class Event;
class Recording;

// Ordered work. Never the default stream, and not ordered with it.
class Stream {
 public:
  Stream();
  ~Stream();  // waits for its work
  Stream(Stream&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), recording_(std::exchange(other.recording_, nullptr)) {}
  Stream& operator=(Stream&&) = delete;

  void synchronize();
  bool idle();
  void wait(const Event& event);  // what is enqueued from now on runs after the event's latest record()
  void* handle() const { return handle_; }

  // Where kernels, products, fills and copies on the device are written down from now on instead of enqueued; null: nowhere. All
  // else that is asked of the stream enqueues what is written first, and ends that (recording.h).
  void record(Recording* recording) { recording_ = recording; }
  Recording* recording() const { return recording_; }

 private:
  void* handle_ = nullptr;
  Recording* recording_ = nullptr;
};

// A place in a stream. Made without timing: the fast kind.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&&) = delete;

  void record(Stream& stream);
  void synchronize();  // waits for the latest record(); at once where there was none
  bool done();
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

// Work that was captured once, to be launched as one: the host pays for one launch. Addresses and numbers are those of the
// capture; what lies at the addresses is read when it runs.
class Graph {
 public:
  // What enqueue() puts into the stream, of which nothing runs. Nobody may wait, allocate, release, or copy pageable memory in it.
  Graph(Stream& stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  void launch(Stream& stream);

 private:
  void* handle_ = nullptr;
};

void copyToDevice(void* to, const void* from, size_t bytes, Stream& stream);
void copyToHost(void* to, const void* from, size_t bytes, Stream& stream);
void copyOnDevice(void* to, const void* from, size_t bytes, Stream& stream);
void fill(void* at, unsigned char value, size_t bytes, Stream& stream);

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

}  // namespace mlit::cuda
