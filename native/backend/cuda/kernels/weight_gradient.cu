// dW += dyᵀ·x with both operands of any size: the same walk over rows as for adapters' gradients, in tiles of 128 x 128.
#include "backend/cuda/kernels/weight_gradient.h"

#include <string>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/over_rows.cuh"
#include "backend/cuda/kernels/reals.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

using Shape = BlockShape<128, 128, 2, 4, false>;
constexpr int64_t kWideSlotBytes = kSlotFloats<Shape> * 4, kWideSlots = 256;
constexpr int64_t kChunkRows = 512;  // fewer are not worth a block of their own

}  // namespace

int64_t weightGradientWorkspaceBytes() { return kWideSlots * kWideSlotBytes; }

void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in,
                    DevF32 dW, DevicePtr<std::byte> workspace, int64_t workspaceBytes, Stream& stream) {
  if (rows <= 0 || out <= 0 || in <= 0) return;
  if (workspaceBytes < weightGradientWorkspaceBytes()) {
    throw Error(ErrorCode::kInternal, "weightGradient: a workspace of " + std::to_string(workspaceBytes) + " bytes; " +
                                          std::to_string(weightGradientWorkspaceBytes()) + " are needed");
  }
  SliceList list = {};
  Slice& s = list.first[0];
  s.matrix = dW.raw();
  s.rank = static_cast<int32_t>(out);
  s.width = static_cast<int32_t>(in);
  s.end = list.count = 1;
  RangeList ranges = {};
  ranges.count = 1;
  ranges.first[0] = {0, static_cast<int32_t>(rows), 0};
  const int64_t tiles = (out + Shape::kM - 1) / Shape::kM * ((in + Shape::kN - 1) / Shape::kN);
  const int64_t chunks = std::max<int64_t>(1, std::min((kWideSlots) / tiles, (rows + kChunkRows - 1) / kChunkRows));
  const Dim3 grid{static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)};
  auto* const slots = reinterpret_cast<float*>(workspace.raw());

  const auto start = [&]<class L, class R>(void (*kernel)(SliceList, RangeList, Pair<const L>, Pair<const R>, float*),
                                           const L* left, const R* right) {
    launch(kernel, "weightGradient", grid, {Shape::kThreads}, 2 * Shape::kStageBytes, stream, list, ranges,
           Pair<const L>{{left, lddy}, {}}, Pair<const R>{{right, ldx}, {}}, slots);
  };
  const auto whole = [](DevConstReal at, int64_t ld, int64_t columns) {
    return at.type() == ElementType::kF32 || wholePieces(Matrix<const std::byte>{at.bytes().raw(), ld}, 0, columns);
  };
  const bool async = whole(dy, lddy, out) && whole(x, ldx, in);
  withReals(dy, [&]<class L>(const L* left) {
    withReals(x, [&]<class R>(const R* right) {
      if (async) {
        start(overRowsKernel<L, R, Load::kAsync, Shape>, left, right);
      } else {
        start(overRowsKernel<L, R, Load::kThrough, Shape>, left, right);
      }
    });
  });
  if (chunks == 1) return;
  launch(addRowChunksKernel<Shape>, "addRowChunks", {grid.x}, {Shape::kThreads}, 0, stream, list, ranges, slots,
         chunks);
}

}  // namespace mlit::cuda
