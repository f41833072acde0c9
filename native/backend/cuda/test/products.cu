// A warp's tensor-core products and its other calls, for comparison with plain loops.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/test/products.h"

namespace mlit::test {

namespace {

using namespace mlit::cuda;  // NOLINT: the device functions

// b is given as [8][16] (rows n) and read straight, or as [16][8] (rows k) and read transposed: the same fragments.
__global__ void productKernel(const unsigned short* a, const unsigned short* b, bool bTransposed, float* out) {
  DYN_SMEM(bytes);
  auto* left = reinterpret_cast<unsigned short*>(bytes);  // [16][16]
  auto* right = left + 256;                               // 128
  const int lane = static_cast<int>(threadIdx.x);
  cpAsync16(left + lane * 8, a + lane * 8);
  if (lane < 16) cpAsync16(right + lane * 8, b + lane * 8);
  cpAsyncCommit();
  cpAsyncWait<0>();
  __syncwarp();
  unsigned fa[4], fb[2];
  ldmatrixX4(fa, left + lane % 16 * 16 + lane / 16 * 8);
  if (bTransposed) {
    ldmatrixX2Transposed(fb, right + lane % 16 * 8);
  } else {
    ldmatrixX2(fb, right + lane % 8 * 16 + lane / 8 % 2 * 8);
  }
  float c[4] = {};
  mmaM16N8K16(c, fa, fb);
  UNROLL
  for (int r = 0; r < 4; ++r) out[(lane / 4 + r / 2 * 8) * 8 + lane % 4 * 2 + r % 2] = c[r];
}

__global__ void byteProductKernel(const signed char* a, const signed char* b, int* out) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const auto word = [](const signed char* at) { return *reinterpret_cast<const unsigned*>(at); };
  const unsigned fa[4] = {word(a + g * 32 + t * 4), word(a + (g + 8) * 32 + t * 4), word(a + g * 32 + t * 4 + 16),
                          word(a + (g + 8) * 32 + t * 4 + 16)};
  const unsigned fb[2] = {word(b + g * 32 + t * 4), word(b + g * 32 + t * 4 + 16)};
  int c[4] = {};
  mmaM16N8K32(c, fa, fb);
  UNROLL
  for (int r = 0; r < 4; ++r) out[(g + r / 2 * 8) * 8 + t * 2 + r % 2] = c[r];
}

__global__ void warpCallsKernel(const float* in, float* out) {
  using Room = float[2];
  SHARED(Room, room);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  const float value = in[lane];
  const float results[kWarpCalls] = {
      __shfl_sync(kAllLanes, value, 3),
      __shfl_xor_sync(kAllLanes, value, 5),
      __shfl_up_sync(kAllLanes, value, 2),
      __shfl_down_sync(kAllLanes, value, 2, 16),
      static_cast<float>(__ballot_sync(kAllLanes, value > 0) % 4096),
      static_cast<float>(__any_sync(kAllLanes, lane == 9)),
      static_cast<float>(__all_sync(kAllLanes, lane != 9)),
      static_cast<float>(__popc(__match_any_sync(kAllLanes, lane % 3))),
      warpMax(value),
      blockSum<64>(value, room),
      static_cast<float>(__syncthreads_count(lane < 7)),
      static_cast<float>(__umul64hi(1ull << 63, static_cast<unsigned long long>(2 * lane + 1))),
      static_cast<float>(__float2ull_rn((static_cast<float>(lane) + 0.5f) * 0x1p40f)) * 0x1p-40f +
          static_cast<float>(__float2ull_rn(static_cast<float>(lane) + 0.5f)),
  };
  if (t < 32) {
    for (int k = 0; k < kWarpCalls; ++k) out[k * 32 + lane] = results[k];
  }
}

}  // namespace

void runProduct(const unsigned short* a, const unsigned short* b, bool bTransposed, float* out, cuda::Stream& stream) {
  launch(productKernel, "product", {1}, {32}, 768, stream, a, b, bTransposed, out);
}

void runByteProduct(const signed char* a, const signed char* b, int* out, cuda::Stream& stream) {
  launch(byteProductKernel, "byteProduct", {1}, {32}, 0, stream, a, b, out);
}

void runWarpCalls(const float* in, float* out, cuda::Stream& stream) {
  launch(warpCallsKernel, "warpCalls", {1}, {64}, 0, stream, in, out);
}

}  // namespace mlit::test
