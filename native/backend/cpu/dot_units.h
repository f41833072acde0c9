// Units that some processors of an instruction set have for products of bytes. Sums of integers are exact, so that each has the bits of
// the instruction set's own kernels: which one computes is a matter of time alone.
#pragma once

#include "backend/cpu/kernels/dot.h"

namespace mlit {

// The unit that this processor has beyond the kernels of "avx2" or "avx512"; null where it has none, or the system does not let this
// process use it.
const DotKernels* dotUnitOf(const char* isa);

}  // namespace mlit
