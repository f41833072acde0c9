// Attention of single rows over a paged cache. A block takes one part of the tokens that a row sees, and the query heads of one kv
// head together: they and, in a prompt, the rows that follow it in its sequence fill the 16 rows of a tensor-core product, so
// that keys and values are read once for all of them. Its warps walk the tokens apart, each with its own running softmax.
#include <algorithm>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/attention_tile.h"

namespace mlit::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kRows = 16, kTokens = 16;  // of a product; of a warp's tile
constexpr int kPartTokens = 512, kParts = 8;

// The parts in which a row's tokens are read: of kPartTokens, or twice as many… where those would be more than kParts. They begin at
// multiples of their size, and are a function of the row's position alone: so are its bits.
struct Parts {
  int tokens, first, last;
};

DEVICE Parts partsOf(int position, int window) {
  const int firstToken = window > 0 && position >= window ? position - window + 1 : 0;
  int tokens = kPartTokens;
  while (tokens * kParts < position - firstToken + 1) tokens *= 2;
  return {tokens, firstToken / tokens, position / tokens};
}

// The most that a row up to this position has: one more than its tokens fill where a window begins within one.
int partsAtMost(int maxPosition, int window) {
  const bool cut = window > 0 && maxPosition >= window;
  const int seen = cut ? window : maxPosition + 1;
  return std::min(std::min(kParts, (seen + kPartTokens - 1) / kPartTokens) + cut, maxPosition / kPartTokens + 1);
}

struct CachedArguments {
  const Bf16 *q, *pool;
  Bf16* out;
  const int *positions, *rowTables, *pageTables;
  float* partSums;        // [rows][heads][parts][headDim], weighted sums
  float* partStatistics;  // [rows][heads][parts][2]: the largest score, and the sum of weights relative to it
  int64_t rows, ldq, ldo;
  int heads, headsPerKv, kvWidth, headDim, window, parts;
  float scale;
};

template <int Dim>
constexpr size_t kCachedBytes = size_t{2} * Dim*(kRows + 2 * kWarps * kTokens);

// Whether row r is the one after row r - 1 in its sequence and is read in the same parts.
DEVICE bool follows(const CachedArguments& g, int64_t r) {
  if (g.rowTables[r] != g.rowTables[r - 1] || g.positions[r] != g.positions[r - 1] + 1) return false;
  const Parts a = partsOf(g.positions[r - 1], g.window), b = partsOf(g.positions[r], g.window);
  return a.tokens == b.tokens && a.first == b.first && a.last == b.last;
}

