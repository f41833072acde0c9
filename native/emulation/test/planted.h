// Kernels that are wrong on request: each mistake that the emulator must find, and beside it the legal program that it must let
// pass.
#pragma once

#include "backend/cuda/runtime.h"

namespace mlit::test {

enum class Planted {
  kNone,
  kNoBarrier,           // after a write that other threads read
  kNoTrailingBarrier,   // before what was read is overwritten
  kNoSyncwarp,          // between lanes of a warp
  kNoCopyWait,          // before reading what cp.async brings
  kWaitTooFew,          // for the older of two groups only
  kNoBarrierAfterWait,  // the copy is the own thread's, the reader another
  kStaticOverflow,      // one past a static array
  kDynamicOverflow,     // one past the dynamic memory
  kReadBeyond,          // a copy from past the input's end
  kWriteBeyond,         // past the output's end
  kMisaligned,          // 16 bytes from an address that is a multiple of 4
  kBarrierInBranch,     // half of the block
  kTwoBarriers,         // on different lines
  kReturnBeforeBarrier,
  kUnwrittenShared,
  kUnwrittenGlobal,
  kTwoBlocksOneWord,
  kOtherBlocksWord,  // read what another block writes
  kManyReadersThenWrite,
  kShuffleInBranch,
  kShuffleOfEnded,  // a lane of the mask has returned
  kShuffleOutsideMask,
  kShuffleFromOutside,  // asks a lane that is not in the mask
  kTwoCollectives,
  kWildRead,
  kWriteStatic,      // a variable of the program
  kLocalOverflow,    // of a thread's own array
  kUnalignedMatrix,  // a row for ldmatrix
  kAtomicsTooEarly,  // no barrier behind the zeros
  kAtomicsTooLate,   // no barrier before they are read
  kAtomicOfDevice,   // of device memory
};

// Blocks of 64 threads over in[64 * blocks] and out[64 * blocks].
void runPlanted(Planted bug, const float* in, float* out, unsigned blocks, cuda::Stream& stream);
// out[i] = in[i] + 1.
void runIncrement(const float* in, float* out, unsigned blocks, cuda::Stream& stream);
// Threads draw tickets at one of two counters, by their parity: out[thread] = ticket + 100 * the counter's end.
void runTickets(float* out, unsigned blocks, cuda::Stream& stream);
// A kernel with a parameter that has padding.
void runPadded(const float* in, cuda::Stream& stream);
void runShape(cuda::Dim3 grid, cuda::Dim3 block, size_t sharedBytes, cuda::Stream& stream);

}  // namespace mlit::test
