// Attention over a paged cache, as its two kernels share it: in which parts and classes a row's tokens are read, which rows go
// together, and how what was found apart is joined. A row's sums are a function of its position alone, so both kernels give a row
// the same bits: a part's tokens go to four classes, 16 by 16 in turn, each class has its own running softmax over its tiles in
// ascending order, classes are joined in their order, and parts in theirs. Included by .cu files after dev.cuh.
#pragma once

#include "backend/cuda/kernels/attention_tile.h"

namespace mlit::cuda {

inline constexpr int kClasses = 4, kTokens = 16, kRows = 16;  // of a class's tile; of a product
inline constexpr int kStride = kClasses * kTokens;
inline constexpr int kPartTokens = 512, kParts = 8;

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

struct CachedArguments {
  const Bf16 *q, *pool;
  Bf16* out;
  const int *positions, *rowTables, *pageTables;
  float* partSums;        // [rows][heads][parts][headDim], weighted sums
  float* partStatistics;  // [rows][heads][parts][2]: the largest score, and the sum of weights relative to it
  int64_t rows, ldq, ldo;
  int heads, headsPerKv, kvWidth, headDim, window, parts;
  int together;  // rows that begin at multiples of it and follow one another are one run
  float scale;
};

// The heads of one kv head that a block takes, kRows of them at most.
struct Heads {
  int kvHead, first, count;
};
DEVICE Heads headsOf(const CachedArguments& g, int block) {
  const int blocks = (g.headsPerKv + kRows - 1) / kRows, kvHead = block / blocks, behind = block % blocks * kRows;
  return {kvHead, kvHead * g.headsPerKv + behind, min(kRows, g.headsPerKv - behind)};
}

// Whether row r is the one after row r - 1 in its sequence and is read in the same parts.
DEVICE bool follows(const CachedArguments& g, int64_t r) {
  if (g.rowTables[r] != g.rowTables[r - 1] || g.positions[r] != g.positions[r - 1] + 1) return false;
  const Parts a = partsOf(g.positions[r - 1], g.window), b = partsOf(g.positions[r], g.window);
  return a.tokens == b.tokens && a.first == b.first && a.last == b.last;
}

// Of the g.together rows from `begin` on, 64 at most: bit i says that row i follows the one before. By all lanes of a warp together.
DEVICE uint64_t chainOf(const CachedArguments& g, int64_t begin, int lane) {
  const auto after = [&](int i) { return i > 0 && i < g.together && begin + i < g.rows && follows(g, begin + i); };
  const uint64_t low = __ballot_sync(kAllLanes, after(lane));
  const uint64_t high = __ballot_sync(kAllLanes, after(32 + lane));
  return high << 32 | low;
}
// Rows of the run that begins with row i.
DEVICE int runOf(uint64_t chain, int i) {
  int length = 1;
  while (i + length < 64 && chain >> (i + length) & 1) ++length;
  return length;
}

// A run of rows of one sequence by a block's heads: pair m is row m / heads of the run and head m % heads of the block's. A block
// takes one part of its tokens.
struct Run {
  int64_t row;  // the first
  int rows, position;
  Heads heads;
  Parts parts;
  int part, slot;  // which; its place among the row's parts

  DEVICE int used() const { return rows * heads.count; }
  DEVICE int positionOf(int m) const { return position + m / heads.count; }
  DEVICE int begin() const { return part * parts.tokens; }
  DEVICE int end() const { return min((part + 1) * parts.tokens, position + rows); }
};

// Starts bringing the queries of pairs 0…Rows - 1; zeros where there is no pair.
template <int Dim, int Rows, int Threads, bool kWide>
DEVICE void loadQueries(unsigned char* tile, const CachedArguments& g, const Run& run, int thread) {
  constexpr int kPieces = Dim / 8;
  for (int i = thread; i < Rows * kPieces; i += Threads) {
    const int m = i / kPieces, piece = i % kPieces;
    const bool use = m < run.used() && piece * 8 < g.headDim;
    const Bf16* const from = use ? g.q + (run.row + m / run.heads.count) * g.ldq +
                                       int64_t{run.heads.first + m % run.heads.count} * g.headDim + piece * 8
                                 : g.q;
    unsigned char* const to = tile + tileOffset<Dim>(m, piece);
    if constexpr (kWide) {
      cpAsync16OrZero(to, from, use);
    } else {
      store16(to, use ? gatherPiece(from, g.headDim - piece * 8) : make_uint4(0, 0, 0, 0));
    }
  }
}

// Starts bringing a class's keys (half 0) or values (1) from token `first` on, zeros from the run's end. By a warp.
template <int Dim, bool kWide>
DEVICE void loadTokens(unsigned char* tile, const CachedArguments& g, const Run& run, int first, int half, int lane) {
  const int* const pages = g.pageTables + g.rowTables[run.row];
  const int64_t page = int64_t{pages[first / kKvPageTokens]} * 2 + half;
  const Bf16* const from =
      g.pool + (page * kKvPageTokens + first % kKvPageTokens) * g.kvWidth + int64_t{run.heads.kvHead} * g.headDim;
  loadTile<Dim, kTokens, 32, kWide>(tile, from, g.kvWidth, run.end() - first, g.headDim, lane);
}

// What pairs m0…m0 + 15 don't see of a tile.
DEVICE void maskScores(Accumulators<kTokens / 8>& scores, const Run& run, int m0, int token, int window, int lane) {
  UNROLL
  for (int n = 0; n < kTokens / 8; ++n) {
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const int query = run.positionOf(m0 + lane / 4 + i / 2 * 8), other = token + n * 8 + lane % 4 * 2 + i % 2;
      if (!sees(query, other, window)) scores.at[n][i] = -INFINITY;
    }
  }
}