template <int Dim, bool kWide>
__global__ void __launch_bounds__(kThreads) attentionCachedKernel(CachedArguments g) {
  constexpr int kPieces = Dim / 8;
  using Statistics = float[2][kWarps][kRows];
  SHARED(Statistics, statistics);
  DYN_SMEM(memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  unsigned char* const queries = memory;
  unsigned char* const keys = queries + kRows * Dim * 2 + warp * kTokens * Dim * 4;  // the warp's own
  unsigned char* const values = keys + kTokens * Dim * 2;

  // Which rows, heads and tokens.
  const int headBlocks = (g.headsPerKv + kRows - 1) / kRows;
  const int kvHead = static_cast<int>(blockIdx.y) / headBlocks, headBlock = static_cast<int>(blockIdx.y) % headBlocks;
  const int firstHead = kvHead * g.headsPerKv + headBlock * kRows;
  const int heads = min(kRows, g.headsPerKv - headBlock * kRows), rowsTogether = kRows / min(kRows, g.headsPerKv);
  const int64_t row = blockIdx.x;
  const int64_t behind = row + lane;
  const bool after = behind % rowsTogether != 0 && behind < g.rows && behind / rowsTogether == row / rowsTogether &&
                     follows(g, behind);
  const unsigned chain = __ballot_sync(kAllLanes, after);
  if (chain & 1) return;  // the block of a row before takes this one too
  const int rows = __ffs(static_cast<int>(~(chain | 1))) - 1, used = rows * heads;
  const int position = g.positions[row], lastPosition = position + rows - 1;
  const Parts parts = partsOf(position, g.window);
  const int part = parts.first + static_cast<int>(blockIdx.z);
  if (part > parts.last) return;
  const int* const pages = g.pageTables + g.rowTables[row];
  const int seenFrom = g.window > 0 ? max(0, position - g.window + 1) : 0;
  const int begin = part * parts.tokens + warp * kTokens, end = min((part + 1) * parts.tokens, lastPosition + 1);
  constexpr int kStride = kWarps * kTokens;
  int token = begin;  // the first of the warp's tile
  while (token + kTokens <= seenFrom) token += kStride;

  for (int i = thread; i < kRows * kPieces; i += kThreads) {
    const int m = i / kPieces, piece = i % kPieces;
    const bool use = m < used && piece * 8 < g.headDim;
    const Bf16* const from =
        use ? g.q + (row + m / heads) * g.ldq + int64_t{firstHead + m % heads} * g.headDim + piece * 8 : g.q;
    unsigned char* const to = queries + tileOffset<Dim>(m, piece);
    if constexpr (kWide) {
      cpAsync16OrZero(to, from, use);
    } else {
      store16(to, use ? gatherPiece(from, g.headDim - piece * 8) : make_uint4(0, 0, 0, 0));
    }
  }
  cpAsyncCommit();
  const auto bring = [&](unsigned char* tile, int first, int half) {
    if (first < end) {
      const int64_t page = int64_t{pages[first / kKvPageTokens]} * 2 + half;
      const Bf16* const from =
          g.pool + (page * kKvPageTokens + first % kKvPageTokens) * g.kvWidth + int64_t{kvHead} * g.headDim;
      loadTile<Dim, kTokens, 32, kWide>(tile, from, g.kvWidth, end - first, g.headDim, lane);
    }
    cpAsyncCommit();
  };
  bring(keys, token, 0);
  cpAsyncWait<1>();
  __syncthreads();  // queries are there
  bring(values, token, 1);

  const float scale = g.scale * kLog2E;
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  Accumulators<kPieces> out;
  out.clear();
  for (; token < end; token += kStride) {
    cpAsyncWait<1>();
    __syncwarp();  // keys are there
    Accumulators<kTokens / 8> scores;
    multiplyRows<Dim>(scores, queries, 0, keys, lane);
    __syncwarp();
    bring(keys, token + kStride, 0);
    UNROLL
    for (int n = 0; n < kTokens / 8; ++n) {
      UNROLL
      for (int i = 0; i < 4; ++i) {
        const int query = position + (lane / 4 + i / 2 * 8) / heads, other = token + n * 8 + lane % 4 * 2 + i % 2;
        if (!sees(query, other, g.window)) scores.at[n][i] = -INFINITY;
      }
    }
    softmaxStep(scores, scale, largest, sum, out);
    cpAsyncWait<1>();
    __syncwarp();  // values are there
    addWeightedRows<Dim>(out, scores, values, lane);
    __syncwarp();
    bring(values, token + kStride, 1);
  }

  // What the warps found, together, in their order. Accumulators keep their places: 16 bytes a lane, over the warp's tiles.
  __syncwarp();
  UNROLL
  for (int n = 0; n < kPieces; ++n) storeFloats(reinterpret_cast<float*>(keys) + (n * 32 + lane) * 4, out.at[n]);
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const float all = quadSum(sum[half]);
    if (lane % 4 == 0) {
      statistics[0][warp][lane / 4 + half * 8] = largest[half];
      statistics[1][warp][lane / 4 + half * 8] = all;
    }
  }
  __syncthreads();
  float factors[kWarps][2], top[2], total[2];
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + half * 8;
    top[half] = -INFINITY, total[half] = 0;
    UNROLL
    for (int w = 0; w < kWarps; ++w) top[half] = fmaxf(top[half], statistics[0][w][m]);
    UNROLL
    for (int w = 0; w < kWarps; ++w) {
      const float its = statistics[0][w][m];
      factors[w][half] = its == top[half] ? 1 : exp2Approximate(its * scale - top[half] * scale);
      total[half] += statistics[1][w][m] * factors[w][half];
    }
  }
  const bool whole = parts.first == parts.last;
  const auto place = [&](int m) {
    return ((row + m / heads) * g.heads + firstHead + m % heads) * g.parts + blockIdx.z;
  };
  if (!whole && warp == 0 && lane % 4 == 0) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const int m = lane / 4 + half * 8;
      if (m < used) storeFloat2(g.partStatistics + place(m) * 2, make_float2(top[half], total[half]));
    }
  }
  for (int n = warp; n < kPieces; n += kWarps) {
    float joined[4] = {};
    UNROLL
    for (int w = 0; w < kWarps; ++w) {
      float its[4];
      loadFloats(
          its, reinterpret_cast<const float*>(queries + kRows * Dim * 2 + w * kTokens * Dim * 4) + (n * 32 + lane) * 4);
      UNROLL
      for (int i = 0; i < 4; ++i) joined[i] += its[i] * factors[w][i / 2];
    }
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + i / 2 * 8, column = n * 8 + lane % 4 * 2 + i % 2;
      if (m >= used || column >= g.headDim) continue;
      if (whole) {
        Bf16* const to = g.out + (row + m / heads) * g.ldo + int64_t{firstHead + m % heads} * g.headDim;
        to[column] = __float2bfloat16_rn(joined[i] / total[i / 2]);
      } else {
        g.partSums[place(m) * g.headDim + column] = joined[i];
      }
    }
  }
}

