// Products of bf16 tiles on the tensor cores, for kernels that cut their operands into tiles of 64 x 64: every warp owns a part of the
// block's output, tiles lie swizzled in shared memory so that no ldmatrix finds its banks taken, and floats are narrowed
// on their way there. Included by .cu files after dev.cuh.
#pragma once

#include <cstdint>

namespace mlit::cuda {

inline constexpr int kTile = 64;                      // rows and columns of a tile
inline constexpr int kTileBytes = kTile * kTile * 2;  // 8 KiB: rows of 128 bytes, in pieces of 8 elements

// What a block computes, kM x kN, and how its warps share it. kGuarded: a part of it may be left out (see multiplyTiles).
template <int kM_, int kN_, int kWarpsM, int kWarpsN, bool kGuarded_>
struct BlockShape {
  static constexpr int kM = kM_, kN = kN_, kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kFragmentsM = kM / kWarpsM / 16, kFragmentsN = kN / kWarpsN / 8;
  static constexpr bool kGuarded = kGuarded_;
  static constexpr int kTilesM = kM / kTile, kTilesN = kN / kTile;
  static constexpr int kStageBytes = (kTilesM + kTilesN) * kTileBytes;  // both operands, one step of 64 along the depth
  static_assert(kFragmentsN % 2 == 0 && kM % kTile == 0 && kN % kTile == 0,
                "ldmatrix takes two fragments of B at once");

  DEVICE static int firstM() { return static_cast<int>(threadIdx.x) / 32 % kWarpsM * (kM / kWarpsM); }
  DEVICE static int firstN() { return static_cast<int>(threadIdx.x) / 32 / kWarpsM * (kN / kWarpsN); }
};

template <class Shape>
struct BlockSums {
  float at[Shape::kFragmentsM][Shape::kFragmentsN][4];

  DEVICE void clear() {
    each([](float(&c)[4], int, int, int) { c[0] = c[1] = c[2] = c[3] = 0; });
  }
  // f(four floats, their number, row and column in the block of the first): two in this row, two in the one 8 below.
  template <class F>
  DEVICE void each(F f) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    UNROLL
    for (int m = 0; m < Shape::kFragmentsM; ++m) {
      UNROLL
      for (int n = 0; n < Shape::kFragmentsN; ++n) {
        f(at[m][n], m * Shape::kFragmentsN + n, Shape::firstM() + 16 * m + lane / 4,
          Shape::firstN() + 8 * n + lane % 4 * 2);
      }
    }
  }
  // The same for each pair of neighbours in a row: f(two floats by value, row, column).
  template <class F>
  DEVICE void eachPair(F f) {
    each([&](float(&c)[4], int, int row, int column) {
      f(c[0], c[1], row, column);
      f(c[2], c[3], row + 8, column);
    });
  }
};

DEVICE int roundUp16(int n) { return (n + 15) / 16 * 16; }

// Piece `piece` of a tile's row: 16 bytes.
DEVICE unsigned char* pieceOf(unsigned char* tile, int row, int piece) {
  return tile + row * (kTile * 2) + ((piece ^ (row % 8)) * 16);
}
DEVICE const unsigned char* pieceOf(const unsigned char* tile, int row, int piece) {
  return tile + row * (kTile * 2) + ((piece ^ (row % 8)) * 16);
}

// --- from memory to tiles ---------------------------------------------------------------------------------------------

enum class Load {
  kAsync,    // bf16, whole aligned pieces: cp.async
  kThrough,  // of any type and alignment, through registers
};

// A matrix from which tiles are taken. Beyond its rows and columns it is zero.
template <class T>
struct Panel {
  const T* at;
  int64_t ld;
  int rows, columns;
};

template <class T>
DEVICE bool inWholePieces(const T* at, int64_t ld) {
  return (reinterpret_cast<uintptr_t>(at) | static_cast<uintptr_t>(ld * static_cast<int64_t>(sizeof(T)))) % 16 == 0;
}

// Eight neighbours of a row as they came from memory.
template <class T>
struct Piece;
template <>
struct Piece<float> {
  float4 low, high;
  DEVICE uint4 narrowed() const {
    return make_uint4(packBf16(low.x, low.y), packBf16(low.z, low.w), packBf16(high.x, high.y),
                      packBf16(high.z, high.w));
  }
};
template <>
struct Piece<__nv_bfloat16> {
  uint4 bits;
  DEVICE uint4 narrowed() const { return bits; }
};

