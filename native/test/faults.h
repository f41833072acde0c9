// Failures on demand for a test binary: the N-th allocation, read, or system call that writes, fails. Each is counted over
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
  kRead,        // the N-th pread fails, as on a broken disk
  kCutFile,     // the N-th pread finds nothing, as behind the end of a file that was cut meanwhile
  kShortRead,   // the N-th pread gives one byte
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
  static int64_t reads();
};

}  // namespace mlit::test
