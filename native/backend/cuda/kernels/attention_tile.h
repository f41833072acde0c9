// Tiles of rows in shared memory, and the fragments that attention's products take from them: what its forward, backward and
// cached kernels share. Included by .cu files after dev.cuh.
#pragma once

#include "backend/cuda/kernels/attention_shape.h"

namespace mlit::cuda {

inline constexpr float kLog2E = 1.44269504088896341f;

DEVICE bool sees(int query, int key, int window) { return key <= query && (window <= 0 || key > query - window); }

// A tile's rows hold Dim elements in pieces of 16 bytes. A piece's place is XORed with its row, so that the eight rows which one
// matrix of ldmatrix wants of one column of pieces lie in different banks.
template <int Dim>
DEVICE int tileOffset(int row, int piece) {
  static_assert(Dim == 32 || Dim % 64 == 0, "rows of half a line, or of whole lines, of banks");
  return row * Dim * 2 + (piece ^ (Dim == 32 ? row >> 1 & 3 : row & 7)) * 16;
}

// 16 bytes of a row that is not aligned to them, or that ends before they do: zeros behind `left` elements.
DEVICE uint4 gatherPiece(const Bf16* from, int left) {
  unsigned words[4];
  UNROLL
  for (int i = 0; i < 4; ++i) {
    const unsigned low = 2 * i < left ? __bfloat16_as_ushort(from[2 * i]) : 0u;
    const unsigned high = 2 * i + 1 < left ? __bfloat16_as_ushort(from[2 * i + 1]) : 0u;
    words[i] = low | high << 16;
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

DEVICE void scatterPiece(Bf16* to, uint4 piece, int left) {
  const unsigned words[4] = {piece.x, piece.y, piece.z, piece.w};
  UNROLL
  for (int i = 0; i < 8; ++i) {
    if (i < left) to[i] = __ushort_as_bfloat16(static_cast<unsigned short>(words[i / 2] >> (16 * (i % 2))));
  }
}

// Starts bringing Rows rows of `dim` elements, of which the first `valid` exist, into a tile; the rest of it is zeroed. One of
// Threads threads, all of which call. kWide: rows are aligned to 16 bytes and dim is whole pieces, so cp.async does it.
template <int Dim, int Rows, int Threads, bool kWide>
DEVICE void loadTile(unsigned char* tile, const Bf16* from, int64_t ld, int valid, int dim, int thread) {
  constexpr int kPieces = Dim / 8, kStep = Threads / kPieces;
  static_assert(Threads % kPieces == 0 && Rows % kStep == 0, "a thread's pieces lie in one column");
  const int first = thread / kPieces, piece = thread % kPieces;
  if (piece * 8 >= dim) valid = 0;
  const Bf16* source = from + first * ld + piece * 8;
  UNROLL
  for (int i = 0; i < Rows / kStep; ++i, source += kStep * ld) {
    const int row = first + i * kStep;
    unsigned char* const to = tile + tileOffset<Dim>(row, piece);
    if constexpr (kWide) {
      cpAsync16OrZero(to, row < valid ? source : from, row < valid);
    } else {
      store16(to, row < valid ? gatherPiece(source, dim - piece * 8) : make_uint4(0, 0, 0, 0));
    }
  }
}

// Writes a tile's rows out: the inverse.
template <int Dim, int Rows, int Threads, bool kWide>
DEVICE void storeTile(const unsigned char* tile, Bf16* to, int64_t ld, int valid, int dim, int thread) {
  constexpr int kPieces = Dim / 8, kStep = Threads / kPieces;
  static_assert(Threads % kPieces == 0 && Rows % kStep == 0, "a thread's pieces lie in one column");
  const int first = thread / kPieces, piece = thread % kPieces;
  if (piece * 8 >= dim) return;
  Bf16* place = to + first * ld + piece * 8;
  for (int row = first; row < min(valid, Rows); row += kStep, place += kStep * ld) {
    const uint4 value = load16(tile + tileOffset<Dim>(row, piece));
    if constexpr (kWide) {
      store16(place, value);
    } else {
      scatterPiece(place, value, dim - piece * 8);
    }
  }
}

// Operand a of m16n8k16: rows row…row + 15, elements 16 step… of each.
template <int Dim>
DEVICE void loadLeft(unsigned (&a)[4], const unsigned char* tile, int row, int step, int lane) {
  ldmatrixX4(a, tile + tileOffset<Dim>(row + lane % 16, 2 * step + lane / 16));
}

struct TwoRights {
  unsigned first[2], second[2];
};

// Two operands b whose columns n are rows of the tile, row… and row + 8…: elements 16 step… are k.
template <int Dim>
DEVICE TwoRights loadRights(const unsigned char* tile, int row, int step, int lane) {
  unsigned r[4];
  ldmatrixX4(r, tile + tileOffset<Dim>(row + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
  return {{r[0], r[1]}, {r[2], r[3]}};
}

// Two operands b whose k are rows of the tile, row…row + 15: elements 16 step… and 16 step + 8… are their columns n.
template <int Dim>
DEVICE TwoRights loadRightsTransposed(const unsigned char* tile, int row, int step, int lane) {
  unsigned r[4];
  ldmatrixX4Transposed(r, tile + tileOffset<Dim>(row + lane % 16, 2 * step + lane / 16));
  return {{r[0], r[1]}, {r[2], r[3]}};
}

// A warp's accumulators of 16 rows by 8 N columns.
template <int N>
struct Accumulators {
  float at[N][4];

  DEVICE void clear() {
    UNROLL
    for (int n = 0; n < N; ++n) at[n][0] = at[n][1] = at[n][2] = at[n][3] = 0;
  }
};

// c = left · rightᵀ over Dim elements of rows row… of both tiles.
template <int Dim, int N>
DEVICE void multiplyRows(Accumulators<N>& c, const unsigned char* left, int row, const unsigned char* right, int lane) {
  static_assert(N % 2 == 0, "columns go two eights at a time");
  c.clear();
  UNROLL_4
  for (int step = 0; step < Dim / 16; ++step) {
    unsigned a[4];
    loadLeft<Dim>(a, left, row, step, lane);
    UNROLL
    for (int n = 0; n < N; n += 2) {
      const TwoRights b = loadRights<Dim>(right, n * 8, step, lane);
      mmaM16N8K16(c.at[n], a, b.first);
      mmaM16N8K16(c.at[n + 1], a, b.second);
    }
  }
}

// sum += weights · right: weights are accumulators of an earlier product, rounded to bf16, over rows 0…8 N - 1 of the tile.
template <int Dim, int N>
DEVICE void addWeightedRows(Accumulators<Dim / 8>& sum, const Accumulators<N>& weights, const unsigned char* right,
                            int lane) {
  UNROLL
  for (int step = 0; step < N / 2; ++step) {
    const float(&low)[4] = weights.at[2 * step], (&high)[4] = weights.at[2 * step + 1];
    const unsigned a[4] = {packBf16(low[0], low[1]), packBf16(low[2], low[3]), packBf16(high[0], high[1]),
                           packBf16(high[2], high[3])};
    UNROLL
    for (int n = 0; n < Dim / 8; n += 2) {
      const TwoRights b = loadRightsTransposed<Dim>(right, step * 16, n / 2, lane);
      mmaM16N8K16(sum.at[n], a, b.first);
      mmaM16N8K16(sum.at[n + 1], a, b.second);
    }
  }
}

// Over the four lanes that hold a row of accumulators.
DEVICE float quadSum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}
DEVICE float quadMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// The running softmax of 16 rows meets more scores (-infinity where a key is not seen): they become weights relative to the
// largest score so far, and what was summed before is brought down to it. scale: of exponents of two. sum: the lane's share.
// A tile of which a row sees nothing changes no bit of that row.
template <int N, int M>
DEVICE void softmaxStep(Accumulators<N>& scores, float scale, float (&largest)[2], float (&sum)[2],
                        Accumulators<M>& weighted) {
  UNROLL
  for (int half = 0; half < 2; ++half) {
    float top = -INFINITY;
    UNROLL
    for (int n = 0; n < N; ++n) top = fmaxf(top, fmaxf(scores.at[n][2 * half], scores.at[n][2 * half + 1]));
    top = fmaxf(largest[half], quadMax(top));
    const float shift = top == -INFINITY ? 0 : top * scale;
    const float down = top == largest[half] ? 1 : exp2Approximate(largest[half] * scale - shift);
    largest[half] = top;
    sum[half] *= down;
    UNROLL
    for (int n = 0; n < N; ++n) {
      UNROLL
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores.at[n][i] = exp2Approximate(scores.at[n][i] * scale - shift);
        sum[half] += scores.at[n][i];
      }
    }
    UNROLL
    for (int n = 0; n < M; ++n) weighted.at[n][2 * half] *= down, weighted.at[n][2 * half + 1] *= down;
  }
}

// Writes a warp's 16 rows out, row g scaled by factors[0] and row g + 8 by factors[1], in whole pieces: by way of the warp's own
// 16 rows of a tile, row…, which nobody else reads any more.
template <int Dim, bool kWide>
DEVICE void writeRows(const Accumulators<Dim / 8>& sum, const float (&factors)[2], unsigned char* tile, int row,
                      Bf16* to, int64_t ld, int valid, int dim, int lane) {
  __syncwarp();  // the warp itself has read them
  UNROLL
  for (int n = 0; n < Dim / 8; ++n) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      unsigned char* const place = tile + tileOffset<Dim>(row + lane / 4 + 8 * half, n) + lane % 4 * 4;
      *reinterpret_cast<unsigned*>(place) =
          packBf16(sum.at[n][2 * half] * factors[half], sum.at[n][2 * half + 1] * factors[half]);
    }
  }
  __syncwarp();
  storeTile<Dim, 16, 32, kWide>(tile + row * Dim * 2, to, ld, valid, dim, lane);
}

// Which rows of which document a block works on. Slot cu[d] / Rows + d is where document d's tiles begin: as many as it can need,
// known to every block without a list.
struct DocumentTile {
  int begin, length;  // the document
  int first;          // the tile's first row in it; at or past length: nothing to do
};

// By all lanes of a warp together.
template <int Rows>
DEVICE DocumentTile findTile(const int* cuSeqlens, int documents, int slot, int lane) {
  int low = 0, count = documents;  // the document is one of these
  while (count > 1) {
    const int step = (count + 31) / 32, candidate = low + lane * step;
    const bool atOrBefore = candidate < low + count && cuSeqlens[candidate] / Rows + candidate <= slot;
    const int passed = __popc(__ballot_sync(kAllLanes, atOrBefore)) - 1;
    count = min(step, count - passed * step);
    low += passed * step;
  }
  const int begin = cuSeqlens[low];
  return {begin, cuSeqlens[low + 1] - begin, (slot - begin / Rows - low) * Rows};
}

}  // namespace mlit::cuda
