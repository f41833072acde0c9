// Gradients of attention, deterministic without atomics: one kernel owns tiles of queries and sums dq over the keys that they see,
// another owns tiles of keys and sums dk and dv over the queries that see them, head after head of their group. The scores are
// formed in both: cheaper than adding dq's parts in a fixed order through memory.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/attention_tile.h"

namespace mlit::cuda {

namespace {

struct BackwardArguments {
  const Bf16 *q, *k, *v, *out, *dout;
  const float* lse;
  float* delta;
  Bf16 *dq, *dk, *dv;
  const int* cuSeqlens;
  int64_t ldq, ldkv, ldo, lddq, lddkv;
  int documents, total;
  int heads, headsPerKv, headDim, window;
  float scale;
  int filler = 0;  // parameters have no padding
};

// --- delta = out · dout of each row and head -----------------------------------------------------------------------------------

constexpr int kDeltaThreads = 256, kDeltaLanes = 8;  // lanes of one row and head

template <bool kWide>
__global__ void __launch_bounds__(kDeltaThreads) attentionDeltaKernel(BackwardArguments g) {
  constexpr int N = kWide ? 8 : 1;
  const int lane = static_cast<int>(threadIdx.x) % kDeltaLanes;
  const int64_t group = int64_t{blockIdx.x} * (kDeltaThreads / kDeltaLanes) + threadIdx.x / kDeltaLanes;
  const bool use = group < int64_t{g.total} * g.heads;
  const int64_t row = use ? group / g.heads : 0, head = use ? group % g.heads : 0;
  const int64_t at = row * g.ldo + head * g.headDim;
  float sum = 0;
  for (int i = lane * N; i < g.headDim; i += kDeltaLanes * N) {
    float a[N], b[N];
    loadFloats(a, g.out + at + i);
    loadFloats(b, g.dout + at + i);
    UNROLL
    for (int j = 0; j < N; ++j) sum += a[j] * b[j];
  }
  UNROLL
  for (int distance = kDeltaLanes / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  if (use && lane == 0) g.delta[head * g.total + row] = sum;
}

// --- dq --------------------------------------------------------------------------------------------------------------------------

constexpr int kQueryWarps = 4, kQueryThreads = 32 * kQueryWarps, kQueries = 16 * kQueryWarps;

template <int Dim>
constexpr int kKeysOfTile = Dim > 64 ? 32 : 64;

template <int Dim>
constexpr size_t kQueryBytes = size_t{4} * Dim*(kQueries + kKeysOfTile<Dim>);

// While dout · vᵀ is formed k's tile is brought, and while the scores are formed and dq is summed, the next v's.
template <int Dim, bool kWide>
__global__ void __launch_bounds__(kQueryThreads) attentionQueryGradientKernel(BackwardArguments g) {
  constexpr int kTile = kKeysOfTile<Dim>, N = kTile / 8;
  DYN_SMEM(memory);
  unsigned char* const queries = memory;
  unsigned char* const gradients = queries + kQueries * Dim * 2;
  unsigned char* const keys = gradients + kQueries * Dim * 2;
  unsigned char* const values = keys + kTile * Dim * 2;

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row = thread / 32 * 16;
  const int slot = static_cast<int>(gridDim.x - 1 - blockIdx.x);
  const DocumentTile at = findTile<kQueries>(g.cuSeqlens, g.documents, slot, lane);
  if (at.first >= at.length) return;
  const int head = static_cast<int>(blockIdx.y);
  const int64_t column = int64_t{head} * g.headDim, kvColumn = int64_t{head / g.headsPerKv} * g.headDim;
  const Bf16* const k = g.k + at.begin * g.ldkv + kvColumn;
  const Bf16* const v = g.v + at.begin * g.ldkv + kvColumn;
  const int64_t firstRow = int64_t{at.begin} + at.first;
  const int rows = min(kQueries, at.length - at.first);

  const int lastKey = at.first + rows - 1;
  const int firstKey = g.window > 0 ? max(0, at.first - g.window + 1) / kTile * kTile : 0;
  const int warpFirst = at.first + row, warpLast = warpFirst + 15;

  loadTile<Dim, kQueries, kQueryThreads, kWide>(queries, g.q + firstRow * g.ldq + column, g.ldq, rows, g.headDim,
                                                thread);
  loadTile<Dim, kQueries, kQueryThreads, kWide>(gradients, g.dout + firstRow * g.ldo + column, g.ldo, rows, g.headDim,
                                                thread);
  loadTile<Dim, kTile, kQueryThreads, kWide>(values, v + firstKey * g.ldkv, g.ldkv, at.length - firstKey, g.headDim,
                                             thread);
  cpAsyncCommit();

  const float scale = g.scale * kLog2E;
  float shift[2], delta[2];  // of rows lane / 4 and 8 below
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t place = int64_t{head} * g.total + at.begin + min(warpFirst + lane / 4 + half * 8, at.length - 1);
    shift[half] = g.lse[place] * kLog2E;
    delta[half] = g.delta[place];
  }
  Accumulators<Dim / 8> dq;
  dq.clear();

  for (int key = firstKey; key <= lastKey; key += kTile) {
    cpAsyncWait<0>();
    __syncthreads();  // values are there, keys are free
    loadTile<Dim, kTile, kQueryThreads, kWide>(keys, k + key * g.ldkv, g.ldkv, at.length - key, g.headDim, thread);
    cpAsyncCommit();
    const bool seen = key <= warpLast && (g.window <= 0 || key + kTile - 1 > warpFirst - g.window);
    Accumulators<N> weights, gradient;
    if (seen) multiplyRows<Dim>(gradient, gradients, row, values, lane);
    cpAsyncWait<0>();
    __syncthreads();  // keys are there, values are free
    if (key + kTile <= lastKey) {
      loadTile<Dim, kTile, kQueryThreads, kWide>(values, v + (key + kTile) * g.ldkv, g.ldkv, at.length - key - kTile,
                                                 g.headDim, thread);
    }
    cpAsyncCommit();
    if (!seen) continue;
    multiplyRows<Dim>(weights, queries, row, keys, lane);
    UNROLL
    for (int n = 0; n < N; ++n) {
      UNROLL
      for (int i = 0; i < 4; ++i) {
        const int query = warpFirst + lane / 4 + i / 2 * 8, other = key + n * 8 + lane % 4 * 2 + i % 2;
        const float weight =
            sees(query, other, g.window) ? exp2Approximate(weights.at[n][i] * scale - shift[i / 2]) : 0;
        gradient.at[n][i] = weight * (gradient.at[n][i] - delta[i / 2]);
      }
    }
    addWeightedRows<Dim>(dq, gradient, keys, lane);
  }

  const float factors[2] = {g.scale, g.scale};
  writeRows<Dim, kWide>(dq, factors, queries, row, g.dq + (firstRow + row) * g.lddq + column, g.lddq, rows - row,
                        g.headDim, lane);
}

// --- dk and dv ---------------------------------------------------------------------------------------------------------------------

// Two warps share 16 keys, so that accumulators of two gradients fit the registers of whole heads: one forms weights = k · qᵀ and
// sums dv, the other forms v · doutᵀ, takes the weights over and sums dk.
template <int Dim>
struct KeyTile {
  static constexpr int kPairs = Dim > 128 ? 2 : 4, kThreads = 64 * kPairs, kSide = 32 * kPairs;
  static constexpr int kKeys = 16 * kPairs, kQueries = Dim > 128 ? 16 : 32;
  static constexpr size_t kRowsBytes = size_t{2} * Dim * kKeys, kStageBytes = size_t{2} * Dim * kQueries;
  static constexpr size_t kWeightsBytes = size_t{4} * kKeys * kQueries, kStatisticsBytes = size_t{4} * kQueries;
  // k, v; two stages of q and dout; weights; two stages of lse and delta.
  static constexpr size_t kBytes = 2 * kRowsBytes + 4 * kStageBytes + kWeightsBytes + 4 * kStatisticsBytes;
};

template <int Dim, bool kWide>
__global__ void __launch_bounds__(KeyTile<Dim>::kThreads) attentionKeyGradientKernel(BackwardArguments g) {
  using Tile = KeyTile<Dim>;
  constexpr int kQ = Tile::kQueries, N = kQ / 8;
  DYN_SMEM(memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int side = thread / Tile::kSide, ownThread = thread % Tile::kSide, row = ownThread / 32 * 16;
  unsigned char* const left = memory + side * Tile::kRowsBytes;  // k or v
  unsigned char* const stages = memory + 2 * Tile::kRowsBytes;   // [2][q, dout]
  auto* const exchange = reinterpret_cast<float*>(stages + 4 * Tile::kStageBytes) + row * kQ + lane * 4;
  auto* const statistics = reinterpret_cast<float*>(stages + 4 * Tile::kStageBytes + Tile::kWeightsBytes);

  const DocumentTile at = findTile<Tile::kKeys>(g.cuSeqlens, g.documents, static_cast<int>(blockIdx.x), lane);
  if (at.first >= at.length) return;
  const int kvHead = static_cast<int>(blockIdx.y);
  const int64_t firstRow = int64_t{at.begin} + at.first, kvColumn = int64_t{kvHead} * g.headDim;
  const int rows = min(Tile::kKeys, at.length - at.first);
  const int warpFirst = at.first + row;  // the first of the warp's keys
  const int end = g.window > 0 ? min(at.length, at.first + Tile::kKeys + g.window - 1) : at.length;  // of queries

  // This side's operand of the first product, its statistic, and their stages.
  const Bf16* const source = side == 0 ? g.q : g.dout;
  const int64_t ld = side == 0 ? g.ldq : g.ldo;
  const float* const statistic = side == 0 ? g.lse : g.delta;
  const auto bring = [&](int head, int query, int stage) {
    loadTile<Dim, kQ, Tile::kSide, kWide>(stages + (2 * stage + side) * Tile::kStageBytes,
                                          source + (at.begin + query) * ld + int64_t{head} * g.headDim, ld,
                                          at.length - query, g.headDim, ownThread);
    if (ownThread < kQ) {
      cpAsync4(statistics + (2 * stage + side) * kQ + ownThread,
               statistic + int64_t{head} * g.total + at.begin + min(query + ownThread, at.length - 1));
    }
  };

  loadTile<Dim, Tile::kKeys, Tile::kSide, kWide>(left, (side == 0 ? g.k : g.v) + firstRow * g.ldkv + kvColumn, g.ldkv,
                                                 rows, g.headDim, ownThread);
  int head = kvHead * g.headsPerKv, query = at.first, stage = 0;
  const int endHead = head + g.headsPerKv;
  bring(head, query, stage);
  cpAsyncCommit();

  const float scale = g.scale * kLog2E;
  Accumulators<Dim / 8> sum;  // dv or dk
  sum.clear();
  while (head < endHead) {
    int nextHead = head, nextQuery = query + kQ;
    if (nextQuery >= end) nextQuery = at.first, ++nextHead;
    cpAsyncWait<0>();
    __syncthreads();  // this stage is there; the other one and the exchange are free
    if (nextHead < endHead) bring(nextHead, nextQuery, 1 - stage);
    cpAsyncCommit();

    const unsigned char* const own = stages + (2 * stage + side) * Tile::kStageBytes;
    const unsigned char* const others = stages + (2 * stage + 1 - side) * Tile::kStageBytes;
    const float* const ownStatistic = statistics + (2 * stage + side) * kQ;
    const bool seen = query + kQ - 1 >= warpFirst && (g.window <= 0 || query < warpFirst + 15 + g.window);
    Accumulators<N> product;  // keys by queries
    if (seen) {
      multiplyRows<Dim>(product, left, row, own, lane);
      if (side == 0) {
        UNROLL
        for (int n = 0; n < N; ++n) {
          UNROLL
          for (int i = 0; i < 4; ++i) {
            const int column = n * 8 + lane % 4 * 2 + i % 2, key = warpFirst + lane / 4 + i / 2 * 8;
            const bool use = query + column < at.length && sees(query + column, key, g.window);
            product.at[n][i] = use ? exp2Approximate(product.at[n][i] * scale - ownStatistic[column] * kLog2E) : 0;
          }
          storeFloats(exchange + n * 128, product.at[n]);
        }
      }
    }
    __syncthreads();  // the weights are there
    if (seen) {
      if (side == 1) {
        UNROLL
        for (int n = 0; n < N; ++n) {
          float weights[4];
          loadFloats(weights, exchange + n * 128);
          UNROLL
          for (int i = 0; i < 4; ++i) {
            product.at[n][i] = weights[i] * (product.at[n][i] - ownStatistic[n * 8 + lane % 4 * 2 + i % 2]);
          }
        }
      }
      addWeightedRows<Dim>(sum, product, others, lane);
    }
    head = nextHead, query = nextQuery, stage = 1 - stage;
  }

  const float factor = side == 0 ? 1 : g.scale, factors[2] = {factor, factor};
  writeRows<Dim, kWide>(sum, factors, left, row, (side == 0 ? g.dv : g.dk) + (firstRow + row) * g.lddkv + kvColumn,
                        g.lddkv, rows - row, g.headDim, lane);
}

}  // namespace

void attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstI32 cuSeqlensDevice,
                       DevConstReal q, int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                       DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq, int64_t lddq,
                       DevReal dk, DevReal dv, int64_t lddkv, Stream& stream) {
  checkAttention(shape);
  const int documents = documentsOf(cuSeqlens);
  if (cuSeqlens.back() == 0) return;
  const BackwardArguments g{bf16Of(q, "q"),
                            bf16Of(k, "k"),
                            bf16Of(v, "v"),
                            bf16Of(out, "out"),
                            bf16Of(dout, "dout"),
                            lse.raw(),
                            delta.raw(),
                            bf16Of(dq, "dq"),
                            bf16Of(dk, "dk"),
                            bf16Of(dv, "dv"),
                            cuSeqlensDevice.raw(),
                            ldq,
                            ldkv,
                            ldo,
                            lddq,
                            lddkv,
                            documents,
                            cuSeqlens.back(),
                            shape.heads,
                            shape.heads / shape.kvHeads,
                            shape.headDim,
                            shape.window,
                            shape.scale};
  const bool wide = wideRows(shape, g.q, ldq) && wideRows(shape, g.k, ldkv) && wideRows(shape, g.v, ldkv) &&
                    wideRows(shape, g.out, ldo) && wideRows(shape, g.dout, ldo) && wideRows(shape, g.dq, lddq) &&
                    wideRows(shape, g.dk, lddkv) && wideRows(shape, g.dv, lddkv);
  withHead(shape.headDim, wide, [&](auto dim, auto isWide) {
    constexpr int kDim = decltype(dim)::value;
    constexpr bool kWide = decltype(isWide)::value;
    constexpr int kGroups = kDeltaThreads / kDeltaLanes;
    const int64_t groups = int64_t{g.total} * g.heads;
    launch(attentionDeltaKernel<kWide>, "attentionDelta", {static_cast<unsigned>((groups + kGroups - 1) / kGroups)},
           {kDeltaThreads}, 0, stream, g);
    launch(attentionKeyGradientKernel<kDim, kWide>, "attentionKeyGradient",
           {tileSlots(cuSeqlens, KeyTile<kDim>::kKeys), static_cast<unsigned>(shape.kvHeads)},
           {KeyTile<kDim>::kThreads}, KeyTile<kDim>::kBytes, stream, g);
    launch(attentionQueryGradientKernel<kDim, kWide>, "attentionQueryGradient",
           {tileSlots(cuSeqlens, kQueries), static_cast<unsigned>(shape.heads)}, {kQueryThreads}, kQueryBytes<kDim>,
           stream, g);
  });
}

}  // namespace mlit::cuda
