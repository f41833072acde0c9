// Memory of the emulated device and its host. Addresses are not handed out again while anything is allocated, so a stale one stays
// an error; the device's pages can be touched only while its work runs.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "core/error.h"
#include "emulation/memory.h"

namespace mlit::emulation {

namespace {

constexpr size_t kGap = 512;  // between allocations, or a neighbour would absorb an overrun

struct Book {
  std::map<const char*, size_t> device, pinned;
  size_t next = kGap;
} book;

void onFault(int, siginfo_t* info, void*) {
  static const char kText[] = "emulation: host code touched device memory\n";
  if (machine.device.holds(info->si_addr)) {
    const ssize_t ignored = write(STDERR_FILENO, kText, sizeof kText - 1);
    static_cast<void>(ignored);
  }
  signal(SIGSEGV, SIG_DFL);  // the instruction runs again and ends the process
}

}  // namespace

void openDevice(bool open) {
  mprotect(machine.device.base, machine.device.bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void resetMemory() {
  createArenas();
  for (const auto& [memory, bytes] : book.pinned) std::free(const_cast<char*>(memory));
  book = {};
  Arena& d = machine.device;
  openDevice(true);
  madvise(d.base, d.bytes, MADV_DONTNEED);
  madvise(d.states, d.bytes / kGranule, MADV_DONTNEED);
  forgetHistory();
  openDevice(false);
  struct sigaction action {};
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
}

void* allocateDevice(size_t bytes) {
  const size_t size = std::max<size_t>(bytes, 1), span = (size + kGap - 1) / kGap * kGap + kGap;
  if (book.device.empty() && book.next > machine.device.bytes / 2) {
    book.next = kGap;
    madvise(machine.device.states, machine.device.bytes / kGranule, MADV_DONTNEED);
    forgetHistory();
  }
  if (machine.stats.liveBytes + size > machine.options.memoryBytes || book.next + span > machine.device.bytes)
    return nullptr;
  char* memory = machine.device.base + book.next;
  book.next += span;
  book.device.emplace(memory, size);
  openDevice(true);
  std::memset(memory, 0xFF, size);
  openDevice(false);
  machine.device.setState(memory, size, State::kUnwritten);
  ++machine.stats.allocations;
  machine.stats.liveBytes += size;
  machine.stats.peakBytes = std::max(machine.stats.peakBytes, machine.stats.liveBytes);
  return memory;
}

void releaseDevice(void* memory) {
  const auto found = book.device.find(static_cast<const char*>(memory));
  if (found == book.device.end()) {
    report(Kind::kFreed, "release of what is not allocated", nullptr);
    return;
  }
  machine.stats.liveBytes -= found->second;
  machine.device.setState(memory, found->second, State::kFreed);
  openDevice(true);
  std::memset(memory, 0xFF, found->second);
  openDevice(false);
  book.device.erase(found);
}

void* allocateHost(size_t bytes) {
  void* memory = std::aligned_alloc(4096, (std::max<size_t>(bytes, 1) + 4095) / 4096 * 4096);
  if (!memory) return nullptr;
  std::memset(memory, 0xFF, bytes);
  book.pinned.emplace(static_cast<const char*>(memory), bytes);
  machine.stats.livePinnedBytes += bytes;
  return memory;
}

void releaseHost(void* memory) {
  const auto found = book.pinned.find(static_cast<const char*>(memory));
  if (found == book.pinned.end()) {
    report(Kind::kFreed, "release of what is not pinned memory", nullptr);
    return;
  }
  machine.stats.livePinnedBytes -= found->second;
  book.pinned.erase(found);
  std::free(memory);
}

bool isPinned(const void* memory, size_t bytes) {
  const char* at = static_cast<const char*>(memory);
  auto after = book.pinned.upper_bound(at);
  if (after == book.pinned.begin()) return false;
  --after;
  return at + bytes <= after->first + after->second;
}

}  // namespace mlit::emulation
