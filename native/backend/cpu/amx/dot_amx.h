// Products of bytes by the matrix unit that x86 processors have since 2023 (AMX): the sums are integers, so that they have the bits
// of every other instruction set, at several times the rate.
#pragma once

#include "backend/cpu/kernels/dot.h"

namespace mlit {

// Null where the processor has no such unit, or the system does not let this process use it. Rows of a and steps of b may be read, not
// used, up to the next multiples of 32 and of 64.
const DotKernels* amxDotKernels();

}  // namespace mlit
