// The shadow of device and shared memory: what every access is checked against. Races are found by happens-before (barriers,
// __syncwarp, order of streams), so that they show whatever order the threads happened to run in.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "emulation/machine.h"

extern "C" const char __ehdr_start, _end;  // NOLINT: the linker's names

namespace mlit::emulation {

Machine machine;

namespace {

constexpr size_t kSharedArena = size_t{512} * 1024, kDeviceArena = size_t{1} << 30;

void* reserve(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("the emulator could not reserve address space");
    std::abort();
  }
  madvise(memory, bytes, MADV_HUGEPAGE);  // the device's memory is locked and unlocked around every op, page by page
  return memory;
}

Arena arenaOf(const char* name, bool ofDevice, size_t bytes) {
  const size_t granules = bytes / kGranule;
  return {name,
          ofDevice,
          static_cast<char*>(reserve(bytes)),
          bytes,
          static_cast<State*>(reserve(granules)),
          static_cast<Cell*>(reserve(granules * sizeof(Cell))),
          static_cast<Cell*>(reserve(granules * sizeof(Cell))),
          ofDevice ? nullptr : static_cast<Cell*>(reserve(granules * sizeof(Cell))),
          ofDevice ? static_cast<uint32_t*>(reserve(granules * sizeof(uint32_t))) : nullptr};
}

// Whether an op of the past is over for certain when the one that runs begins.
bool opIsOver(uint64_t op) {
  const uint32_t stream = machine.opStream[op];
  return stream < machine.clock.size() && machine.clock[stream] >= machine.opPlace[op];
}

// Whether nothing orders the earlier access before the one by `self`.
bool unordered(Cell earlier, const Who& self, bool ofDevice) {
  if (earlier == 0) return false;
  const Who e = unpack(earlier);
  if (e.op != self.op) return ofDevice && !opIsOver(e.op);
  if (e.spread == kManyBlocks) return true;
  if (e.block != self.block) return ofDevice;
  if (e.epoch != self.epoch) return false;
  if (e.spread == kOneBlock) return true;
  if (e.thread / 32 != self.thread / 32) return true;
  if (e.warpEpoch != self.warpEpoch) return false;
  return e.spread == kOneWarp || e.thread != self.thread;
}

// The read cell after one more read.
Cell joined(Cell earlier, const Who& self, bool ofDevice) {
  Who now = self;
  const Who e = unpack(earlier);
  if (earlier == 0 || e.op != self.op) return pack(now);
  if (e.spread == kManyBlocks || e.block != self.block) {
    if (ofDevice) now.spread = kManyBlocks;
  } else if (e.epoch == self.epoch) {
    if (e.spread == kOneBlock || e.thread / 32 != self.thread / 32) {
      now.spread = kOneBlock;
    } else if (e.warpEpoch == self.warpEpoch && (e.spread == kOneWarp || e.thread != self.thread)) {
      now.spread = kOneWarp;
    }
  }
  return pack(now);
}

std::string other(Cell cell) {
  const Who w = unpack(cell);
  if (w.op != machine.op) return std::string("an op that is not over, ") + machine.opNames[w.op];
  if (!machine.current) return "the same op";
  if (w.spread == kManyBlocks) return "several blocks";
  if (w.block != (machine.block & ((1u << kBlockBits) - 1))) {
    return "block " + std::to_string(w.block) + " thread " + std::to_string(w.thread);
  }
  return w.spread == kOneThread ? "thread " + std::to_string(w.thread) : "several threads";
}

std::string accessOf(size_t bytes, bool write, const Arena& arena) {
  return std::string(write ? "write" : "read") + " of " + std::to_string(bytes) + " bytes of " + arena.name + " memory";
}

void reportState(State state, const Arena& arena, size_t bytes, bool write, const void* code) {
  const std::string what = accessOf(bytes, write, arena);
  if (state == State::kOutside) report(Kind::kOutOfBounds, what, code);
  if (state == State::kUnwritten) report(Kind::kUnwritten, what, code);
  if (state == State::kInFlight) report(Kind::kInFlight, what, code);
  if (state == State::kFreed) report(Kind::kFreed, what, code);
}

void note(Arena& arena, size_t granule, size_t bytes, bool write, const Who& self, const void* code) {
  const State state = arena.states[granule];
  if (state != State::kWritten && !(write && state == State::kUnwritten)) {
    reportState(state, arena, bytes, write, code);
    if (state != State::kUnwritten) return;
  }
  Cell& wrote = arena.writes[granule];
  Cell& read = arena.reads[granule];
  if (arena.ofDevice && unpack(write ? wrote : read).op != self.op) {
    (write ? machine.work->writtenBytes : machine.work->readBytes) += kGranule;
  }
  if (unordered(wrote, self, arena.ofDevice)) {
    report(Kind::kRace, accessOf(bytes, write, arena) + ", written by " + other(wrote) + ",", code);
  }
  if (arena.atomics && unordered(arena.atomics[granule], self, false)) {
    report(Kind::kRace,
           accessOf(bytes, write, arena) + ", changed by an atomic of " + other(arena.atomics[granule]) + ",", code);
  }
  if (!write) {
    if (arena.ofDevice && read != 0 && unpack(read).op != self.op && !opIsOver(unpack(read).op)) {
      const Inside inside;
      machine.otherReads[granule].push_back(read);
    }
    read = joined(read, self, arena.ofDevice);
    return;
  }
  if (unordered(read, self, arena.ofDevice)) {
    report(Kind::kRace, accessOf(bytes, write, arena) + ", read by " + other(read) + ",", code);
  }
  if (arena.ofDevice && !machine.otherReads.empty()) {
    const Inside inside;
    const auto found = machine.otherReads.find(granule);
    if (found != machine.otherReads.end()) {
      for (const Cell cell : found->second) {
        if (unordered(cell, self, true)) {
          report(Kind::kRace, accessOf(bytes, write, arena) + ", read by " + other(cell) + ",", code);
        }
      }
      machine.otherReads.erase(found);
    }
  }
  arena.states[granule] = State::kWritten;
  wrote = pack(self);
}

}  // namespace

