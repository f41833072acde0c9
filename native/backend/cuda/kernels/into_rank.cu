// thin = factor * wide·Fᵀ: x·Aᵀ and dy·B. Bound by reading what is wide, which is read once for every 64 of the rank. Where rows
// are few, several blocks share the sums over the width and a second kernel adds what they found, in the same order.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/slice_products.h"
#include "backend/cuda/kernels/slices.cuh"
#include "backend/cuda/kernels/tiles.cuh"

namespace mlit::cuda {

namespace {

using Shape = BlockShape<64, 64, 4, 1, true>;
constexpr int32_t kFewTiles = 64;  // up to here chunks of the width have blocks of their own
static_assert(kFewTiles * kMostChunks <= kSlots && kSlotFloats<Shape> * 4 == kSlotBytes);

// The block's output: rows and ranks of one slice.
struct RankTile {
  Slice slice;
  int row, rows, rank, ranks;
};

DEVICE RankTile rankTileOf(const SliceList& list, int tile) {
  RankTile t;
  t.slice = itemOf(list, sliceOfTile(list, tile));
  const int rankTiles = tilesOf(t.slice.rank), index = tile - t.slice.firstTile;
  t.row = t.slice.begin + index / rankTiles * kTile;
  t.rank = index % rankTiles * kTile;
  t.rows = min(kTile, t.slice.end - t.row);
  t.ranks = min(kTile, t.slice.rank - t.rank);
  return t;
}

DEVICE void storeRank(BlockSums<Shape>& sum, const RankTile& t, const Pair<__nv_bfloat16>& thin) {
  const auto [base, ld] = thin[t.slice.thin];
  __nv_bfloat16* const to = base + t.row * ld + t.slice.rankBegin + t.rank;
  sum.eachPair([&](float a, float b, int row, int column) {
    if (row < t.rows && column < t.ranks) to[row * ld + column] = __float2bfloat16_rn(t.slice.factor * a);
    if (row < t.rows && column + 1 < t.ranks) to[row * ld + column + 1] = __float2bfloat16_rn(t.slice.factor * b);
  });
}

// grid.y above 1: this block forms chunk blockIdx.y and leaves it in its slot.
template <class T, Load kLoad>
__global__ void __launch_bounds__(Shape::kThreads)
    intoRankKernel(SliceList list, Pair<const T> wide, Pair<__nv_bfloat16> thin, float* slots) {
  DYN_SMEM(room);
  const RankTile t = rankTileOf(list, static_cast<int>(blockIdx.x));
  const Slice& s = t.slice;
  const int chunk = chunkOf(s.width), spread = static_cast<int>(gridDim.y) > 1;
  const int first = spread ? static_cast<int>(blockIdx.y) * chunk : 0;
  if (first >= s.width) return;
  const int last = spread ? min(s.width, first + chunk) : s.width;

  const auto [base, ld] = wide[s.wide];
  const Panel<T> rows{base + t.row * ld + s.column, ld, t.rows, s.width};
  const Panel<float> ranks{s.matrix + static_cast<int64_t>(t.rank) * s.width, s.width, t.ranks, s.width};
  const int usedM = roundUp16(t.rows), usedN = roundUp16(t.ranks);
  TileLoader<T, kLoad, Shape::kThreads> rowLoader;
  TileLoader<float, Load::kThrough, Shape::kThreads> rankLoader;
  BlockSums<Shape> sum, total;
  sum.clear();
  total.clear();
  const auto column = [&](int i) { return first + i * kTile; };
  const auto used = [&](int i) { return min(kTile, roundUp16(last - column(i))); };
  twoStages((last - first + kTile - 1) / kTile,
            [&](int i, int stage) {
              unsigned char* const at = room + stage * Shape::kStageBytes;
              rowLoader.fetch(rows, 0, column(i), usedM, used(i), at);
              rankLoader.fetch(ranks, 0, column(i), usedN, used(i), at + kTileBytes);
            },
            [&](int i, int stage) {
              unsigned char* const at = room + stage * Shape::kStageBytes;
              rowLoader.put(usedM, used(i), at, [&](uint4& bits, int row, int piece) {
                if (s.records != nullptr && row < t.rows) mask(bits, s, t.row + row, column(i) + piece * 8);
              });
              rankLoader.put(usedN, used(i), at + kTileBytes);
            },
            [&](int i, int stage) {
              const unsigned char* const at = room + stage * Shape::kStageBytes;
              multiplyTiles<false, false>(sum, at, at + kTileBytes, used(i), usedM, usedN);
              if (column(i + 1) % chunk != 0 && column(i + 1) < last) return;
              UNROLL
              for (int f = 0; f < Shape::kFragmentsN; ++f) {
                UNROLL
                for (int e = 0; e < 4; ++e) total.at[0][f][e] += sum.at[0][f][e];
              }
              sum.clear();
            });
  if (spread) {
    storeSlot(total, slots + (int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * kSlotFloats<Shape>, usedM, usedN);
  } else {
    storeRank(total, t, thin);
  }
}

__global__ void __launch_bounds__(Shape::kThreads)
    addChunksKernel(SliceList list, Pair<__nv_bfloat16> thin, const float* slots, int most) {
  const RankTile t = rankTileOf(list, static_cast<int>(blockIdx.x));
  BlockSums<Shape> total;
  total.clear();
  for (int chunk = 0; chunk < chunksOf(t.slice.width); ++chunk) {
    addSlot(total, slots + (int64_t{blockIdx.x} * most + chunk) * kSlotFloats<Shape>, roundUp16(t.rows),
            roundUp16(t.ranks));
  }
  storeRank(total, t, thin);
}

}  // namespace

void intoRank(const SliceBatch& batch, ElementType type, WideMatrices wide, ThinMatrices thin, float* slots,
              Stream& stream) {
  if (batch.tiles == 0) return;
  int32_t most = 1;
  bool whole = true;
  for (const Slice& s : batch.slices) {
    most = std::max(most, chunksOf(s.width));
    whole &= s.records == nullptr && wholePieces(wide[s.wide], s.column, s.width);
  }
  if (batch.tiles > kFewTiles) most = 1;
  const SliceList list = listOf<SliceList>(batch.slices, batch.uploaded);
  const Dim3 grid{static_cast<unsigned>(batch.tiles), static_cast<unsigned>(most)};
  const auto start = [&]<class T>(void (*kernel)(SliceList, Pair<const T>, ThinMatrices, float*)) {
    launch(kernel, "intoRank", grid, {Shape::kThreads}, 2 * Shape::kStageBytes, stream, list, typed<const T>(wide),
           thin, slots);
  };
  if (type == ElementType::kF32) {
    start(intoRankKernel<float, Load::kThrough>);
  } else if (whole) {
    start(intoRankKernel<__nv_bfloat16, Load::kAsync>);
  } else {
    start(intoRankKernel<__nv_bfloat16, Load::kThrough>);
  }
  if (most == 1) return;
  launch(addChunksKernel, "addChunks", {grid.x}, {Shape::kThreads}, 0, stream, list, thin, slots, most);
}

}  // namespace mlit::cuda
