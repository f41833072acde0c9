// wide += factor * thin·F: y += p·Bᵀ and dx += u·A. Bound by reading and writing what is wide, which therefore crosses in whole rows
// of a tile, 16 bytes at a time. Under dropout the segments of a group add to the same columns, each behind its own mask:
// one block forms all of them, and rounds once.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/slice_products.h"
#include "backend/cuda/kernels/slices.cuh"
#include "backend/cuda/kernels/tiles.cuh"

namespace mlit::cuda {

namespace {

using Shape = BlockShape<64, 64, 4, 1, true>;
constexpr int kStagedLd = kTile + 8;  // floats of a staged row: pairs of a fragment meet different banks
static_assert(kTile * kStagedLd * 4 <= 2 * Shape::kStageBytes);

// to[0 .. 7] += values, as many of them as there are columns.
template <class T>
DEVICE void addEight(T* to, const float (&values)[8], int columns, bool wide) {
  if (wide && columns >= 8) {
    float sum[8];
    loadFloats(sum, to);
    UNROLL
    for (int e = 0; e < 8; ++e) sum[e] += values[e];
    storeFloats(to, sum);
    return;
  }
  UNROLL
  for (int e = 0; e < 8; ++e) {
    if (e >= columns) continue;
    float one[1];
    loadFloats(one, to + e);
    one[0] += values[e];
    storeFloats(to + e, one);
  }
}

// kAsync: also without dropout, so that there is one part to each tile.
template <class T, Load kLoad>
__global__ void __launch_bounds__(Shape::kThreads)
    outOfRankKernel(SliceList list, Pair<T> wide, Pair<const __nv_bfloat16> thin) {
  DYN_SMEM(room);
  float* const staged = reinterpret_cast<float*>(room);
  const int index = sliceOfTile(list, static_cast<int>(blockIdx.x));
  const Slice head = itemOf(list, index);
  const int columnTiles = tilesOf(head.width), tile = static_cast<int>(blockIdx.x) - head.firstTile;
  const int row = head.begin + tile / columnTiles * kTile, column = tile % columnTiles * kTile;
  const int rows = min(kTile, head.end - row), columns = min(kTile, head.width - column);
  const int usedM = roundUp16(rows), usedN = roundUp16(columns);

  using Loader = TileLoader<__nv_bfloat16, kLoad, Shape::kThreads>;
  float values[Loader::kPieces][8] = {};
  const int parts = kLoad == Load::kAsync ? 1 : head.parts;
  for (int part = 0; part < parts; ++part) {
    const Slice s = itemOf(list, index + part);
    const auto [base, ld] = thin[s.thin];
    const Panel<__nv_bfloat16> left{base + row * ld + s.rankBegin, ld, rows, s.rank};
    const Panel<float> right{s.matrix, s.width, s.rank, s.width};
    Loader leftLoader;
    TileLoader<float, Load::kThrough, Shape::kThreads> rightLoader;
    BlockSums<Shape> sum;
    sum.clear();
    const auto used = [&](int i) { return min(kTile, roundUp16(s.rank - i * kTile)); };
    twoStages(
        tilesOf(s.rank),
        [&](int i, int stage) {
          unsigned char* const at = room + stage * Shape::kStageBytes;
          leftLoader.fetch(left, 0, i * kTile, usedM, used(i), at);
          rightLoader.fetch(right, i * kTile, column, used(i), usedN, at + kTileBytes);
        },
        [&](int i, int stage) {
          unsigned char* const at = room + stage * Shape::kStageBytes;
          leftLoader.put(usedM, used(i), at);
          rightLoader.put(used(i), usedN, at + kTileBytes);
        },
        [&](int i, int stage) {
          const unsigned char* const at = room + stage * Shape::kStageBytes;
          multiplyTiles<false, true>(sum, at, at + kTileBytes, used(i), usedM, usedN);
        });
    sum.eachPair([&](float a, float b, int r, int c) { storeFloat2(staged + r * kStagedLd + c, make_float2(a, b)); });
    __syncthreads();
    Loader::each(rows, columns, [&](int i, int r, int piece) {
      float v[8];
      loadFloats(v, staged + r * kStagedLd + piece * 8);
      const bool masked = kLoad == Load::kThrough && s.records != nullptr;
      const unsigned kept = masked ? keptOfEight(s, row + r, column + piece * 8) : 0xFFu;
      UNROLL
      for (int e = 0; e < 8; ++e) values[i][e] += (kept >> e & 1) != 0 ? s.factor * v[e] : 0.0f;
    });
    __syncthreads();
  }

  const auto [base, ld] = wide[head.wide];
  T* const to = base + row * ld + head.column + column;
  const bool whole = inWholePieces(to, ld);
  Loader::each(rows, columns, [&](int i, int r, int piece) {
    addEight(to + r * ld + piece * 8, values[i], columns - piece * 8, whole);
  });
}

}  // namespace

void outOfRank(const SliceBatch& batch, ElementType type, WideMatrices wide, ThinMatrices thin, Stream& stream) {
  if (batch.tiles == 0) return;
  bool whole = true;
  for (const Slice& s : batch.slices) {
    whole &= s.records == nullptr && wholePieces(thin[s.thin], s.rankBegin, s.rank);
  }
  const SliceList list = listOf<SliceList>(batch.slices, batch.uploaded);
  const auto start = [&]<class T>(void (*kernel)(SliceList, Pair<T>, Pair<const __nv_bfloat16>)) {
    launch(kernel, "outOfRank", {static_cast<unsigned>(batch.tiles)}, {Shape::kThreads}, 2 * Shape::kStageBytes, stream,
           list, typed<T>(wide), typed<const __nv_bfloat16>(thin));
  };
  if (type == ElementType::kF32) {
    whole ? start(outOfRankKernel<float, Load::kAsync>) : start(outOfRankKernel<float, Load::kThrough>);
  } else {
    whole ? start(outOfRankKernel<__nv_bfloat16, Load::kAsync>) : start(outOfRankKernel<__nv_bfloat16, Load::kThrough>);
  }
}

}  // namespace mlit::cuda
