// Arithmetic that has an instruction of its own and is not exactly specified.
#pragma once

namespace mlit::cuda {

// 2^x within 2 units in the last place (ex2.approx.ftz: subnormal results are zero).
DEVICE float exp2Approximate(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulation::exp2Approximate(x);
#endif
}

}  // namespace mlit::cuda
