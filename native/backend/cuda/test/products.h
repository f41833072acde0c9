// Kernels that hold a warp's calls against plain loops, each call alone: the first that a card has to get right.
#pragma once

#include "backend/cuda/runtime.h"

namespace mlit::test {

// A warp's product: out [16][8] = a [16][16] · b [8][16]ᵀ, bf16 in (as bits), through cp.async, ldmatrix and mma.
void runProduct(const unsigned short* a, const unsigned short* b, bool bTransposed, float* out, cuda::Stream& stream);
// out [16][8] = a [16][32] · b [8][32]ᵀ, bytes.
void runByteProduct(const signed char* a, const signed char* b, int* out, cuda::Stream& stream);
// out[32 * k + lane]: results of the k-th warp call, in the order that layouts_test.cpp knows.
inline constexpr int kWarpCalls = 13;
void runWarpCalls(const float* in, float* out, cuda::Stream& stream);

}  // namespace mlit::test
