// F += factor * leftᵀ·right, summed over rows: a block holds its part of F and walks over the rows. Where that would leave most of the card
// idle, the rows are cut into chunks with a block each, and a second kernel adds the chunks' sums in order.
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/slice_products.h"
#include "backend/cuda/kernels/slices.cuh"
#include "backend/cuda/kernels/tiles.cuh"

namespace mlit::cuda {

// The block's output: rows and columns of one slice's matrix.
template <class Shape>
struct SumTile {
  Slice slice;
  int m, n, usedM, usedN;
};

template <class Shape>
DEVICE SumTile<Shape> sumTileOf(const SliceList& list, int tile) {
  SumTile<Shape> t;
  t.slice = itemOf(list, sliceOfTile(list, tile));
  const int columnTiles = (t.slice.width + Shape::kN - 1) / Shape::kN, index = tile - t.slice.firstTile;
  t.m = index / columnTiles * Shape::kM;
  t.n = index % columnTiles * Shape::kN;
  t.usedM = Shape::kGuarded ? min(Shape::kM, roundUp16(t.slice.rank - t.m)) : Shape::kM;
  t.usedN = Shape::kGuarded ? min(Shape::kN, roundUp16(t.slice.width - t.n)) : Shape::kN;
  return t;
}

template <class Shape>
DEVICE void addToMatrix(BlockSums<Shape>& sum, const SumTile<Shape>& t) {
  const Slice& s = t.slice;
  const bool pairs = (reinterpret_cast<uintptr_t>(s.matrix) % 8 | static_cast<unsigned>(s.width) % 2) == 0;
  sum.eachPair([&](float a, float b, int row, int column) {
    const int m = t.m + row, n = t.n + column;
    if (m >= s.rank || n >= s.width) return;
    float* const to = s.matrix + static_cast<int64_t>(m) * s.width + n;
    if (pairs) {
      const float2 v = loadFloat2(to);
      storeFloat2(to, make_float2(v.x + s.factor * a, v.y + s.factor * b));
      return;
    }
    to[0] += s.factor * a;
    if (n + 1 < s.width) to[1] += s.factor * b;
  });
}

// Rows of one chunk of a slice's ranges, numbered through, and the chunks that there are.
struct Chunk {
  int begin, end, count;
};
DEVICE Chunk chunkOfRows(const RangeList& ranges, const Slice& s, int index, int most) {
  const RowRange last = itemOf(ranges, s.end - 1);
  const int rows = last.before + last.end - last.begin;
  const int size = tilesOf((rows + most - 1) / most) * 64;
  return {index * size, min(rows, (index + 1) * size), (rows + size - 1) / size};
}

// Up to 64 rows of one range.
struct RowStep {
  int row, depth;
};

// Walks over a chunk's rows in order.
struct RowWalk {
  int range, at, end;

