// Memory of the CPU backend: the host's own, so that uploads and downloads are plain copies.
#include <cstdlib>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {

DevicePtr<std::byte> CpuBackend::allocate(size_t bytes) {
  constexpr size_t kAlignment = 256;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (memory == nullptr) {
    throw Error(ErrorCode::kOutOfMemory, "the system refused " + std::to_string(bytes) + " bytes of memory",
                {{"bytes", std::to_string(bytes)}});
  }
  return DevicePtr<std::byte>(static_cast<std::byte*>(memory));
}

void CpuBackend::release(DevicePtr<std::byte> memory, size_t) { std::free(memory.raw()); }

void CpuBackend::upload(DevicePtr<std::byte> to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to.raw(), from, bytes);
}

void CpuBackend::download(void* to, DevicePtr<const std::byte> from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from.raw(), bytes);
}

void CpuBackend::zero(DevicePtr<std::byte> at, size_t bytes) {
  if (bytes > 0) std::memset(at.raw(), 0, bytes);
}

void CpuBackend::copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) {
  if (bytes > 0) std::memmove(to.raw(), from.raw(), bytes);
}

void CpuBackend::synchronize() {}

}  // namespace mlit
