// Replaced for the whole binary, so that allocations of the standard library count as ours do.
#include "test/faults.h"

#include <fcntl.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace mlit::test {
namespace {

std::atomic<FaultKind> active{FaultKind::kNone};
std::atomic<bool> counting{false};
std::atomic<int64_t> target{0}, allocationCount{0}, callCount{0}, readCount{0};

bool allocationFails() {
  if (!counting.load(std::memory_order_relaxed)) return false;
  const int64_t number = ++allocationCount;
  return number == target && active.load(std::memory_order_relaxed) == FaultKind::kAllocation;
}

// What the call that is being made has to suffer, if anything. count: that of its sort.
FaultKind faultOf(std::atomic<int64_t>& count) {
  if (!counting.load(std::memory_order_relaxed)) return FaultKind::kNone;
  return ++count == target ? active.load(std::memory_order_relaxed) : FaultKind::kNone;
}

FaultKind writeFault() { return faultOf(callCount); }
FaultKind readFault() { return faultOf(readCount); }

bool callFails(int reason) {
  if (writeFault() != FaultKind::kCall) return false;
  errno = reason;
  return true;
}

}  // namespace

Faults::Faults(FaultKind kind, int64_t n) {
  allocationCount = callCount = readCount = 0;
  active = kind;
  target = n;
  counting = true;
}

Faults::~Faults() { counting = false; }

int64_t Faults::allocations() { return allocationCount; }
int64_t Faults::calls() { return callCount; }
int64_t Faults::reads() { return readCount; }

}  // namespace mlit::test

using mlit::test::FaultKind;

namespace {

void* allocate(size_t bytes) noexcept {
  return mlit::test::allocationFails() ? nullptr : std::malloc(bytes > 0 ? bytes : 1);
}

}  // namespace

// All that are not aligned, so that under AddressSanitizer none of its own meets one of these.
void* operator new(size_t bytes) {
  if (void* memory = allocate(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) { return operator new(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): names that the linker gives them
int __real_open(const char* path, int flags, ...);
ssize_t __real_write(int fd, const void* data, size_t bytes);
ssize_t __real_pread(int fd, void* data, size_t bytes, off_t offset);
int __real_fsync(int fd);
int __real_rename(const char* from, const char* to);
int __real_close(int fd);

int __wrap_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return mlit::test::callFails(ENOSPC) ? -1 : __real_open(path, flags, mode);
}
ssize_t __wrap_write(int fd, const void* data, size_t bytes) {
  switch (mlit::test::writeFault()) {
    case FaultKind::kCall:
      errno = ENOSPC;
      return -1;
    case FaultKind::kInterrupt:
      errno = EINTR;
      return -1;
    case FaultKind::kShortWrite:
      return __real_write(fd, data, bytes > 0 ? 1 : 0);
    default:
      return __real_write(fd, data, bytes);
  }
}
ssize_t __wrap_pread(int fd, void* data, size_t bytes, off_t offset) {
  switch (mlit::test::readFault()) {
    case FaultKind::kRead:
      errno = EIO;
      return -1;
    case FaultKind::kCutFile:
      return 0;
    case FaultKind::kShortRead:
      return __real_pread(fd, data, bytes > 0 ? 1 : 0, offset);
    default:
      return __real_pread(fd, data, bytes, offset);
  }
}
int __wrap_fsync(int fd) { return mlit::test::callFails(ENOSPC) ? -1 : __real_fsync(fd); }
int __wrap_rename(const char* from, const char* to) {
  return mlit::test::callFails(ENOSPC) ? -1 : __real_rename(from, to);
}
// The descriptor is gone even where close() fails.
int __wrap_close(int fd) {
  const bool fails = mlit::test::callFails(ENOSPC);
  const int result = __real_close(fd);
  if (fails) errno = ENOSPC;
  return fails ? -1 : result;
}
// NOLINTEND(bugprone-reserved-identifier)
}
