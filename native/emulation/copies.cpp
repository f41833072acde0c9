// Asynchronous copies of a thread, accesses wider than the compiler instruments as one, and atomics. A copy's destination is NaN from the
// start and is filled only by the wait for it: whoever reads before has read too early.
#include <cstring>
#include <utility>

#include "emulation/machine.h"

namespace mlit::emulation {

namespace {

void deliver(Thread& t, size_t count) {
  Arena& shared = machine.shared;
  for (size_t i = 0; i < count; ++i) {
    const Copy& copy = t.copies[i];
    std::memset(copy.to, 0, static_cast<size_t>(copy.bytes));
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.sourceBytes));
    const size_t first = static_cast<size_t>(copy.to - shared.base) / kGranule;
    for (size_t g = first; g < first + static_cast<size_t>(copy.bytes) / kGranule; ++g) {
      if (shared.states[g] != State::kInFlight) continue;  // out of bounds: already found
      shared.states[g] = State::kWritten;
      shared.writes[g] = machine.self;
    }
  }
  t.copies.erase(t.copies.begin(), t.copies.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

void copyAsync(void* shared, const void* global, int bytes, int sourceBytes) {
  const Inside inside;
  const void* code = __builtin_return_address(0);
  const auto size = static_cast<size_t>(bytes);
  if (!machine.shared.holds(shared) || (sourceBytes > 0 && !machine.device.holds(global))) {
    report(Kind::kWild, "an asynchronous copy that is not from global to shared memory", code);
    abandonLaunch();
  }
  if (reinterpret_cast<uintptr_t>(global) % size != 0) {
    report(Kind::kMisaligned, "source of an asynchronous copy", code);
    abandonLaunch();
  }
  if (sourceBytes > 0 && !touch(global, static_cast<size_t>(sourceBytes), false, false, code)) abandonLaunch();
  if (!touch(shared, size, true, true, code)) abandonLaunch();
  std::memset(shared, 0xFF, size);
  const size_t first = static_cast<size_t>(static_cast<char*>(shared) - machine.shared.base) / kGranule;
  for (size_t g = first; g < first + size / kGranule; ++g) {
    if (machine.shared.states[g] == State::kWritten) machine.shared.states[g] = State::kInFlight;
  }
  Thread& t = *machine.current;
  t.copies.push_back({static_cast<char*>(shared), static_cast<const char*>(global), bytes, sourceBytes});
  ++t.open;
}

void copyAsyncCommit() {
  const Inside inside;
  Thread& t = *machine.current;
  t.groups.push_back(std::exchange(t.open, 0));
}

void copyAsyncWait(int pending) {
  const Inside inside;
  Thread& t = *machine.current;
  while (t.groups.size() > static_cast<size_t>(pending)) {
    deliver(t, t.groups.front());
    t.groups.erase(t.groups.begin());
  }
}

void loadWide(void* to, const void* from, size_t bytes) {
  const Inside inside;
  if (!touch(from, bytes, false, true, __builtin_return_address(0))) abandonLaunch();
  std::memcpy(to, from, bytes);
}

void storeWide(void* to, const void* from, size_t bytes) {
  const Inside inside;
  if (!touch(to, bytes, true, true, __builtin_return_address(0))) abandonLaunch();
  std::memcpy(to, from, bytes);
}

unsigned atomicAdd(unsigned* shared, unsigned value) {
  const Inside inside;
  if (!touchAtomic(shared, sizeof(unsigned), __builtin_return_address(0))) abandonLaunch();
  const unsigned before = *shared;
  *shared = before + value;
  return before;
}

}  // namespace mlit::emulation
