// Ranks by MPI as the addon sees them: a library beside it that is there only where it was built with an MPI at hand.
#pragma once

#include <memory>
#include <string>

#include "backend/exchange.h"

namespace mlit::addon {

// Why ranks can't meet by MPI here; empty where they can, as far as is known without starting it.
const std::string& whyNotMpi();
// On the compute thread, once in a process. Throws kDeviceUnavailable.
std::unique_ptr<Exchange> joinByMpi();

}  // namespace mlit::addon
