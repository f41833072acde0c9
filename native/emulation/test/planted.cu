// One small kernel for each planted mistake; `bug` is uniform, so that every branch on it is legal.
#include "emulation/test/planted.h"

#include "backend/cuda/device/dev.cuh"

namespace mlit::test {

namespace {

using namespace mlit::cuda;  // NOLINT: the device functions

constexpr int kThreads = 64;
__constant__ float kTable[4] = {1, 2, 3, 4};
__device__ volatile float variable = 0;  // or the write is left out

__global__ void exchangeKernel(Planted bug, const float* in, float* out) {
  using Row = float[kThreads];
  SHARED(Row, row);
  const int t = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.x) * kThreads;
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    if (bug != Planted::kUnwrittenShared) row[t] = in[base + t] + static_cast<float>(round);
    if (bug != Planted::kNoBarrier) __syncthreads();
    sum += row[kThreads - 1 - t];
    if (bug != Planted::kNoTrailingBarrier) __syncthreads();
  }
  if (bug == Planted::kStaticOverflow && t == 0) {
    float* past = row;
    past[static_cast<int>(blockDim.x)] = 1;  // a length that the compiler knows would be its own finding
  }
  out[base + t] = sum;
}

__global__ void warpExchangeKernel(Planted bug, const float* in, float* out) {
  using Row = float[kThreads];
  SHARED(Row, row);
  const int t = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.x) * kThreads;
  row[t] = in[base + t];
  if (bug != Planted::kNoSyncwarp) __syncwarp();
  out[base + t] = row[t ^ 1];
}

__global__ void copyKernel(Planted bug, const float* in, float* out) {
  DYN_SMEM(bytes);
  float* tile = reinterpret_cast<float*>(bytes);  // [2][64]
  const int t = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.x) * kThreads;
  const int shift = bug == Planted::kReadBeyond ? 4 : 0;
  for (int half = 0; half < 2; ++half) {
    if (t < kThreads / 4) cpAsync16(tile + half * kThreads + t * 4, in + base + t * 4 + shift);
    cpAsyncCommit();
  }
  if (bug == Planted::kWaitTooFew) {
    cpAsyncWait<1>();
  } else if (bug != Planted::kNoCopyWait) {
    cpAsyncWait<0>();
  }
  if (bug != Planted::kNoBarrierAfterWait) __syncthreads();
  out[base + t] = tile[t] + tile[kThreads + kThreads - 1 - t];
  if (bug == Planted::kDynamicOverflow && t == 0) tile[2 * kThreads] = 1;
}

__global__ void globalKernel(Planted bug, const float* in, float* out) {
  const int t = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.x) * kThreads;
  float value = in[base + t];
  if (bug == Planted::kMisaligned && t == 1) {
    const float4 all = loadFloat4(in + 1);
    value = all.x + all.y + all.z + all.w;  // of one that is used alone nvcc loads that one
  }
  if (bug == Planted::kWildRead && t == 0) value = *reinterpret_cast<const float*>(base + 64);
  if (bug == Planted::kWriteStatic && t == 0) variable = value;
  if (bug == Planted::kUnwrittenGlobal) value += out[base + t];
  if (bug == Planted::kWriteBeyond && t == 0) out[static_cast<int>(gridDim.x) * kThreads + 2] = 1;
  if (bug == Planted::kLocalOverflow) {
    volatile float own[4] = {1, 2, 3, 4};
    value += own[t];
  }
  if (bug == Planted::kManyReadersThenWrite) {  // every block reads word 0 of in, one writes it
    value += in[0];
    if (blockIdx.x == 0 && t == 0) const_cast<float*>(in)[0] = value;
  }
  out[base + t] = value + kTable[t % 4];
  if (bug == Planted::kTwoBlocksOneWord && t == 0) out[1] = 2;
  if (bug == Planted::kOtherBlocksWord) {
    const int other = (base + t + kThreads) % (static_cast<int>(gridDim.x) * kThreads);
    out[base + t] = out[other] + 1;
  }
}

