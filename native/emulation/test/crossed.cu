// See crossed.h. The asm strings stand here, not in device/, because they are wrong.
#include "emulation/test/crossed.h"

#include "backend/cuda/device/dev.cuh"

namespace mlit::test {

namespace {

using namespace mlit::cuda;  // NOLINT: the device functions

#define PRODUCT(d0, d1, a1, a2, b0, b1)                                                                       \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%" #d0 ", %" #d1 ", %2, %3}, {%4, %" #a1 \
               ", %" #a2 ", %7}, {%" #b0 ", %" #b1 "}, {%" #d0 ", %" #d1 ", %2, %3};"                         \
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

template <Crossed Bug>
DEVICE void product(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2] SITE) {
#ifdef __CUDACC__
  if constexpr (Bug == Crossed::kLeftRegisters) {
    PRODUCT(0, 1, 6, 5, 8, 9);
  } else if constexpr (Bug == Crossed::kRightRegisters) {
    PRODUCT(0, 1, 5, 6, 9, 8);
  } else if constexpr (Bug == Crossed::kResults) {
    PRODUCT(1, 0, 5, 6, 8, 9);
  } else {
    PRODUCT(0, 1, 5, 6, 8, 9);
  }
#else
  mmaM16N8K16(c, a, b, file, line);
#endif
}

template <Crossed Bug>
DEVICE void loadTransposed(unsigned (&d)[2], const void* row SITE) {
#ifdef __CUDACC__
  if constexpr (Bug == Crossed::kNoTranspose) {
    ldmatrixX2(d, row);
    return;
  }
  ldmatrixX2Transposed(d, row);
#else
  ldmatrixX2Transposed(d, row, file, line);
#endif
}

template <Crossed Bug>
__global__ void crossedProductKernel(const unsigned short* a, const unsigned short* b, float* out) {
  DYN_SMEM(bytes);
  auto* left = reinterpret_cast<unsigned short*>(bytes);  // [16][16]
  auto* right = left + 256;                               // [16][8]
  const int lane = static_cast<int>(threadIdx.x);
  cpAsync16(left + lane * 8, a + lane * 8);
  if (lane < 16) cpAsync16(right + lane * 8, b + lane * 8);
  cpAsyncCommit();
  cpAsyncWait<0>();
  __syncwarp();
  unsigned fa[4], fb[2];
  ldmatrixX4(fa, left + lane % 16 * 16 + lane / 16 * 8);
  loadTransposed<Bug>(fb, right + lane % 16 * 8);
  float c[4] = {};
  product<Bug>(c, fa, fb);
  UNROLL
  for (int r = 0; r < 4; ++r) out[(lane / 4 + r / 2 * 8) * 8 + lane % 4 * 2 + r % 2] = c[r];
}

// The float that a rounding to bfloat16 leaves.
template <Crossed Bug>
DEVICE float rounded(float value) {
#ifdef __CUDACC__
  if constexpr (Bug == Crossed::kHalves) return __uint_as_float(__float_as_uint(value) << 16);
  if constexpr (Bug == Crossed::kRounding) return __uint_as_float(__float_as_uint(value) & 0xFFFF0000u);
#endif
  return __bfloat162float(__float2bfloat16_rn(value));
}

template <Crossed Bug>
DEVICE float value(const float* at) {
#ifdef __CUDACC__
  if constexpr (Bug == Crossed::kReadOnly) return __ldg(at);
#endif
  return *at;
}

template <Crossed Bug>
__global__ void crossedSumKernel(float* inOut) {
  const int t = static_cast<int>(threadIdx.x);
  inOut[t] = rounded<Bug>(value<Bug>(inOut + t) + 1);
}

template <Crossed Bug>
void launchProduct(const unsigned short* a, const unsigned short* b, float* out, cuda::Stream& stream) {
  launch(crossedProductKernel<Bug>, "crossedProduct", {1}, {32}, 768, stream, a, b, out);
}

template <Crossed Bug>
void launchSum(float* inOut, cuda::Stream& stream) {
  launch(crossedSumKernel<Bug>, "crossedSum", {1}, {32}, 0, stream, inOut);
}

}  // namespace

void runCrossedProduct(Crossed bug, const unsigned short* a, const unsigned short* b, float* out,
                       cuda::Stream& stream) {
  switch (bug) {
    case Crossed::kLeftRegisters:
      return launchProduct<Crossed::kLeftRegisters>(a, b, out, stream);
    case Crossed::kRightRegisters:
      return launchProduct<Crossed::kRightRegisters>(a, b, out, stream);
    case Crossed::kResults:
      return launchProduct<Crossed::kResults>(a, b, out, stream);
    case Crossed::kNoTranspose:
      return launchProduct<Crossed::kNoTranspose>(a, b, out, stream);
    default:
      return launchProduct<Crossed::kNone>(a, b, out, stream);
  }
}

void runCrossedSum(Crossed bug, float* inOut, cuda::Stream& stream) {
  switch (bug) {
    case Crossed::kHalves:
      return launchSum<Crossed::kHalves>(inOut, stream);
    case Crossed::kRounding:
      return launchSum<Crossed::kRounding>(inOut, stream);
    case Crossed::kReadOnly:
      return launchSum<Crossed::kReadOnly>(inOut, stream);
    default:
      return launchSum<Crossed::kNone>(inOut, stream);
  }
}

}  // namespace mlit::test
