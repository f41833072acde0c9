// Memory of the CPU backend: the host's own, so that uploads and downloads are plain copies. Large pieces ask for
// huge pages, because a matrix product walks over more 4 KiB pages than the processor can remember.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {

void* allocatePages(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  constexpr size_t kLine = 256;
  const size_t alignment = bytes >= 2 * kHuge ? kHuge : kLine;
  const size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  if (rounded < bytes) return nullptr;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, rounded == 0 ? kLine : rounded) != 0) return nullptr;
  if (alignment == kHuge) madvise(memory, rounded, MADV_HUGEPAGE);  // a wish; nothing depends on it
  return memory;
}

DevicePtr<std::byte> CpuBackend::allocate(size_t bytes) {
  void* memory = allocatePages(bytes);
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

void CpuBackend::watchCancel(const std::atomic<bool>* flag) { pool_.watch(flag); }

}  // namespace mlit