void Arena::setState(const void* at, size_t n, State state) {
  const size_t first = static_cast<size_t>(static_cast<const char*>(at) - base) / kGranule;
  std::fill_n(states + first, (n + kGranule - 1) / kGranule, state);
}

void createArenas() {
  if (machine.device.base) return;
  machine.shared = arenaOf("shared", false, kSharedArena);
  machine.device = arenaOf("device", true, kDeviceArena);
}

void forgetHistory() {
  for (const Arena* arena : {&machine.device, &machine.shared}) {
    const size_t bytes = arena->bytes / kGranule * sizeof(Cell);
    madvise(arena->writes, bytes, MADV_DONTNEED);
    madvise(arena->reads, bytes, MADV_DONTNEED);
    if (arena->atomics) madvise(arena->atomics, bytes, MADV_DONTNEED);
  }
  madvise(machine.device.readOnly, machine.device.bytes / kGranule * sizeof(uint32_t), MADV_DONTNEED);
  machine.otherReads.clear();
}

bool touch(const void* address, size_t bytes, bool write, bool natural, const void* code) {
  Arena* arena = machine.device.holds(address)   ? &machine.device
                 : machine.shared.holds(address) ? &machine.shared
                                                 : nullptr;
  if (!arena) {
    const char* at = static_cast<const char*>(address);
    if (!write && at >= &__ehdr_start && at < &_end) return true;  // a table of constants
    report(Kind::kWild, std::string(write ? "write" : "read") + " of " + std::to_string(bytes) + " bytes", code);
    return false;
  }
  if (natural && reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    report(Kind::kMisaligned, accessOf(bytes, write, *arena), code);
    return false;
  }
  const size_t offset = static_cast<size_t>(static_cast<const char*>(address) - arena->base);
  if (offset + bytes > arena->bytes) {
    report(Kind::kOutOfBounds, accessOf(bytes, write, *arena), code);
    return false;
  }
  if (arena->ofDevice) ++machine.work->accesses;
  const Who self = unpack(machine.self);
  const size_t last = (offset + bytes - 1) / kGranule;
  for (size_t granule = offset / kGranule; granule <= last; ++granule) note(*arena, granule, bytes, write, self, code);
  return true;
}

// Atomics do not race with each other; with anything else they do, as a read and a write.
bool touchAtomic(const void* address, size_t bytes, const void* code) {
  Arena& arena = machine.shared;
  if (!arena.holds(address)) {
    report(Kind::kWild, "an atomic of " + std::to_string(bytes) + " bytes that are not of shared memory", code);
    return false;
  }
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    report(Kind::kMisaligned, "an atomic of shared memory", code);
    return false;
  }
  const Who self = unpack(machine.self);
  const size_t first = static_cast<size_t>(static_cast<const char*>(address) - arena.base) / kGranule;
  for (size_t granule = first; granule < first + bytes / kGranule; ++granule) {
    const State state = arena.states[granule];
    if (state != State::kWritten) {
      reportState(state, arena, bytes, true, code);
      if (state != State::kUnwritten) return false;
    }
    for (const Cell cell : {arena.writes[granule], arena.reads[granule]}) {
      if (unordered(cell, self, false)) {
        report(Kind::kRace, "an atomic of shared memory, read or written by " + other(cell) + ",", code);
      }
    }
    arena.atomics[granule] = joined(arena.atomics[granule], self, false);
  }
  return true;
}

void noteReadOnly(const void* at, size_t bytes, bool write, bool readOnly, const void* code) {
  const Arena& d = machine.device;
  if ((!write && !readOnly) || !d.holds(at)) return;
  const auto offset = static_cast<size_t>(static_cast<const char*>(at) - d.base);
  const auto mark = static_cast<uint32_t>(machine.op + 1);
  for (size_t granule = offset / kGranule; granule <= (offset + bytes - 1) / kGranule; ++granule) {
    const bool wrong = write ? d.readOnly[granule] == mark : unpack(d.writes[granule]).op == machine.op;
    if (wrong && d.writes[granule] != 0) report(Kind::kReadOnly, accessOf(bytes, write, d), code);
    if (readOnly) d.readOnly[granule] = mark;
  }
}

}  // namespace mlit::emulation
