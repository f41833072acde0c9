// Runs a kernel: blocks one after the other in an order drawn from the seed, a fiber for each thread, warps and lanes in drawn
// order. A thread runs until it waits; which order is drawn changes no finding, only what a wrong kernel computes.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "emulation/machine.h"

namespace mlit::emulation {

namespace context = boost::context::detail;

namespace {

constexpr size_t kGuard = 4096;
constexpr size_t kRedZone = 64, kDynamicBegin = size_t{128} * 1024;  // of the arena; static variables lie before

char* stackOf(unsigned thread) {
  static char* stacks = nullptr;
  if (!stacks) {
    void* memory = mmap(nullptr, kThreadsPerBlock * (kStackBytes + kGuard), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    stacks = static_cast<char*>(memory);
    for (unsigned i = 0; i < kThreadsPerBlock; ++i) mprotect(stacks + i * (kStackBytes + kGuard), kGuard, PROT_NONE);
  }
  return stacks + thread * (kStackBytes + kGuard) + kGuard;
}

void enterThread(context::transfer_t from) {
  machine.scheduler = from.fctx;
  machine.inKernel = true;
  const Launch& launch = machine.launch;
  if (launch.translated) {
    launch.translated(launch.parameters);
  } else {
    launch.thunk(launch.arguments);
  }
  const Inside inside;
  Thread& t = *machine.current;
  Warp& w = machine.warp();
  for (const Rendezvous& r : w.pending) {
    if (r.mask >> (t.id % 32) & 1) {
      report(Kind::kCollective, "ended while other lanes wait for it at " + at(r.site), nullptr);
    }
  }
  w.ended |= 1u << (t.id % 32);
  --machine.alive;
  t.waits = Waits::kEnded;
  context::jump_fcontext(machine.scheduler, nullptr);
}

void resume(Thread& t) {
  machine.current = &t;
  machine.stackLow = reinterpret_cast<uintptr_t>(stackOf(t.id));
  machine.refreshSelf();
  t.waits = Waits::kNothing;
  t.context = context::jump_fcontext(t.context, nullptr).fctx;
  machine.inKernel = false;
  machine.current = nullptr;
}

void beginBlock() {
  const unsigned count = static_cast<unsigned>(machine.threads.size());
  const cuda::Dim3 size = machine.launch.block;
  for (unsigned i = 0; i < count; ++i) {
    Thread& t = machine.threads[i];
    t.context = context::make_fcontext(stackOf(i) + kStackBytes - i * 5 % 64 * 64, kStackBytes - 4096, enterThread);
    t.waits = Waits::kNothing;
    t.id = i;
    t.index[0] = i % size.x;
    t.index[1] = i / size.x % size.y;
    t.index[2] = i / size.x / size.y;
    t.copies.clear();
    t.groups.clear();
    t.open = 0;
    t.local = nullptr;
    t.localBytes = 0;
  }
  for (Warp& w : machine.warps) {
    w.ready = ~0u;
    w.ended = 0;
    w.epoch = 0;
    w.pending.clear();
  }
  machine.alive = count;
  machine.atBarrier = 0;
  machine.epoch = 0;
  // Shared memory: nothing of the block before is left; static variables are placed as they are met.
  Arena& shared = machine.shared;
  const size_t placed = machine.slotBytes + kRedZone;
  std::memset(shared.base, 0xFF, placed);
  shared.setState(shared.base, placed, State::kOutside);
  machine.slots.clear();
  machine.slotBytes = kRedZone;
  machine.dynamic = shared.base + kDynamicBegin;
  std::memset(machine.dynamic, 0xFF, machine.launch.sharedBytes);
  shared.setState(machine.dynamic, shared.bytes - kDynamicBegin, State::kOutside);
  shared.setState(machine.dynamic, machine.launch.sharedBytes, State::kUnwritten);
}

// All that are left have come to a barrier.
void openBarrier() {
  const Thread* first = nullptr;
  int count = 0;
  for (Thread& t : machine.threads) {
    if (t.waits != Waits::kBarrier) continue;
    if (!first) first = &t;
    count += t.barrierValue != 0;
    if (t.site.line != first->site.line || std::strcmp(t.site.file, first->site.file) != 0) {
      report(Kind::kBarrier,
             "thread " + std::to_string(first->id) + " is at " + at(first->site) + ", thread " + std::to_string(t.id) +
                 " at " + at(t.site),
             nullptr);
      machine.aborted = true;
      return;
    }
  }
  if (machine.alive < machine.threads.size()) {
    report(Kind::kBarrier,
           std::to_string(machine.threads.size() - machine.alive) + " threads have ended before " + at(first->site),
           nullptr);
  }
  machine.barrierCount = count;
  machine.atBarrier = 0;
  ++machine.epoch;
  for (Thread& t : machine.threads) {
    if (t.waits == Waits::kBarrier) machine.warps[t.id / 32].ready |= 1u << (t.id % 32);
  }
}

void reportDeadlock() {
  std::string text;
  Site shown[2] = {};
  int n = 0;
  for (const Thread& t : machine.threads) {
    if (t.waits == Waits::kEnded || n == 2) continue;
    if (n == 1 && shown[0].line == t.site.line) continue;
    text += (n == 0 ? "thread " : ", thread ") + std::to_string(t.id) + " waits at " + at(t.site);
    shown[n++] = t.site;
  }
  report(Kind::kDeadlock, text, nullptr);
  machine.aborted = true;
}

void runBlock() {
  beginBlock();
  std::vector<size_t> order(machine.warps.size());
  std::iota(order.begin(), order.end(), 0);
  while (machine.alive > 0 && !machine.aborted) {
    std::shuffle(order.begin(), order.end(), machine.random);
    bool ran = false;
    for (const size_t index : order) {
      Warp& w = machine.warps[index];
      const unsigned turn = static_cast<unsigned>(machine.draw(32));
      while (w.ready != 0 && !machine.aborted) {
        const unsigned rotated = w.ready >> turn | (turn ? w.ready << (32 - turn) : 0);
        const unsigned lane = (static_cast<unsigned>(__builtin_ctz(rotated)) + turn) % 32;
        w.ready &= ~(1u << lane);
        ran = true;
        resume(machine.threads[index * 32 + lane]);
      }
    }
    if (machine.aborted || machine.alive == 0) return;
    if (machine.atBarrier == machine.alive) {
      openBarrier();
    } else if (!ran) {
      reportDeadlock();
    }
  }
}

}  // namespace

void yieldToScheduler() { machine.scheduler = context::jump_fcontext(machine.scheduler, nullptr).fctx; }

void abandonLaunch() {
  machine.inKernel = false;
  machine.aborted = true;
  context::jump_fcontext(machine.scheduler, nullptr);
  __builtin_unreachable();
}

void runLaunch() {
  const cuda::Dim3 g = machine.launch.grid, b = machine.launch.block;
  machine.threads.resize(size_t{b.x} * b.y * b.z);
  machine.warps.resize(machine.threads.size() / 32);
  machine.aborted = false;
  std::vector<uint64_t> order(uint64_t{g.x} * g.y * g.z);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), machine.random);
  for (const uint64_t block : order) {
    machine.block = block;
    machine.blockIndex[0] = static_cast<unsigned>(block % g.x);
    machine.blockIndex[1] = static_cast<unsigned>(block / g.x % g.y);
    machine.blockIndex[2] = static_cast<unsigned>(block / g.x / g.y);
    runBlock();
    if (machine.aborted) break;
  }
}

