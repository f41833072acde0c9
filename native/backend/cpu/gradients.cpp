// Gradients of whole matrices, norms and the embedding table, for training a model itself. Each output element is summed
// over rows in one order, by one task: cut by output, the work is the same whatever the number of threads.
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/cpu/products.h"
#include "backend/cpu/row_tasks.h"

namespace mlit {
namespace {

constexpr int64_t kOuts = 11 * kGemmRows;  // rows of dW that share one packed block of dy
constexpr int64_t kColumnTiles = 4;        // tiles of 64 columns of x that stay in L2 beside it
constexpr int64_t kSumColumns = 64;        // columns of a sum over rows in one task
constexpr int64_t kTileFloats = kSumRows * kPanel;
static_assert((kTailFloats + kBlockFloats + kColumnTiles * kTileFloats + kSumRows * kOuts) * sizeof(float) <=
              CpuBackend::kThreadScratchBytes);

// to[r][width] = from[r][columns], the rest zero.
void packRows(const float* from, int64_t ld, int64_t rows, int64_t columns, float* to, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * width, from + r * ld, static_cast<size_t>(columns) * sizeof(float));
    std::memset(to + r * width + columns, 0, static_cast<size_t>(width - columns) * sizeof(float));
  }
}

struct Product {
  const float* x;
  int64_t ldx;
  const float* dy;
  int64_t lddy;
  int64_t rows;
  float* dW;
  int64_t in;
};

// dW's `outs` x `columns`. Both operands are packed first: their rows lie a power of two apart as often as not, and
// a block read in place would fall into a few sets of the cache.
void gradientTask(const GemmKernels& gemm, const Product& p, Range outs, Range columns, const Scratch& scratch) {
  float* const packedX = scratch.blocks;
  float* const packedDy = scratch.blocks + kColumnTiles * kTileFloats;
  for (int64_t row = 0; row < p.rows; row += kSumRows) {
    const int64_t steps = std::min(kSumRows, p.rows - row);
    for (int64_t j = columns.begin; j < columns.end; j += kPanel) {
      float* to = packedX + (j - columns.begin) / kPanel * kTileFloats;
      packRows(p.x + row * p.ldx + j, p.ldx, steps, std::min(kPanel, columns.end - j), to, kPanel);
    }
    for (int64_t out = outs.begin; out < outs.end; out += kOuts) {
      if (scratch.pool.cancelled()) return;
      const int64_t count = std::min(kOuts, outs.end - out);
      packRows(p.dy + row * p.lddy + out, p.lddy, steps, count, packedDy, kOuts);
      for (int64_t j = columns.begin; j < columns.end; j += kPanel) {
        gemm.block({count,
                    std::min(kPanel, columns.end - j),
                    steps,
                    packedDy,
                    1,
                    kOuts,
                    packedX + (j - columns.begin) / kPanel * kTileFloats,
                    kPanel,
                    true,
                    p.dW + out * p.in + j,
                    p.in,
                    true,
                    {}},
                   scratch.tail);
      }
    }
  }
}

}  // namespace

void CpuBackend::weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out,
                                int64_t in, DevF32 dW) {
  if (rows <= 0) return;
  const Product product{x.floats(), ldx, dy.floats(), lddy, rows, dW.raw(), in};
  const int64_t columnParts = ceilDiv(in, kColumnTiles * kPanel);
  const int64_t outParts = std::min(ceilDiv(out, kOuts), ceilDiv(8 * pool_.threads(), columnParts));
  pool_.run(outParts * columnParts, [&](int64_t task, int thread) {
    const int64_t column = task % columnParts * kColumnTiles * kPanel;
    gradientTask(*kernels_.gemm, product, part(out, outParts, task / columnParts, kOuts),
                 {column, std::min(in, column + kColumnTiles * kPanel)}, Scratch(pool_, scratch(thread)));
  });
}

void CpuBackend::rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows,
                                       DevConstF32 invRms, DevF32 dWeight) {
  pool_.run(ceilDiv(xRows.dim, kSumColumns), [&](int64_t task, int) {
    const int64_t first = task * kSumColumns;
    kernels_.rows->rmsNormWeightGradient(dy.floats() + first, lddy, x.floats() + first, xRows.ld, xRows.rows,
                                         xRows.heads, xRows.dim, invRms.raw(), std::min(kSumColumns, xRows.dim - first),
                                         dWeight.raw() + first);
  });
}

void CpuBackend::biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) {
  pool_.run(ceilDiv(n, kSumColumns), [&](int64_t task, int) {
    const int64_t first = task * kSumColumns;
    kernels_.rows->columnSums(dy.floats() + first, lddy, rows, std::min(kSumColumns, n - first), dBias.raw() + first);
  });
}

// Each task owns the ids of one remainder: rows of the same id meet in one task, in their order.
void CpuBackend::gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) {
  const int64_t tasks = 2 * pool_.threads();
  pool_.run(tasks, [&](int64_t task, int) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t id = ids.raw()[i];
      if (id % tasks == task) kernels_.rows->addScaled(dTable.raw() + id * d, dy.raw() + i * d, scale, d);
    }
  });
}

}  // namespace mlit
