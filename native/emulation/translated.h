// Which kernel made from PTX a launch means.
#pragma once

#include "emulation/ptx.h"

namespace mlit::emulation {

// By the address of the host compiler's function of the kernel; null: there is none.
const TranslatedKernel* translationOf(const void* kernel);

}  // namespace mlit::emulation