// The first `count` of them (any number, below 1 too); the others are zero. wide: the address is aligned to 16 bytes.
DEVICE void loadPiece(Piece<float>& piece, const float* from, int count, bool wide) {
  if (wide && count >= 8) {
    piece = {loadFloat4(from), loadFloat4(from + 4)};
    return;
  }
  const auto one = [&](int i) { return i < count ? from[i] : 0.0f; };
  piece = {make_float4(one(0), one(1), one(2), one(3)), make_float4(one(4), one(5), one(6), one(7))};
}
DEVICE void loadPiece(Piece<__nv_bfloat16>& piece, const __nv_bfloat16* from, int count, bool wide) {
  if (wide && count >= 8) {
    piece.bits = load16(from);
    return;
  }
  const auto one = [&](int i) { return i < count ? static_cast<unsigned>(__bfloat16_as_ushort(from[i])) : 0u; };
  const auto two = [&](int i) { return one(i) | one(i + 1) << 16; };
  piece.bits = make_uint4(two(0), two(2), two(4), two(6));
}

// Brings tiles of a panel to shared memory in two steps, between which the block may compute: fetch, then put. Of a tile only
// usedRows x usedColumns (multiples of 16) are brought.
template <class T, Load kLoad, int kThreads>
struct TileLoader {
  // A thread's pieces lie below each other, in every kStep-th row: they share their swizzle.
  static constexpr int kPieces = kTile * kTile / 8 / kThreads, kStep = kThreads / 8;
  static_assert(kStep % 8 == 0);
  Piece<T> held[kPieces];

  DEVICE static int firstRow() { return static_cast<int>(threadIdx.x / 8); }
  DEVICE static int piece() { return static_cast<int>(threadIdx.x % 8); }

  // f(i, row, piece) for this thread's pieces that are used.
  template <class F>
  DEVICE static void each(int usedRows, int usedColumns, F f) {
    if (piece() * 8 >= usedColumns) return;
    UNROLL
    for (int i = 0; i < kPieces; ++i) {
      if (firstRow() + i * kStep < usedRows) f(i, firstRow() + i * kStep, piece());
    }
  }
  DEVICE void fetch(const Panel<T>& from, int row, int column, int usedRows, int usedColumns, unsigned char* tile) {
    const bool wide = inWholePieces(from.at, from.ld);
    const int columns = from.columns - column - piece() * 8, rows = from.rows - row;
    const T* const first = from.at + (row + firstRow()) * from.ld + column + piece() * 8;
    const int64_t step = kStep * from.ld;
    each(usedRows, usedColumns, [&](int i, int r, int) {
      const T* const at = first + i * step;
      if constexpr (kLoad == Load::kAsync) {
        const bool inside = r < rows && columns > 0;
        cpAsync16OrZero(pieceOf(tile, firstRow(), piece()) + i * kStep * (kTile * 2), inside ? at : from.at, inside);
      } else {
        loadPiece(held[i], at, r < rows ? columns : 0, wide);
      }
    });
  }
  // edit(bits, row and piece in the tile) may change what is put; it is not asked under kAsync.
  template <class Edit>
  DEVICE void put(int usedRows, int usedColumns, unsigned char* tile, Edit edit) {
    if constexpr (kLoad == Load::kThrough) {
      each(usedRows, usedColumns, [&](int i, int row, int piece) {
        uint4 bits = held[i].narrowed();
        edit(bits, row, piece);
        store16(pieceOf(tile, firstRow(), piece) + i * kStep * (kTile * 2), bits);
      });
    }
  }
  DEVICE void put(int usedRows, int usedColumns, unsigned char* tile) {
    put(usedRows, usedColumns, tile, [](uint4&, int, int) {});
  }
};

// Steps 0 .. count - 1 with two stages of shared memory, the next one on its way while one is multiplied. All threads of the block
// call it; on return all are done with both stages.
template <class Fetch, class Put, class Multiply>
DEVICE void twoStages(int count, Fetch fetch, Put put, Multiply multiply) {
  if (count > 0) {
    fetch(0, 0);
    cpAsyncCommit();
    put(0, 0);
    cpAsyncWait<0>();
  }
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    const bool more = i + 1 < count;
    if (more) fetch(i + 1, (i + 1) % 2);
    cpAsyncCommit();
    multiply(i, i % 2);
    if (more) put(i + 1, (i + 1) % 2);
    cpAsyncWait<0>();
    __syncthreads();
  }
}

