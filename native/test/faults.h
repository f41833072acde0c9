// Failures on demand for a test binary: the N-th allocation, or the N-th system call that writes, fails. Both are counted over
// all threads while a Faults object lives; the shims are in faults.cpp and by the linker's --wrap (CMakeLists.txt).
#pragma once

#include <cstdint>

namespace mlit::test {

enum class FaultKind {
  kNone,        // only counts
  kAllocation,  // the N-th operator new throws std::bad_alloc
  kCall,        // the N-th of open, write, fsync, rename and close fails, as on a full disk
  kShortWrite,  // the N-th such call, where it is a write, takes one byte
  kInterrupt,   // the N-th such call, where it is a write, is interrupted by a signal
};

// One at a time. n from 1.
class Faults {
 public:
  Faults(FaultKind kind, int64_t n);
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  static int64_t allocations();  // since the last Faults began
  static int64_t calls();
};

}  // namespace mlit::test
