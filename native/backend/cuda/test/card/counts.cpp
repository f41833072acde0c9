// A card as the device under test. What the host asks of the runtime is counted at NVIDIA's own functions, which the linker
// puts these in front of (gpu.cmake), so that the code under test is the plug-in's as it ships.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "backend/cuda/runtime.h"
#include "backend/cuda/test/device_under_test.h"

namespace mlit::test {
namespace {

std::mutex mutex;
std::map<const void*, size_t> allocated;
device::HostCounts counts;

void countAllocation(const void* at, size_t bytes) {
  const std::lock_guard lock(mutex);
  allocated[at] = bytes;
  ++counts.allocations;
  counts.liveBytes += bytes;
  if (counts.liveBytes > counts.peakBytes) counts.peakBytes = counts.liveBytes;
}

void countRelease(const void* at) {
  const std::lock_guard lock(mutex);
  const auto entry = allocated.find(at);
  if (entry == allocated.end()) return;
  counts.liveBytes -= entry->second;
  allocated.erase(entry);
}

void countWait() {
  const std::lock_guard lock(mutex);
  ++counts.waits;
}

}  // namespace

void device::begin(uint64_t, int) {
  const std::lock_guard lock(mutex);
  counts = {0, 0, counts.liveBytes, counts.liveBytes};
}

bool device::emulated() { return false; }
void device::redraw(uint64_t) {}

device::HostCounts device::hostCounts() {
  const std::lock_guard lock(mutex);
  return counts;
}

std::optional<device::KernelCounts> device::kernelCounts() { return std::nullopt; }

void device::poison(void* at, size_t bytes) {
  cuda::Stream stream;
  cuda::fill(at, 0xFF, bytes, stream);
}

}  // namespace mlit::test

extern "C" {

cudaError_t __real_cudaMalloc(void** at, size_t bytes);
cudaError_t __wrap_cudaMalloc(void** at, size_t bytes);
cudaError_t __real_cudaFree(void* at);
cudaError_t __wrap_cudaFree(void* at);
cudaError_t __real_cudaStreamSynchronize(cudaStream_t stream);
cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t stream);
cudaError_t __real_cudaEventSynchronize(cudaEvent_t event);
cudaError_t __wrap_cudaEventSynchronize(cudaEvent_t event);
cudaError_t __real_cudaDeviceSynchronize();
cudaError_t __wrap_cudaDeviceSynchronize();

cudaError_t __wrap_cudaMalloc(void** at, size_t bytes) {
  const cudaError_t status = __real_cudaMalloc(at, bytes);
  if (status == cudaSuccess) mlit::test::countAllocation(*at, bytes);
  return status;
}

cudaError_t __wrap_cudaFree(void* at) {
  mlit::test::countRelease(at);
  return __real_cudaFree(at);
}

cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t stream) {
  mlit::test::countWait();
  return __real_cudaStreamSynchronize(stream);
}

cudaError_t __wrap_cudaEventSynchronize(cudaEvent_t event) {
  mlit::test::countWait();
  return __real_cudaEventSynchronize(event);
}

cudaError_t __wrap_cudaDeviceSynchronize() {
  mlit::test::countWait();
  return __real_cudaDeviceSynchronize();
}

}  // extern "C"
