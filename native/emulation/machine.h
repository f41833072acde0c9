// The emulator's inside: who runs, which memory there is and what its shadow says. Shared by the emulator's own sources.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulation/cards.h"
#include "emulation/device.h"
#include "emulation/emulator.h"

namespace mlit::emulation {

// Shadow: each granule of 2 bytes has a state and two cells, its last write and its last read.
inline constexpr size_t kGranule = 2;
inline constexpr size_t kStackBytes = 65536;
enum class State : uint8_t { kOutside, kUnwritten, kWritten, kInFlight, kFreed };

// Who made an access, in 64 bits: op 17 | block 17 | barrier epoch 12 | __syncwarp epoch 6 | thread 10 | spread 2.
// Spread says of a read cell that more than one thread has read within the epoch.
using Cell = uint64_t;
enum Spread : uint64_t { kOneThread, kOneWarp, kOneBlock, kManyBlocks };
inline constexpr uint64_t kOpBits = 17, kBlockBits = 17;
struct Who {
  uint64_t op, block, epoch, warpEpoch, thread, spread;
};
inline Cell pack(const Who& w) {
  return w.op << 47 | (w.block & ((1u << kBlockBits) - 1)) << 30 | (w.epoch & 0xFFF) << 18 |
         (w.warpEpoch & 0x3F) << 12 | w.thread << 2 | w.spread;
}
inline Who unpack(Cell c) {
  return {c >> 47, c >> 30 & ((1u << kBlockBits) - 1), c >> 18 & 0xFFF, c >> 12 & 0x3F, c >> 2 & 0x3FF, c & 3};
}

struct Arena {
  const char* name;
  bool ofDevice;  // else of one block
  char* base;
  size_t bytes;
  State* states;
  Cell* writes;
  Cell* reads;
  Cell* atomics;       // of shared memory: the last atomic operation, kept as reads are
  uint32_t* readOnly;  // of device memory: 1 + the op that last read it by a read-only load, as PTX has them

  bool holds(const void* at) const { return static_cast<size_t>(static_cast<const char*>(at) - base) < bytes; }
  void setState(const void* at, size_t n, State state);
};

// A lane and what it waits for.
struct Copy {
  char* to;
  const char* from;
  int bytes, sourceBytes;
};
enum class Waits : uint8_t { kNothing, kBarrier, kCollective, kEnded };
struct Thread {
  boost::context::detail::fcontext_t context = nullptr;
  Waits waits = Waits::kNothing;
  unsigned id = 0;
  unsigned index[3] = {};
  Site site = {};
  int barrierValue = 0;
  std::vector<Copy> copies;
  std::vector<size_t> groups;  // copies in each committed group, oldest first
  size_t open = 0;             // copies since the last commit
  char* local = nullptr;       // a translated kernel's own memory
  size_t localBytes = 0;
};
struct Rendezvous {
  unsigned mask, arrived;
  int kind;
  Site site;
};
struct Warp {
  unsigned ready = 0, ended = 0;
  uint64_t epoch = 0;
  void* operands[32] = {};
  std::vector<Rendezvous> pending;
};

struct Launch {
  const char* name = nullptr;
  cuda::Dim3 grid, block;
  size_t sharedBytes = 0;
  void* arguments = nullptr;
  void (*thunk)(void*) = nullptr;
  void (*translated)(const void* const*) = nullptr;  // in the thunk's place
  const void* const* parameters = nullptr;
};
struct Slot {
  const void* key;
  char* at;
  size_t bytes;
};
using Clock = std::vector<uint32_t>;  // by stream: how many of its ops

struct LibraryObject;  // of cublaslt.cpp

struct Machine {
  // Read by every hook.
  bool inKernel = false;
  uintptr_t stackLow = 0;
  Cell self = 0;
  Arena shared{}, device{};

  Options options;
  Card card = kCards[0];
  std::mt19937_64 random;
  std::vector<Finding> findings;
  Stats stats;
  std::unordered_map<const void*, std::shared_ptr<LibraryObject>> libraryObjects;  // made and not destroyed

  // The op that runs: its number, its clock, the stream and place of each op that has run.
  uint64_t op = 0;
  const char* opName = "";
  Work* work = nullptr;  // of its name, in stats
  Clock clock;
  bool capturing = false, captureFailed = false;  // a stream of this thread, and something that a capture does not take
  std::vector<uint32_t> opStream, opPlace;
  std::vector<const char*> opNames;
  std::unordered_map<size_t, std::vector<Cell>> otherReads;  // by granule: reads that the one in the cell doesn't cover

  // The block that runs.
  Launch launch;
  bool aborted = false;
  unsigned blockIndex[3] = {};
  uint64_t block = 0, epoch = 0;
  int barrierCount = 0;
  Thread* current = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  unsigned alive = 0, atBarrier = 0;
  boost::context::detail::fcontext_t scheduler = nullptr;
  std::vector<Slot> slots;
  size_t slotBytes = 0;
  char* dynamic = nullptr;

  Warp& warp() { return warps[current->id / 32]; }
  uint64_t draw(uint64_t bound) { return random() % bound; }
  void refreshSelf() { self = pack({op, block, epoch, warp().epoch, current->id, kOneThread}); }
};
extern Machine machine;

// While the emulator's own code runs inside a kernel: std templates of it may be the instrumented copies.
class Inside {
 public:
  Inside() : before_(machine.inKernel) { machine.inKernel = false; }
  ~Inside() { machine.inKernel = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  bool before_;
};

void report(Kind kind, const std::string& what, const void* code, const Site* site = nullptr);
std::string at(const Site& site);
[[noreturn]] void abandonLaunch();  // from inside a kernel: the rest of it would only fail for the same reason
void yieldToScheduler();
void runLaunch();
void createArenas();
void forgetHistory();
float inexact(float y, uint32_t argument, int units);
// Checks and notes an access; false where it must not be made.
bool touch(const void* at, size_t bytes, bool write, bool natural, const void* code);
bool touchAtomic(const void* at, size_t bytes, const void* code);  // of shared memory
// A card may serve a read-only load from a cache that does not see the launch's own writes.
void noteReadOnly(const void* at, size_t bytes, bool write, bool readOnly, const void* code);

}  // namespace mlit::emulation
