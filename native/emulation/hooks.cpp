// What g++ calls before each load and store of a file compiled with -fsanitize=thread. No sanitizer's runtime is linked: these
// are all there is of it.
#include "emulation/machine.h"

// NOLINTBEGIN: the compiler's names.
namespace {

inline __attribute__((always_inline)) void check(void* at, size_t bytes, bool write, bool natural, void* code) {
  using mlit::emulation::machine;
  if (!machine.inKernel || reinterpret_cast<uintptr_t>(at) - machine.stackLow < mlit::emulation::kStackBytes) return;
  if (!mlit::emulation::touch(at, bytes, write, natural, code)) mlit::emulation::abandonLaunch();
}

}  // namespace

#define CODE __builtin_extract_return_addr(__builtin_return_address(0))
#define ACCESS(n)                                                                          \
  extern "C" void __tsan_read##n(void* at) { check(at, n, false, true, CODE); }            \
  extern "C" void __tsan_write##n(void* at) { check(at, n, true, true, CODE); }            \
  extern "C" void __tsan_unaligned_read##n(void* at) { check(at, n, false, false, CODE); } \
  extern "C" void __tsan_unaligned_write##n(void* at) { check(at, n, true, false, CODE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
extern "C" void __tsan_read_range(void* at, long bytes) {
  if (bytes > 0) check(at, static_cast<size_t>(bytes), false, false, CODE);
}
extern "C" void __tsan_write_range(void* at, long bytes) {
  if (bytes > 0) check(at, static_cast<size_t>(bytes), true, false, CODE);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
// Of host code in the same file: virtual tables and reference counts.
extern "C" void __tsan_vptr_update(void** at, void* value) { *at = value; }
extern "C" void __tsan_vptr_read(void**) {}
#define ATOMIC(bits, type)                                                          \
  extern "C" type __tsan_atomic##bits##_load(const volatile type* at, int) {        \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                   \
  }                                                                                 \
  extern "C" void __tsan_atomic##bits##_store(volatile type* at, type v, int) {     \
    __atomic_store_n(at, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                 \
  extern "C" type __tsan_atomic##bits##_fetch_add(volatile type* at, type v, int) { \
    return __atomic_fetch_add(at, v, __ATOMIC_SEQ_CST);                             \
  }                                                                                 \
  extern "C" type __tsan_atomic##bits##_fetch_sub(volatile type* at, type v, int) { \
    return __atomic_fetch_sub(at, v, __ATOMIC_SEQ_CST);                             \
  }                                                                                 \
  extern "C" type __tsan_atomic##bits##_exchange(volatile type* at, type v, int) {  \
    return __atomic_exchange_n(at, v, __ATOMIC_SEQ_CST);                            \
  }
ATOMIC(8, char)
ATOMIC(32, int)
ATOMIC(64, long)
// NOLINTEND