__global__ void barrierKernel(Planted bug, float* out) {
  const int t = static_cast<int>(threadIdx.x);
  if (bug == Planted::kReturnBeforeBarrier && t < 32) return;
  if (bug == Planted::kBarrierInBranch) {
    if (t < 32) __syncthreads();
  } else if (bug == Planted::kTwoBarriers) {
    if (t < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else {
    __syncthreads();
  }
  out[static_cast<int>(blockIdx.x) * kThreads + t] = 1;
}

__global__ void shuffleKernel(Planted bug, const float* in, float* out) {
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  const int at = static_cast<int>(blockIdx.x) * kThreads + t;
  float value = in[at];
  if (bug == Planted::kShuffleOfEnded && lane == 5) return;
  if (bug == Planted::kShuffleInBranch) {
    if (lane < 16) value += __shfl_xor_sync(kAllLanes, value, 1);
  } else if (bug == Planted::kShuffleOutsideMask) {
    value += __shfl_xor_sync(0xFFFFu, value, 1);
  } else if (bug == Planted::kTwoCollectives) {
    if (lane < 16) {
      value += __shfl_xor_sync(kAllLanes, value, 1);
    } else {
      value += __shfl_xor_sync(kAllLanes, value, 2);
    }
  } else if (lane < 16) {  // legal: half of the warp, and the mask says so
    value += __shfl_xor_sync(0xFFFFu, value, bug == Planted::kShuffleFromOutside ? 16 : 1);
  }
  out[at] = value;
}

__global__ void matrixKernel(Planted bug, const float* in, float* out) {
  DYN_SMEM(bytes);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  const int base = static_cast<int>(blockIdx.x) * kThreads;
  float* tile = reinterpret_cast<float*>(bytes);
  for (int i = t; i < 2 * kThreads; i += kThreads) tile[i] = in[base + t];
  __syncthreads();
  unsigned d[2];
  ldmatrixX2(d, bytes + lane % 16 * 16 + (bug == Planted::kUnalignedMatrix ? 4 : 0));
  out[base + t] = __uint_as_float(d[0]);
}

__global__ void ticketKernel(Planted bug, float* out) {
  using Counters = unsigned[2];
  SHARED(Counters, counters);
  const int t = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads + t;
  if (t < 2) counters[t] = 0;
  if (bug != Planted::kAtomicsTooEarly) __syncthreads();
  unsigned* counter = counters + t % 2;
  if (bug == Planted::kAtomicOfDevice) counter = reinterpret_cast<unsigned*>(out + at);
  const unsigned ticket = atomicAdd(counter, 1u);
  if (bug != Planted::kAtomicsTooLate) __syncthreads();
  out[at] = static_cast<float>(ticket + 100 * counters[t % 2]);
}

__global__ void incrementKernel(const float* in, float* out) {
  const int at = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  out[at] = in[at] + 1;
}

struct Padded {
  const float* at;
  int count;
};
__global__ void paddedKernel(Padded) {}

__global__ void emptyKernel() {}

}  // namespace

void runPlanted(Planted bug, const float* in, float* out, unsigned blocks, cuda::Stream& stream) {
  const size_t shared = 2 * kThreads * sizeof(float);
  switch (bug) {
    case Planted::kNone:
      launch(exchangeKernel, "exchange", {blocks}, {kThreads}, 0, stream, bug, in, out);
      launch(warpExchangeKernel, "warpExchange", {blocks}, {kThreads}, 0, stream, bug, in, out);
      launch(copyKernel, "copy", {blocks}, {kThreads}, shared, stream, bug, in, out);
      launch(globalKernel, "global", {blocks}, {kThreads}, 0, stream, bug, in, out);
      launch(barrierKernel, "barrier", {blocks}, {kThreads}, 0, stream, bug, out);
      launch(matrixKernel, "matrix", {blocks}, {kThreads}, shared, stream, bug, in, out);
      launch(shuffleKernel, "shuffle", {blocks}, {kThreads}, 0, stream, bug, in, out);
      runTickets(out, blocks, stream);
      break;
    case Planted::kNoBarrier:
    case Planted::kNoTrailingBarrier:
    case Planted::kStaticOverflow:
    case Planted::kUnwrittenShared:
      launch(exchangeKernel, "exchange", {blocks}, {kThreads}, 0, stream, bug, in, out);
      break;
    case Planted::kNoSyncwarp:
      launch(warpExchangeKernel, "warpExchange", {blocks}, {kThreads}, 0, stream, bug, in, out);
      break;
    case Planted::kNoCopyWait:
    case Planted::kWaitTooFew:
    case Planted::kNoBarrierAfterWait:
    case Planted::kDynamicOverflow:
    case Planted::kReadBeyond:
      launch(copyKernel, "copy", {blocks}, {kThreads}, shared, stream, bug, in, out);
      break;
    case Planted::kBarrierInBranch:
    case Planted::kTwoBarriers:
    case Planted::kReturnBeforeBarrier:
      launch(barrierKernel, "barrier", {blocks}, {kThreads}, 0, stream, bug, out);
      break;
    case Planted::kShuffleInBranch:
    case Planted::kShuffleOfEnded:
    case Planted::kShuffleOutsideMask:
    case Planted::kShuffleFromOutside:
    case Planted::kTwoCollectives:
      launch(shuffleKernel, "shuffle", {blocks}, {kThreads}, 0, stream, bug, in, out);
      break;
    case Planted::kAtomicsTooEarly:
    case Planted::kAtomicsTooLate:
    case Planted::kAtomicOfDevice:
      launch(ticketKernel, "tickets", {blocks}, {kThreads}, 0, stream, bug, out);
      break;
    case Planted::kUnalignedMatrix:
      launch(matrixKernel, "matrix", {blocks}, {kThreads}, shared, stream, bug, in, out);
      break;
    default:
      launch(globalKernel, "global", {blocks}, {kThreads}, 0, stream, bug, in, out);
  }
}

void runIncrement(const float* in, float* out, unsigned blocks, cuda::Stream& stream) {
  launch(incrementKernel, "increment", {blocks}, {kThreads}, 0, stream, in, out);
}

void runTickets(float* out, unsigned blocks, cuda::Stream& stream) {
  launch(ticketKernel, "tickets", {blocks}, {kThreads}, 0, stream, Planted::kNone, out);
}

void runPadded(const float* in, cuda::Stream& stream) {
  launch(paddedKernel, "padded", {1}, {kThreads}, 0, stream, Padded{in, 1});
}

void runShape(cuda::Dim3 grid, cuda::Dim3 block, size_t sharedBytes, cuda::Stream& stream) {
  launch(emptyKernel, "empty", grid, block, sharedBytes, stream);
}

}  // namespace mlit::test