// One row and head: its parts, in their order.
__global__ void __launch_bounds__(kThreads) attentionCombineKernel(CachedArguments g) {
  const int64_t row = blockIdx.x;
  const Parts parts = partsOf(g.positions[row], g.window);
  if (parts.first == parts.last) return;
  const int count = parts.last - parts.first + 1;
  const int64_t place = (row * g.heads + blockIdx.y) * g.parts;
  float top = -INFINITY, total = 0, factors[kParts + 1];
  for (int p = 0; p < count; ++p) top = fmaxf(top, g.partStatistics[(place + p) * 2]);
  UNROLL
  for (int p = 0; p < kParts + 1; ++p) {
    if (p >= count) continue;
    const float2 its = loadFloat2(g.partStatistics + (place + p) * 2);
    factors[p] = exp2Approximate((its.x - top) * (g.scale * kLog2E));
    total += its.y * factors[p];
  }
  for (int column = static_cast<int>(threadIdx.x); column < g.headDim; column += kThreads) {
    float sum = 0;
    UNROLL
    for (int p = 0; p < kParts + 1; ++p) {
      if (p < count) sum += g.partSums[(place + p) * g.headDim + column] * factors[p];
    }
    g.out[row * g.ldo + int64_t{blockIdx.y} * g.headDim + column] = __float2bfloat16_rn(sum / total);
  }
}

constexpr int kStoreThreads = 256;

template <int N>
__global__ void __launch_bounds__(kStoreThreads)
    kvStoreKernel(const Bf16* k, const Bf16* v, int64_t ldkv, int64_t rows, int width, const int* rowPages,
                  const int* rowSlots, Bf16* pool) {
  const int64_t pieces = width / N, at = int64_t{blockIdx.x} * kStoreThreads + threadIdx.x;
  const int64_t row = at / (2 * pieces), half = at / pieces % 2, column = at % pieces * N;
  if (row >= rows) return;
  const Bf16* const from = (half == 0 ? k : v) + row * ldkv + column;
  Bf16* const to = pool + ((int64_t{rowPages[row]} * 2 + half) * kKvPageTokens + rowSlots[row]) * width + column;
  if constexpr (N == 8) {
    store16(to, load16(from));
  } else {
    *to = *from;
  }
}

}  // namespace

void kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
             DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool, Stream& stream) {
  if (rows == 0) return;
  const int width = shape.kvHeads * shape.headDim;
  const Bf16 *const keys = bf16Of(k, "k"), *const values = bf16Of(v, "v");
  Bf16* const pages = bf16Of(pool, "the pool");
  const auto run = [&](auto kernel, int64_t pieces) {
    const auto blocks = static_cast<unsigned>((rows * 2 * pieces + kStoreThreads - 1) / kStoreThreads);
    launch(kernel, "kvStore", {blocks}, {kStoreThreads}, 0, stream, keys, values, ldkv, rows, width, rowPages.raw(),
           rowSlots.raw(), pages);
  };
  if (atOnce<8>(keys, ldkv) && atOnce<8>(values, ldkv) && atOnce<8>(pages, width)) {
    run(kvStoreKernel<8>, width / 8);
  } else {
    run(kvStoreKernel<1>, width);
  }
}

size_t attentionCachedWorkspaceBytes(const AttentionShape& shape, int64_t rows, int32_t maxPosition) {
  const int parts = partsAtMost(maxPosition, shape.window);
  if (parts == 1) return 0;
  return static_cast<size_t>(rows * shape.heads * parts) * static_cast<size_t>(shape.headDim + 2) * sizeof(float);
}

void attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
                     DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool, DevReal out,
                     int64_t ldo, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream) {
  checkAttention(shape);
  if (rows == 0) return;
  const size_t ofRow = attentionCachedWorkspaceBytes(shape, 1, maxPosition);
  const int64_t fitting = ofRow == 0 ? rows : static_cast<int64_t>(workspaceBytes / ofRow);
  const int64_t most =
      fitting >= rows ? rows : fitting / kRows * kRows;  // of one turn: rows that a block shares stay together
  if (most == 0) {
    throw Error(ErrorCode::kInternal,
                "attentionCached on the device: a workspace of " + std::to_string(workspaceBytes) + " bytes; " +
                    std::to_string(ofRow * static_cast<size_t>(std::min<int64_t>(rows, kRows))) + " are wanted");
  }
  CachedArguments g;
  const Bf16* const queries = bf16Of(q, "q");
  Bf16* const outputs = bf16Of(out, "out");
  g.pool = bf16Of(pool, "the pool"), g.pageTables = pageTables.raw();
  g.ldq = ldq, g.ldo = ldo;
  g.heads = shape.heads, g.headsPerKv = shape.heads / shape.kvHeads, g.kvWidth = shape.kvHeads * shape.headDim;
  g.headDim = shape.headDim, g.window = shape.window, g.scale = shape.scale;
  g.parts = partsAtMost(maxPosition, shape.window);
  g.partStatistics = workspace.as<float>().raw();
  g.partSums = g.partStatistics + most * g.heads * g.parts * 2;

  const bool wide = wideRows(shape, queries, ldq) && wideRows(shape, g.pool, g.kvWidth);
  const auto headBlocks = static_cast<unsigned>((g.headsPerKv + kRows - 1) / kRows);
  for (int64_t first = 0; first < rows; first += most) {
    g.rows = std::min(most, rows - first);
    g.q = queries + first * ldq, g.out = outputs + first * ldo;
    g.positions = positions.raw() + first, g.rowTables = rowTables.raw() + first;
    const Dim3 grid{static_cast<unsigned>(g.rows), static_cast<unsigned>(shape.kvHeads) * headBlocks,
                    static_cast<unsigned>(g.parts)};
    withHead(shape.headDim, wide, [&](auto dim, auto isWide) {
      constexpr int kDim = decltype(dim)::value;
      launch(attentionCachedKernel<kDim, decltype(isWide)::value>, "attentionCached", grid, {kThreads},
             kCachedBytes<kDim>, stream, g);
    });
    if (g.parts > 1) {
      launch(attentionCombineKernel, "attentionCombine",
             {static_cast<unsigned>(g.rows), static_cast<unsigned>(shape.heads)}, {kThreads}, 0, stream, g);
    }
  }
}

}  // namespace mlit::cuda
