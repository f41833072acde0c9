// Copies from global to shared memory that run beside the thread: cp.async (PTX ISA 9.7.9, "Data Movement and Conversion").
// What was copied may be read by the thread after cpAsyncWait, by others after a barrier behind that.
#pragma once

namespace mlit::cuda {

// 16 bytes, both addresses 16-byte aligned, past L1.
DEVICE void cpAsync16(void* shared, const void* global) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))),
      "l"(global)
      : "memory");
#else
  emulation::copyAsync(shared, global, 16, 16);
#endif
}

// The same where use is true; else 16 zero bytes, and the source is not read (the address must still be a valid one).
DEVICE void cpAsync16OrZero(void* shared, const void* global, bool use) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(use ? 16 : 0)
      : "memory");
#else
  emulation::copyAsync(shared, global, 16, use ? 16 : 0);
#endif
}

// 4 bytes: for rows that are not aligned to 16.
DEVICE void cpAsync4(void* shared, const void* global) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))),
      "l"(global)
      : "memory");
#else
  emulation::copyAsync(shared, global, 4, 4);
#endif
}

// Closes the thread's current group of copies.
DEVICE void cpAsyncCommit() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::copyAsyncCommit();
#endif
}

// Waits until at most Pending of the thread's latest groups are still under way.
template <int Pending>
DEVICE void cpAsyncWait() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  emulation::copyAsyncWait(Pending);
#endif
}

}  // namespace mlit::cuda
