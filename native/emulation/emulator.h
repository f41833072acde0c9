// The emulator as a test sees it: start afresh with a seed and a card, run host code and kernels as they are, and ask what was
// found. One process, one thread; nothing of it ships.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"

namespace mlit::emulation {

enum class Kind {
  kRace,         // two accesses, one of them a write, that nothing orders
  kUnwritten,    // a read of memory that nothing has written
  kOutOfBounds,  // beside every allocation, or past a shared array
  kFreed,        // in memory that was released
  kMisaligned,   // an access that is not aligned to its size
  kWild,         // no device memory at all, or a write to a variable of the program
  kInFlight,     // of what an asynchronous copy has not delivered
  kBarrier,      // __syncthreads in divergent code
  kCollective,   // a warp's call that not all lanes of its mask make together
  kDeadlock,     // threads that wait for different things
  kLaunch,       // a shape that the card refuses, or that the dialect excludes
  kReadOnly,     // a read-only load of what the same launch writes
  kHostMemory,   // the source of a copy changed before the copy ran
  kLibrary,      // a library called as its manual forbids
};
const char* kindName(Kind kind);

struct Finding {
  Kind kind;
  std::string text;            // what, where, which kernel, block and thread
  const void* code = nullptr;  // return address of the access, or null
};

struct Options {
  uint64_t seed = 1;      // decides the order of blocks, warps, lanes and streams, and every inexact bit
  int architecture = 80;  // of cards.h
  size_t memoryBytes = size_t{1} << 30;
  int devices = 1;       // 0: none
  bool captures = true;  // else a capture of a stream is refused
  std::string noDevice = "no CUDA driver is installed";
};

// Forgets everything: allocations, findings, counts. No Stream, Event or allocation of before may be used again.
void reset(const Options& options);
// The device stays as it is; what is drawn from here on is drawn from this seed.
void reseed(uint64_t seed);

const std::vector<Finding>& findings();
std::vector<Finding> takeFindings();
// Text and source lines (by addr2line, where there is one).
std::string describe(const Finding& finding);

// What ops of one name did to device memory. A byte counts once an op, however often threads touch it: what a card moves whose
// caches lose nothing. `accesses` counts every load and store of a thread, however wide.
struct Work {
  uint64_t readBytes = 0, writtenBytes = 0, accesses = 0;
  uint64_t tensorFlops = 0;  // of mma and of the library's products, padding included
};

struct Stats {
  std::map<std::string, uint64_t> launches;  // by name
  std::map<std::string, Work> work;          // by name, copies among them
  uint64_t graphs = 0, graphLaunches = 0;    // made, and launched: what is in them counts in `launches` as well
  uint64_t hostWaits = 0;                    // synchronize() of anything, and copies that make the host wait
  uint64_t bytesToDevice = 0, bytesToHost = 0;
  uint64_t allocations = 0;
  int device = 0;  // of the latest setDevice()
  uint64_t liveBytes = 0, peakBytes = 0, livePinnedBytes = 0;
  uint64_t matrixRows = 0,
           matrixConflicts = 0;  // rows read by ldmatrix, and those of them that found their banks taken
};
const Stats& stats();

// Whether kernels run as C++ made from nvcc's PTX (translated.cpp), else as the host's compiler has them.
bool runsTranslated();

// The runtime's calls since reset(), and: the nth of them (from 1) fails with this error. All but a refused allocation are errors
// of the device: every later call fails too.
uint64_t callCount();
void failCall(uint64_t nth, const std::string& cuda);
// A library's call is counted as well: the error that it has to fail with, or nothing.
std::string libraryCall();

// Work of a library: runs in its stream's turn, in which device memory may be touched by the host's code. It has to say what
// it reads and writes.
void enqueueLibrary(cuda::Stream& stream, const char* name, std::function<void()> work);
void markRead(const void* at, size_t bytes);
void markWritten(void* at, size_t bytes);

}  // namespace mlit::emulation