using ClassStatistics = float[2][kClasses][kRows];

// What the four classes found of pairs m0…m0 + 15, together, in their order: written out where the row has one part, else laid
// down for attentionCombine. `of`: the warp's class, or -1 where its own are other pairs. Accumulators keep their places, 16 bytes
// a lane, over the tiles at `area`: 64 Dim bytes a class. All warps of the block call; behind it the area is in use still.
template <int Dim, int Warps>
DEVICE void joinClasses(const CachedArguments& g, const Run& run, int m0, const Accumulators<Dim / 8>& out,
                        const float (&largest)[2], const float (&sum)[2], int of, ClassStatistics& statistics,
                        unsigned char* area, int warp, int lane) {
  constexpr int kPieces = Dim / 8;
  const float scale = g.scale * kLog2E;
  __syncthreads();  // nobody reads tiles, or what was joined before
  if (of >= 0) {
    float* const mine = reinterpret_cast<float*>(area + of * kTokens * Dim * 4);
    UNROLL
    for (int n = 0; n < kPieces; ++n) storeFloats(mine + (n * 32 + lane) * 4, out.at[n]);
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const float all = quadSum(sum[half]);
      if (lane % 4 == 0) {
        statistics[0][of][lane / 4 + half * 8] = largest[half];
        statistics[1][of][lane / 4 + half * 8] = all;
      }
    }
  }
  __syncthreads();
  float factors[kClasses][2], top[2], total[2];
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + half * 8;
    top[half] = -INFINITY, total[half] = 0;
    UNROLL
    for (int c = 0; c < kClasses; ++c) top[half] = fmaxf(top[half], statistics[0][c][m]);
    UNROLL
    for (int c = 0; c < kClasses; ++c) {
      const float its = statistics[0][c][m];
      factors[c][half] = its == top[half] ? 1 : exp2Approximate(its * scale - top[half] * scale);
      total[half] += statistics[1][c][m] * factors[c][half];
    }
  }
  const bool whole = run.parts.first == run.parts.last;
  const auto rowOf = [&](int m) { return run.row + (m0 + m) / run.heads.count; };
  const auto headOf = [&](int m) { return int64_t{run.heads.first + (m0 + m) % run.heads.count}; };
  const auto place = [&](int m) { return (rowOf(m) * g.heads + headOf(m)) * g.parts + run.slot; };
  if (!whole && warp == 0 && lane % 4 == 0) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const int m = lane / 4 + half * 8;
      if (m0 + m < run.used()) storeFloat2(g.partStatistics + place(m) * 2, make_float2(top[half], total[half]));
    }
  }
  for (int n = warp; n < kPieces; n += Warps) {
    float joined[4] = {};
    UNROLL
    for (int c = 0; c < kClasses; ++c) {
      float its[4];
      loadFloats(its, reinterpret_cast<const float*>(area + c * kTokens * Dim * 4) + (n * 32 + lane) * 4);
      UNROLL
      for (int i = 0; i < 4; ++i) joined[i] += its[i] * factors[c][i / 2];
    }
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + i / 2 * 8, column = n * 8 + lane % 4 * 2 + i % 2;
      if (m0 + m >= run.used() || column >= g.headDim) continue;
      if (whole) {
        g.out[rowOf(m) * g.ldo + headOf(m) * g.headDim + column] = __float2bfloat16_rn(joined[i] / total[i / 2]);
      } else {
        g.partSums[place(m) * g.headDim + column] = joined[i];
      }
    }
  }
}

// Runs of more pairs than one product has (attention_prompt.cu). rowsTogether: of one of its blocks.
int promptRowsTogether(const AttentionShape& shape, bool wide);
void launchPromptRows(const AttentionShape& shape, bool wide, const CachedArguments& arguments, Stream& stream);

}  // namespace mlit::cuda
