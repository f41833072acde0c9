// Sums and maxima over a warp and over a block, in an order that depends on nothing but the lane.
#pragma once

namespace mlit::cuda {

inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

DEVICE float warpSum(float value) {
  UNROLL
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

DEVICE float warpMax(float value) {
  UNROLL
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// The sum over all threads of the block, for every thread. room: one float a warp, which nobody else uses until the caller's
// next barrier.
template <int Threads>
DEVICE float blockSum(float value, float* room) {
  value = warpSum(value);
  if constexpr (Threads > 32) {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread % 32 == 0) room[thread / 32] = value;
    __syncthreads();
    value = 0;
    UNROLL
    for (int warp = 0; warp < Threads / 32; ++warp) value += room[warp];
  }
  return value;
}

}  // namespace mlit::cuda
