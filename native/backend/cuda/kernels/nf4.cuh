// The levels of NF4 in shared memory, where 32 lanes look 32 codes up at once: 16 words lie in 16 banks. Included by .cu files after
// dev.cuh.
#pragma once

#include "core/nf4.h"

namespace mlit::cuda {

using Nf4Levels = float[16];

// By all threads of a block of at least 16, before a barrier.
DEVICE void fillLevels(Nf4Levels& levels) {
  if (threadIdx.x < 16) levels[threadIdx.x] = nf4Level(threadIdx.x);
}

// Eight codes, the first in the lowest four bits, as level * scale.
DEVICE void decodeNf4(float (&to)[8], unsigned codes, float scale, const Nf4Levels& levels) {
  UNROLL
  for (int i = 0; i < 8; ++i) to[i] = levels[codes >> (4 * i) & 0xFu] * scale;
}

}  // namespace mlit::cuda
