// Mistakes that only nvcc's half of a source has: the host's compiler never sees them, so the source path must pass and what nvcc
// wrote must fail.
#pragma once

#include "backend/cuda/runtime.h"

namespace mlit::test {

enum class Crossed {
  kNone,
  kLeftRegisters,   // two registers of a exchanged in the asm string
  kRightRegisters,  // those of b
  kResults,         // accumulators written to the wrong places
  kNoTranspose,     // ldmatrix without .trans
  kHalves,          // the other half's arithmetic is right, nvcc's takes the wrong 16 bits
  kRounding,        // towards zero where the other half rounds to nearest
  kReadOnly,        // a read-only load of what the kernel writes
};

// out [16][8] = a [16][16] · b [16][8], bf16 in (as bits), one warp.
void runCrossedProduct(Crossed bug, const unsigned short* a, const unsigned short* b, float* out, cuda::Stream& stream);
// inOut[i] = bf16(inOut[i] + 1), 32 of them.
void runCrossedSum(Crossed bug, float* inOut, cuda::Stream& stream);

}  // namespace mlit::test
