// runtime.h over NVIDIA's runtime: each function one call and the translation of its error.
#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <utility>

#include "backend/cuda/recording.h"
#include "backend/cuda/runtime.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const bool absent = status == cudaErrorNoDevice || status == cudaErrorInvalidDevice ||
                      status == cudaErrorInsufficientDriver || status == cudaErrorDevicesUnavailable ||
                      status == cudaErrorSystemDriverMismatch || status == cudaErrorSystemNotReady;
  const ErrorCode code = status == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory
                         : absent                            ? ErrorCode::kDeviceUnavailable
                                                             : ErrorCode::kInternal;
  throw Error(code, std::string(call) + " failed: " + cudaGetErrorName(status) + ", " + cudaGetErrorString(status),
              {{"call", call}, {"cuda", cudaGetErrorName(status)}});
}

cudaStream_t raw(const Stream& stream) { return static_cast<cudaStream_t>(stream.handle()); }
cudaEvent_t raw(const Event& event) { return static_cast<cudaEvent_t>(event.handle()); }

size_t attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, device), "cudaDeviceGetAttribute");
  return static_cast<size_t>(value);
}

}  // namespace

int deviceCount(std::string& reason) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  reason = status == cudaSuccess ? count == 0 ? "no CUDA device" : "" : cudaGetErrorString(status);
  if (status != cudaSuccess) cudaGetLastError();  // it would show in the next call
  return status == cudaSuccess ? count : 0;
}

DeviceProperties deviceProperties(int device) {
  cudaDeviceProp raw{};
  check(cudaGetDeviceProperties(&raw, device), "cudaGetDeviceProperties");
  DeviceProperties properties;
  properties.name = raw.name;
  properties.major = raw.major;
  properties.minor = raw.minor;
  properties.processors = raw.multiProcessorCount;
  properties.totalBytes = raw.totalGlobalMem;
  properties.l2Bytes = static_cast<size_t>(raw.l2CacheSize);
  properties.sharedBytesPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  properties.sharedBytesPerProcessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  properties.threadsPerProcessor = raw.maxThreadsPerMultiProcessor;
  properties.blocksPerProcessor = static_cast<int>(attribute(cudaDevAttrMaxBlocksPerMultiprocessor, device));
  return properties;
}

void setDevice(int device) { check(cudaSetDevice(device), "cudaSetDevice"); }

MemoryInfo memoryInfo() {
  MemoryInfo info;
  check(cudaMemGetInfo(&info.freeBytes, &info.totalBytes), "cudaMemGetInfo");
  return info;
}

void* allocate(size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "cudaMalloc");
  return memory;
}
void release(void* memory) noexcept { cudaFree(memory); }

void* allocatePinned(size_t bytes) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "cudaHostAlloc");
  return memory;
}
void releasePinned(void* memory) noexcept { cudaFreeHost(memory); }

void synchronizeDevice() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

Stream::Stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  handle_ = stream;
}
Stream::~Stream() {
  if (!handle_) return;
  cudaStreamSynchronize(raw(*this));
  cudaStreamDestroy(raw(*this));
}
void Stream::synchronize() {
  endRecording(*this);
  check(cudaStreamSynchronize(raw(*this)), "cudaStreamSynchronize");
}
bool Stream::idle() {
  endRecording(*this);
  const cudaError_t status = cudaStreamQuery(raw(*this));
  if (status != cudaErrorNotReady) check(status, "cudaStreamQuery");
  return status == cudaSuccess;
}
void Stream::wait(const Event& event) {
  endRecording(*this);
  check(cudaStreamWaitEvent(raw(*this), raw(event), 0), "cudaStreamWaitEvent");
}

Event::Event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  handle_ = event;
}
Event::~Event() {
  if (handle_) cudaEventDestroy(raw(*this));
}
void Event::record(Stream& stream) {
  endRecording(stream);
  check(cudaEventRecord(raw(*this), raw(stream)), "cudaEventRecord");
}
void Event::synchronize() { check(cudaEventSynchronize(raw(*this)), "cudaEventSynchronize"); }
bool Event::done() {
  const cudaError_t status = cudaEventQuery(raw(*this));
  if (status != cudaErrorNotReady) check(status, "cudaEventQuery");
  return status == cudaSuccess;
}

Graph::Graph(Stream& stream, const std::function<void()>& enqueue) {
  check(cudaStreamBeginCapture(raw(stream), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    if (cudaStreamEndCapture(raw(stream), &graph) == cudaSuccess) cudaGraphDestroy(graph);
    cudaGetLastError();  // the end of a capture that has failed fails as well
    throw;
  }
  check(cudaStreamEndCapture(raw(stream), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t made = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&made, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  handle_ = made;
}
Graph::~Graph() {
  if (handle_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle_));
}
void Graph::launch(Stream& stream) {
  endRecording(stream);
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_), raw(stream)), "cudaGraphLaunch");
}

void copyToDevice(void* to, const void* from, size_t bytes, Stream& stream) {
  endRecording(stream);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, raw(stream)), "cudaMemcpyAsync");
}
void copyToHost(void* to, const void* from, size_t bytes, Stream& stream) {
  endRecording(stream);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, raw(stream)), "cudaMemcpyAsync");
}
void copyOnDevice(void* to, const void* from, size_t bytes, Stream& stream) {
  if (Recording* const recording = stream.recording()) {
    return recording->note([=](Stream& on) { copyOnDevice(to, from, bytes, on); }, Other::kCopy, to, from, bytes);
  }
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, raw(stream)), "cudaMemcpyAsync");
}
void fill(void* at, unsigned char value, size_t bytes, Stream& stream) {
  if (Recording* const recording = stream.recording()) {
    return recording->note([=](Stream& on) { fill(at, value, bytes, on); }, Other::kFill, at, value, bytes);
  }
  check(cudaMemsetAsync(at, value, bytes, raw(stream)), "cudaMemsetAsync");
}

void launchKernel(const void* kernel, const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
                  void** arguments);

namespace {

// Asked for once for a kernel and device, or again where it wants more.
void allowShared(const void* kernel, const char* name, size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> allowed;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{device, kernel}];
  if (most >= bytes) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), name);
  most = bytes;
}

}  // namespace

void launchKernel(const void* kernel, const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
                  void** arguments) {
  if (sharedBytes > size_t{48} * 1024) allowShared(kernel, name, sharedBytes);
  check(cudaLaunchKernel(kernel, dim3(grid.x, grid.y, grid.z), dim3(block.x, block.y, block.z), arguments, sharedBytes,
                         raw(stream)),
        name);
}

}  // namespace mlit::cuda