unsigned threadIndex(int axis) { return machine.current->index[axis]; }
unsigned blockIndex(int axis) { return machine.blockIndex[axis]; }
unsigned blockSize(int axis) {
  const cuda::Dim3 b = machine.launch.block;
  return axis == 0 ? b.x : axis == 1 ? b.y : b.z;
}
unsigned gridSize(int axis) {
  const cuda::Dim3 g = machine.launch.grid;
  return axis == 0 ? g.x : axis == 1 ? g.y : g.z;
}

int blockBarrier(int value, Site site) {
  const Inside inside;
  Thread& t = *machine.current;
  t.waits = Waits::kBarrier;
  t.site = site;
  t.barrierValue = value;
  ++machine.atBarrier;
  yieldToScheduler();
  return machine.barrierCount;
}

void* sharedSlot(const void* key, size_t bytes, size_t alignment) {
  const Inside inside;
  for (const Slot& slot : machine.slots) {
    if (slot.key == key) return slot.at;
  }
  const size_t aligned = std::max<size_t>(alignment, 16);
  const size_t begin = (machine.slotBytes + aligned - 1) / aligned * aligned;
  machine.slotBytes = begin + bytes + kRedZone;
  size_t total = bytes;
  for (const Slot& slot : machine.slots) total += slot.bytes;
  const size_t most = machine.card.sharedKiBPerBlock * 1024;
  if (total > kStaticSharedBytes || total + machine.launch.sharedBytes > most) {
    report(Kind::kLaunch,
           std::to_string(total) + " bytes of static and " + std::to_string(machine.launch.sharedBytes) +
               " of dynamic shared memory; at most " + std::to_string(kStaticSharedBytes) + " static and " +
               std::to_string(most) + " in all",
           nullptr);
    abandonLaunch();
  }
  char* at = machine.shared.base + begin;
  machine.shared.setState(at, bytes, State::kUnwritten);
  machine.slots.push_back({key, at, bytes});
  return at;
}

unsigned char* dynamicShared() { return reinterpret_cast<unsigned char*>(machine.dynamic); }

}  // namespace mlit::emulation
