// What the addon and mlit_mpi.so, the ranks by MPI, say to each other. MPI's implementations share no binary interface, so what
// speaks to one is built against it, on the machine that has it.
#pragma once

#include <atomic>
#include <cstdint>

#include "backend/exchange.h"

namespace mlit {

struct MpiTable {
  uint32_t version;       // kMpiTableVersion
  const char* interface;  // MLIT_MPI_INTERFACE: the package's version and a hash of the headers that are shared
  // All ranks together, once in a process. The caller deletes it. Throws mlit::Error (kDeviceUnavailable).
  Exchange* (*join)();
};

inline constexpr uint32_t kMpiTableVersion = 1;
inline constexpr const char* kMpiInit = "mlit_mpi_init";
using MpiInit = const MpiTable* (*)();

}  // namespace mlit
