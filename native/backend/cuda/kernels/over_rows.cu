// The gradients of adapters' matrices: dA += scale * uᵀ·x and dBᵀ += scale * pᵀ·dy, in tiles as high as most ranks are small.
#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/over_rows.cuh"

namespace mlit::cuda {

namespace {
using Shape = BlockShape<64, 64, 1, 4, true>;
static_assert(kSlotFloats<Shape> * 4 == kSlotBytes);
constexpr int32_t kChunkRows = 256;  // fewer are not worth a block of their own
}  // namespace

void overRows(const SliceBatch& batch, const std::vector<RowRange>& ranges, const RowRange* uploadedRanges,
              ElementType type, WideMatrices wide, ThinMatrices thin, float* slots, Stream& stream) {
  if (batch.tiles == 0) return;
  int32_t rows = 0;
  bool whole = true;
  for (const Slice& s : batch.slices) {
    const RowRange& last = ranges[static_cast<size_t>(s.end - 1)];
    rows = std::max(rows, last.before + last.end - last.begin);
    whole &= s.records == nullptr && wholePieces(wide[s.wide], s.column, s.width) &&
             wholePieces(thin[s.thin], s.rankBegin, s.rank);
  }
  const int32_t chunks = std::max(1, std::min(kSlots / batch.tiles, (rows + kChunkRows - 1) / kChunkRows));
  const SliceList list = listOf<SliceList>(batch.slices, batch.uploaded);
  const RangeList rangeList = listOf<RangeList>(ranges, uploadedRanges);
  const Dim3 grid{static_cast<unsigned>(batch.tiles), static_cast<unsigned>(chunks)};
  const auto start =
      [&]<class T>(void (*kernel)(SliceList, RangeList, Pair<const __nv_bfloat16>, Pair<const T>, float*)) {
        launch(kernel, "overRows", grid, {Shape::kThreads}, 2 * Shape::kStageBytes, stream, list, rangeList,
               typed<const __nv_bfloat16>(thin), typed<const T>(wide), slots);
      };
  if (type == ElementType::kF32) {
    start(overRowsKernel<__nv_bfloat16, float, Load::kThrough, Shape>);
  } else if (whole) {
    start(overRowsKernel<__nv_bfloat16, __nv_bfloat16, Load::kAsync, Shape>);
  } else {
    start(overRowsKernel<__nv_bfloat16, __nv_bfloat16, Load::kThrough, Shape>);
  }
  if (chunks == 1) return;
  launch(addRowChunksKernel<Shape>, "addRowChunks", {grid.x}, {Shape::kThreads}, 0, stream, list, rangeList, slots,
         chunks);
}

}  // namespace mlit::cuda
