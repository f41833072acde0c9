// In float32: panels are multiplied as they lie, or decoded to float32 on the way.
#include <algorithm>

#include "backend/cpu/base_tasks.h"

namespace mlit {
namespace {

constexpr int64_t kBackwardDepth = 512;         // fewer than forward: transposed blocks and the ones to come share L2
constexpr int64_t kNarrowRows = 8 * kGemmRows;  // up to here products widen a bfloat16 panel themselves

}  // namespace

void forwardTask(const KernelTable& kernels, const CpuWeight& w, ConstMatrix x, Matrix y, const ForwardTask& task,
                 const ForwardAdapters& adapters, const Scratch& scratch) {
  const GemmKernels& gemm = *kernels.gemm;
  const Range rows = task.rows, panels = task.panels;
  const int64_t depth = depthOf(w.in);
  for (int64_t k0 = 0; k0 < w.in; k0 += depth) {
    const int64_t steps = std::min(depth, w.in - k0);
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      if (scratch.pool.cancelled()) return;
      const Range columns{panel * kPanel, std::min(w.out, (panel + 1) * kPanel)};
      const uint16_t* narrow = rows.size() <= kNarrowRows ? w.narrowRows(panel, k0) : nullptr;
      const float* b = narrow == nullptr ? w.panelRows(kernels, panel, k0, steps, scratch.decoded) : nullptr;
      gemm.block({rows.size(),
                  columns.size(),
                  steps,
                  x.data + rows.begin * x.ld + k0,
                  x.ld,
                  1,
                  b,
                  kPanel,
                  true,
                  y.data + rows.begin * y.ld + columns.begin,
                  y.ld,
                  k0 > 0,
                  {task.ahead(w, panel, k0, depth)},
                  narrow},
                 scratch.tail);
      if (k0 + steps >= w.in) adapters.add(rows, columns, y, scratch);
    }
  }
}

void backwardTask(const KernelTable& kernels, const CpuWeight& w, ConstMatrix dy, Matrix dx, const BackwardTask& task,
                  const BackwardAdapters& adapters, const Scratch& scratch) {
  const Range rows = task.rows, blocks = task.blocks;
  const GemmKernels& gemm = *kernels.gemm;
  const int64_t depth = depthOf(w.out, kBackwardDepth);
  const int64_t passes = ceilDiv(rows.size(), kBackwardPass);
  for (int64_t k0 = 0; k0 < w.out; k0 += depth) {
    const int64_t steps = std::min(depth, w.out - k0);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      float* to = scratch.blocks + (block - blocks.begin) * kBlockFloats;
      const int64_t inputs = std::min(kPanel, w.in - block * kPanel);
      for (int64_t k = 0; k < steps; k += kPanel) {
        const float* from = w.panelRows(kernels, (k0 + k) / kPanel, block * kPanel, inputs, scratch.decoded);
        gemm.transpose(from, kPanel, inputs, std::min(kPanel, steps - k), to + k * kPanel, kPanel);
      }
    }
    // On the way: the blocks of the next depth, spread over the passes, and the rows of the next pass.
    const bool last = k0 + steps >= w.out;
    const int64_t nextPanel = last ? 0 : (k0 + steps) / kPanel;
    const int64_t nextPanels = std::min(w.panels() - nextPanel, depth / kPanel);
    const int64_t shift = last ? task.nextBlock - blocks.begin : 0;
    for (int64_t pass = 0; pass < passes; ++pass) {
      const Range own = part(rows.size(), passes, pass, kGemmRows);
      const int64_t row = rows.begin + own.begin;
      if (scratch.pool.cancelled()) return;
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        const float* b = scratch.blocks + (block - blocks.begin) * kBlockFloats;
        const int64_t inputs = std::min(kPanel, w.in - block * kPanel);
        GemmAhead weights, inputRows;
        if ((block + shift + 1) * kPanel <= w.in) {
          const Range share = part(nextPanels, passes, pass);
          weights = w.stored(nextPanel + share.begin, (block + shift) * kPanel, kPanel, share.size());
        }
        if (block + 1 == blocks.end) {
          const Range next = pass + 1 < passes ? part(rows.size(), passes, pass + 1, kGemmRows) : Range{};
          inputRows = aheadRows(dy.data + (rows.begin + next.begin) * dy.ld + k0, dy.ld, next.size(), steps);
        }
        gemm.block({own.size(),
                    inputs,
                    steps,
                    dy.data + row * dy.ld + k0,
                    dy.ld,
                    1,
                    b,
                    kPanel,
                    true,
                    dx.data + row * dx.ld + block * kPanel,
                    dx.ld,
                    task.accumulate || k0 > 0,
                    {weights, inputRows}},
                   scratch.tail);
        if (last) adapters.add({row, row + own.size()}, {block * kPanel, block * kPanel + inputs}, dx, scratch);
      }
    }
  }
}

}  // namespace mlit