// --- products of tiles -------------------------------------------------------------------------------------------------

// A fragment of A from row m on (16 rows, 16 steps of the depth from k on). Straight: tiles hold [m][k], one below the other.
// Turned: they hold [k][m], one beside the other.
template <bool kTurned>
DEVICE void loadFragmentA(unsigned (&a)[4], const unsigned char* tiles, int m, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kTurned) {
    ldmatrixX4Transposed(
        a, pieceOf(tiles + m / kTile * kTileBytes, k + lane % 8 + lane / 16 * 8, m % kTile / 8 + lane / 8 % 2));
  } else {
    ldmatrixX4(a, pieceOf(tiles, m + lane % 16, k / 8 + lane / 16));
  }
}
// Two fragments of B from column n on: registers 0 and 1 are columns n .. n + 7, 2 and 3 the next eight. Straight: [n][k]; turned: [k][n].
template <bool kTurned>
DEVICE void loadFragmentsB(unsigned (&b)[4], const unsigned char* tiles, int n, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kTurned) {
    ldmatrixX4Transposed(b, pieceOf(tiles + n / kTile * kTileBytes, k + lane % 16, n % kTile / 8 + lane / 16));
  } else {
    ldmatrixX4(b, pieceOf(tiles, n + lane % 8 + lane / 16 * 8, k / 8 + lane / 8 % 2));
  }
}

// sum += A·B over one step of 64 along the depth, of which the first `depth` count (a multiple of 16). Where the shape is guarded only rows
// below usedM and columns below usedN are computed (multiples of 16): the tiles beside them need not have been written.
template <bool kTurnedA, bool kTurnedB, class Shape>
DEVICE void multiplyTiles(BlockSums<Shape>& sum, const unsigned char* a, const unsigned char* b, int depth, int usedM,
                          int usedN) {
  const int m0 = Shape::firstM(), n0 = Shape::firstN();
  const auto inM = [&](int m) { return !Shape::kGuarded || m < usedM; };
  const auto inN = [&](int n) { return !Shape::kGuarded || n < usedN; };
  UNROLL
  for (int k = 0; k < kTile; k += 16) {
    if (k >= depth) continue;
    unsigned left[Shape::kFragmentsM][4];
    UNROLL
    for (int i = 0; i < Shape::kFragmentsM; ++i) {
      if (inM(m0 + 16 * i)) loadFragmentA<kTurnedA>(left[i], a, m0 + 16 * i, k);
    }
    UNROLL
    for (int j = 0; j < Shape::kFragmentsN; j += 2) {
      if (!inN(n0 + 8 * j)) continue;
      unsigned both[4];
      loadFragmentsB<kTurnedB>(both, b, n0 + 8 * j, k);
      const unsigned first[2] = {both[0], both[1]}, second[2] = {both[2], both[3]};
      UNROLL
      for (int i = 0; i < Shape::kFragmentsM; ++i) {
        if (!inM(m0 + 16 * i)) continue;
        mmaM16N8K16(sum.at[i][j], left[i], first);
        mmaM16N8K16(sum.at[i][j + 1], left[i], second);
      }
    }
  }
}

// --- partial sums ------------------------------------------------------------------------------------------------------

// A block's accumulators in memory, in the order of threads: only a block of the same shape can read them back.
template <class Shape>
inline constexpr int64_t kSlotFloats = int64_t{Shape::kM} * Shape::kN;

template <class Shape>
DEVICE void storeSlot(BlockSums<Shape>& sum, float* slot, int usedM, int usedN) {
  sum.each([&](float(&c)[4], int number, int row, int column) {
    if (row >= usedM || column >= usedN) return;
    storeFloat4(slot + (number * Shape::kThreads + static_cast<int>(threadIdx.x)) * 4,
                make_float4(c[0], c[1], c[2], c[3]));
  });
}
template <class Shape>
DEVICE void addSlot(BlockSums<Shape>& sum, const float* slot, int usedM, int usedN) {
  sum.each([&](float(&c)[4], int number, int row, int column) {
    if (row >= usedM || column >= usedN) return;
    const float4 v = loadFloat4(slot + (number * Shape::kThreads + static_cast<int>(threadIdx.x)) * 4);
    c[0] += v.x, c[1] += v.y, c[2] += v.z, c[3] += v.w;
  });
}

}  // namespace mlit::cuda
