// What the addon and a backend that lives in a library of its own (mlit_cuda.so) say to each other. Only C crosses by name; once
// both are known to be of one build, the backend itself is used through backend.h, and its mlit::Error is caught as such.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/exchange.h"

namespace mlit {

// Raised when PluginTable changes. What backend.h says is in `interface`, which CMake makes of the headers' bytes.
inline constexpr uint32_t kPluginVersion = 2;

struct PluginTable {
  // The first two never move: they are read before anything else of another build is believed.
  uint32_t version;
  const char* interface;  // MLIT_INTERFACE: the package's version and a hash of the headers that are shared
  int32_t (*devices)();   // numbered from 0 as the driver shows them; 0 where there is none or none can be asked
  // A backend on the device, which the caller deletes. Throws mlit::Error (kDeviceUnavailable, kOutOfMemory).
  Backend* (*create)(int32_t device);
  // Cards of several ranks. Why they can't reach each other, empty where they can; kRanksIdBytes that the first rank makes and gives
  // to all; and then, all together, an exchange over the memory of a backend from create(), which lives longer. Both throw
  // mlit::Error (kDeviceUnavailable).
  const char* (*whyNoRanks)();
  void (*makeRanksId)(std::byte* id);
  Exchange* (*joinRanks)(Backend* backend, int32_t device, const std::byte* id, int32_t rank, int32_t size);
};

inline constexpr size_t kRanksIdBytes = 128;

// Names of the two functions that a plug-in exports, and nothing else.
inline constexpr const char* kPluginInit = "mlit_backend_init";
inline constexpr const char* kPluginScore = "mlit_backend_score";
using PluginInit = const PluginTable* (*)();
// How well the device would do, 0 = not at all. text receives one line, cut to capacity and ended by a zero: the device's
// description, or the reason. Device 0 may be asked for where devices() is 0: the reason is why. Throws nothing.
using PluginScore = int32_t (*)(int32_t device, char* text, size_t capacity);

}  // namespace mlit
