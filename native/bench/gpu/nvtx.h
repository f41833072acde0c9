// Named ranges in NVIDIA's profilers. Their header is all that there is to it: it looks for a profiler when the first range opens. Where a
// build has no such header (the emulator's), ranges are nothing.
#pragma once

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
namespace mlit::bench {
inline constexpr bool kHasRanges = true;
inline void openRange(const char* name) { nvtxRangePushA(name); }
inline void closeRange() { nvtxRangePop(); }
}  // namespace mlit::bench
#else
namespace mlit::bench {
inline constexpr bool kHasRanges = false;
inline void openRange(const char*) {}
inline void closeRange() {}
}  // namespace mlit::bench
#endif
