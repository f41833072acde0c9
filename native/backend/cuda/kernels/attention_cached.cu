// Attention of single rows over a paged cache. A block takes one part of the tokens that a row sees, and the query heads of one kv
// head together: they and, in a prompt, the rows that follow it in its sequence fill the 16 rows of a tensor-core product, so
// that keys and values are read once for all of them. Its warps walk the tokens apart, each with its own running softmax. Where
// rows are many, runs of more pairs than that are left to attention_prompt.cu.
#include <algorithm>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/attention_parts.cuh"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 32 * kClasses;
constexpr int64_t kManyRows = 64;  // from here on a call may be of prompts, and is looked through for runs of rows

// The most parts that a row up to this position has: one more than its tokens fill where a window begins within one.
int partsAtMost(int maxPosition, int window) {
  const bool cut = window > 0 && maxPosition >= window;
  const int seen = cut ? window : maxPosition + 1;
  return std::min(std::min(kParts, (seen + kPartTokens - 1) / kPartTokens) + cut, maxPosition / kPartTokens + 1);
}

template <int Dim>
constexpr size_t kCachedBytes = size_t{2} * Dim*(kRows + 2 * kStride);

template <int Dim, bool kWide>
__global__ void __launch_bounds__(kThreads) attentionCachedKernel(CachedArguments g) {
  SHARED(ClassStatistics, statistics);
  DYN_SMEM(memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  unsigned char* const queries = memory;
  unsigned char* const area = queries + kRows * Dim * 2;
  unsigned char* const keys = area + warp * kTokens * Dim * 4;  // the warp's own
  unsigned char* const values = keys + kTokens * Dim * 2;

  // Which rows, heads and tokens.
  const int64_t firstTogether = int64_t{blockIdx.x} / g.together * g.together;
  const int place = static_cast<int>(int64_t{blockIdx.x} - firstTogether);
  const uint64_t chain = chainOf(g, firstTogether, lane);
  if (chain >> place & 1) return;  // the block of a row before takes this one too
  Run run;
  run.row = blockIdx.x;
  run.rows = runOf(chain, place);
  run.heads = headsOf(g, static_cast<int>(blockIdx.y));
  run.position = g.positions[run.row];
  run.parts = partsOf(run.position, g.window);
  run.slot = static_cast<int>(blockIdx.z);
  run.part = run.parts.first + run.slot;
  if (run.used() > kRows || run.part > run.parts.last) return;
  const int seenFrom = g.window > 0 ? max(0, run.position - g.window + 1) : 0;
  int token = run.begin() + warp * kTokens;  // the first of the warp's tile
  while (token + kTokens <= seenFrom) token += kStride;

  loadQueries<Dim, kRows, kThreads, kWide>(queries, g, run, thread);
  cpAsyncCommit();
  const auto bring = [&](unsigned char* tile, int first, int half) {
    if (first < run.end()) loadTokens<Dim, kWide>(tile, g, run, first, half, lane);
    cpAsyncCommit();
  };
  bring(keys, token, 0);
  cpAsyncWait<1>();
  __syncthreads();  // queries are there
  bring(values, token, 1);

  const float scale = g.scale * kLog2E;
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  Accumulators<Dim / 8> out;
  out.clear();
  for (; token < run.end(); token += kStride) {
    cpAsyncWait<1>();
    __syncwarp();  // keys are there
    Accumulators<kTokens / 8> scores;
    multiplyRows<Dim>(scores, queries, 0, keys, lane);
    __syncwarp();
    bring(keys, token + kStride, 0);
    maskScores(scores, run, 0, token, g.window, lane);
    softmaxStep(scores, scale, largest, sum, out);
    cpAsyncWait<1>();
    __syncwarp();  // values are there
    addWeightedRows<Dim>(out, scores, values, lane);
    __syncwarp();
    bring(values, token + kStride, 1);
  }
  joinClasses<Dim, kClasses>(g, run, 0, out, largest, sum, warp, statistics, area, warp, lane);
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
  const bool many = rows >= kManyRows;
  g.together = many ? promptRowsTogether(shape, wide) : kRows / std::min(kRows, g.headsPerKv);
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
    if (many) launchPromptRows(shape, wide, g, stream);
    if (g.parts > 1) {
      launch(attentionCombineKernel, "attentionCombine",
             {static_cast<unsigned>(g.rows), static_cast<unsigned>(shape.heads)}, {kThreads}, 0, stream, g);
    }
  }
}

}  // namespace mlit::cuda
