// Attention over a paged cache for rows of a prompt: a block takes 32 or 64 pairs of row and head, as the packed kernel takes 64
// queries, and reads each tile of keys and values once for all of them. For each 16 pairs there is a warp for each class of
// tokens, so that a row's sums are formed as attentionCached forms them, bit for bit: which of the two kernels takes a row, and
// what stands beside it, changes nothing.
#include <algorithm>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/attention_parts.cuh"

namespace mlit::cuda {

namespace {

// Times 16 pairs: registers for a warp's sums, and shared memory, set it.
template <int Dim>
constexpr int kGroups = Dim > 64 ? 2 : 4;

template <int Dim>
constexpr size_t kPromptBytes = size_t{2} * Dim*(kGroups<Dim>* kRows + 2 * kStride);

template <int Dim, bool kWide>
__global__ void __launch_bounds__(32 * kClasses * kGroups<Dim>) attentionPromptKernel(CachedArguments g) {
  constexpr int kWarps = kClasses * kGroups<Dim>, kThreads = 32 * kWarps, kTileBytes = kTokens * Dim * 2;
  SHARED(ClassStatistics, statistics);
  DYN_SMEM(memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int itsClass = warp % kClasses, group = warp / kClasses;
  unsigned char* const queries = memory;
  unsigned char* const area = queries + kGroups<Dim> * kRows * Dim * 2;
  unsigned char* const keys = area + itsClass * kTileBytes;  // of the warp's class
  unsigned char* const values = keys + kClasses * kTileBytes;
  const float scale = g.scale * kLog2E;
  const int64_t first = int64_t{blockIdx.x} * g.together;
  const uint64_t chain = chainOf(g, first, lane);

  for (int i = 0; i < g.together && first + i < g.rows;) {
    Run run;
    run.row = first + i;
    run.rows = runOf(chain, i);
    i += run.rows;
    run.heads = headsOf(g, static_cast<int>(blockIdx.y));
    run.position = g.positions[run.row];
    run.parts = partsOf(run.position, g.window);
    run.slot = static_cast<int>(blockIdx.z);
    run.part = run.parts.first + run.slot;
    if (run.used() <= kRows || run.part > run.parts.last) continue;

    const int m0 = group * kRows, groupPairs = min(kRows, run.used() - m0);  // none: the warp only brings tiles
    const int groupFirst = run.positionOf(m0), groupLast = run.positionOf(m0 + max(groupPairs, 1) - 1);
    const int seenFrom = g.window > 0 ? max(0, run.position - g.window + 1) : 0;
    int token = run.begin();  // the first of four tiles
    while (token + kStride <= seenFrom) token += kStride;
    const auto bring = [&](unsigned char* tile, int from, int half) {
      if (group == half && from + itsClass * kTokens < run.end()) {
        loadTokens<Dim, kWide>(tile, g, run, from + itsClass * kTokens, half, lane);
      }
      cpAsyncCommit();
    };
    __syncthreads();  // the run before is done with the tiles
    loadQueries<Dim, kGroups<Dim> * kRows, kThreads, kWide>(queries, g, run, thread);
    bring(keys, token, 0);

    float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    Accumulators<Dim / 8> out;
    out.clear();
    for (; token < run.end(); token += kStride) {
      const int its = token + itsClass * kTokens;
      const bool seen = groupPairs > 0 && its < run.end() && its <= groupLast &&
                        (g.window <= 0 || its + kTokens - 1 > groupFirst - g.window);
      cpAsyncWait<0>();
      __syncthreads();  // keys are there, values are free
      bring(values, token, 1);
      Accumulators<kTokens / 8> scores;
      if (seen) {
        multiplyRows<Dim>(scores, queries, m0, keys, lane);
        maskScores(scores, run, m0, its, g.window, lane);
        softmaxStep(scores, scale, largest, sum, out);
      }
      cpAsyncWait<0>();
      __syncthreads();  // values are there, keys are free
      bring(keys, token + kStride, 0);
      if (seen) addWeightedRows<Dim>(out, scores, values, lane);
    }
    for (int of = 0; of < kGroups<Dim> && of * kRows < run.used(); ++of) {
      joinClasses<Dim, kWarps>(g, run, of * kRows, out, largest, sum, of == group ? itsClass : -1, statistics, area,
                               warp, lane);
    }
  }
}

}  // namespace

int promptRowsTogether(const AttentionShape& shape, bool wide) {
  int pairs = 0;
  withHead(shape.headDim, wide, [&](auto dim, auto) { pairs = kGroups<decltype(dim)::value> * kRows; });
  return pairs / std::min(kRows, shape.heads / shape.kvHeads);
}

void launchPromptRows(const AttentionShape& shape, bool wide, const CachedArguments& arguments, Stream& stream) {
  const auto headBlocks = static_cast<unsigned>((arguments.headsPerKv + kRows - 1) / kRows);
  const Dim3 grid{static_cast<unsigned>((arguments.rows + arguments.together - 1) / arguments.together),
                  static_cast<unsigned>(shape.kvHeads) * headBlocks, static_cast<unsigned>(arguments.parts)};
  withHead(shape.headDim, wide, [&](auto dim, auto isWide) {
    constexpr int kDim = decltype(dim)::value;
    launch(attentionPromptKernel<kDim, decltype(isWide)::value>, "attentionPrompt", grid,
           {32 * kClasses * kGroups<kDim>}, kPromptBytes<kDim>, stream, arguments);
  });
}

}  // namespace mlit::cuda