  DEVICE RowWalk(const RangeList& ranges, const Slice& s, const Chunk& chunk)
      : range(s.begin), at(chunk.begin), end(chunk.end) {
    while (range + 1 < s.end && itemOf(ranges, range + 1).before <= at) ++range;
  }
  DEVICE RowStep next(const RangeList& ranges) {
    const RowRange r = itemOf(ranges, range);
    const int row = r.begin + at - r.before;
    const RowStep step{row, min(kTile, min(r.end - row, end - at))};
    at += step.depth;
    if (row + step.depth == r.end) ++range;
    return step;
  }
};

// Load of one operand in a launch that was chosen for bf16.
template <class T, Load kLoad>
inline constexpr Load kLoadOf = std::is_same_v<T, float> ? Load::kThrough : kLoad;

template <class TLeft, class TRight, Load kLoad, class Shape>
__global__ void __launch_bounds__(Shape::kThreads)
    overRowsKernel(SliceList list, RangeList ranges, Pair<const TLeft> thin, Pair<const TRight> wide, float* slots) {
  DYN_SMEM(room);
  const SumTile<Shape> t = sumTileOf<Shape>(list, static_cast<int>(blockIdx.x));
  const Slice& s = t.slice;
  const int chunks = static_cast<int>(gridDim.y);
  const Chunk chunk = chunkOfRows(ranges, s, static_cast<int>(blockIdx.y), chunks);
  if (chunk.begin >= chunk.end) return;
  int steps = 0;
  for (RowWalk walk(ranges, s, chunk); walk.at < walk.end; ++steps) walk.next(ranges);

  const auto [leftAt, ldLeft] = thin[s.thin];
  const auto [rightAt, ldRight] = wide[s.wide];
  const TLeft* const left = leftAt + s.rankBegin;
  const TRight* const right = rightAt + s.column;
  TileLoader<TLeft, kLoadOf<TLeft, kLoad>, Shape::kThreads> leftLoader[Shape::kTilesM];
  TileLoader<TRight, kLoadOf<TRight, kLoad>, Shape::kThreads> rightLoader[Shape::kTilesN];
  RowWalk walk(ranges, s, chunk);
  RowStep held{}, coming{};  // what is multiplied, what is on its way
  BlockSums<Shape> sum;
  sum.clear();
  twoStages(
      steps,
      [&](int, int stage) {
        unsigned char* const at = room + stage * Shape::kStageBytes;
        coming = walk.next(ranges);
        const int depth = roundUp16(coming.depth);
        UNROLL
        for (int i = 0; i < Shape::kTilesM; ++i) {
          leftLoader[i].fetch({left + coming.row * ldLeft, ldLeft, coming.depth, s.rank}, 0, t.m + i * kTile, depth,
                              t.usedM - i * kTile, at + i * kTileBytes);
        }
        UNROLL
        for (int i = 0; i < Shape::kTilesN; ++i) {
          rightLoader[i].fetch({right + coming.row * ldRight, ldRight, coming.depth, s.width}, 0, t.n + i * kTile,
                               depth, t.usedN - i * kTile, at + (Shape::kTilesM + i) * kTileBytes);
        }
      },
      [&](int, int stage) {
        unsigned char* const at = room + stage * Shape::kStageBytes;
        const int depth = roundUp16(coming.depth);
        UNROLL
        for (int i = 0; i < Shape::kTilesM; ++i) {
          leftLoader[i].put(depth, t.usedM - i * kTile, at + i * kTileBytes);
        }
        UNROLL
        for (int i = 0; i < Shape::kTilesN; ++i) {
          rightLoader[i].put(depth, t.usedN - i * kTile, at + (Shape::kTilesM + i) * kTileBytes,
                             [&](uint4& bits, int row, int piece) {
                               if (s.records == nullptr || row >= coming.depth) return;
                               mask(bits, s, coming.row + row, t.n + i * kTile + piece * 8);
                             });
        }
        held = coming;
      },
      [&](int, int stage) {
        const unsigned char* const at = room + stage * Shape::kStageBytes;
        multiplyTiles<true, true>(sum, at, at + Shape::kTilesM * kTileBytes, roundUp16(held.depth), t.usedM, t.usedN);
      });
  if (chunks > 1) {
    storeSlot(sum, slots + (int64_t{blockIdx.x} * chunks + blockIdx.y) * kSlotFloats<Shape>, t.usedM, t.usedN);
  } else {
    addToMatrix(sum, t);
  }
}

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads)
    addRowChunksKernel(SliceList list, RangeList ranges, const float* slots, int most) {
  const SumTile<Shape> t = sumTileOf<Shape>(list, static_cast<int>(blockIdx.x));
  const int count = chunkOfRows(ranges, t.slice, 0, most).count;
  BlockSums<Shape> sum;
  sum.clear();
  for (int i = 0; i < count; ++i) {
    addSlot(sum, slots + (int64_t{blockIdx.x} * most + i) * kSlotFloats<Shape>, t.usedM, t.usedN);
  }
  addToMatrix(sum, t);
}

}  // namespace mlit::cuda
