// In integers: a panel's bytes are multiplied as they lie, forward; backward through 64 x 64 blocks whose bytes are transposed, as
// floats are.
#include <algorithm>

#include "backend/cpu/base_tasks.h"

namespace mlit {
namespace {

constexpr int64_t kDepth = 2048;  // along K: 128 KiB of a panel, which stay in L2 while the rows go by
constexpr int64_t kBlockBytes = kPanel * kPanel;
constexpr int64_t kTransposedBytes = kMaxTransposed * kBlockFloats * static_cast<int64_t>(sizeof(float));
static_assert(kMaxTransposed * kDepth * kPanel <= kTransposedBytes);
static_assert(kMaxHeadTransposed * kHeadDepth * kPanel <= kTransposedBytes);

// A function of K alone, in whole blocks.
int64_t depthOfDot(int64_t k, int64_t most) {
  return std::max(kDotBlock, ceilDiv(ceilDiv(k, ceilDiv(k, most)), kDotBlock) * kDotBlock);
}

// dx[r, columns] += the largest element of row r times its row of W; w's scale is in the element.
void addLargest(const CpuWeight& w, const RoundedRows& dy, Range rows, Range columns, Matrix dx) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const LargestElement& largest = dy.largest[r];
    const uint8_t* from = w.dotRows(largest.index / kPanel, columns.begin) + largest.index % kPanel * kDotSteps;
    float* to = dx.data + r * dx.ld + columns.begin;
    for (int64_t i = 0; i < columns.size(); ++i) {
      const int code = from[dotPlace(i, 0)];
      to[i] += largest.value * static_cast<float>(code - 128);
    }
  }
}

// dx's kept columns, and what the mean row adds to all others.
void addKept(const CpuWeight& w, const RoundedRows& dy, Range rows, Range columns, Matrix dx) {
  const KeptColumns& kept = w.kept;
  const auto count = static_cast<int64_t>(kept.columns.size());
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    float* const to = dx.data + r * dx.ld;
    for (int64_t i = columns.begin; dy.offsets != nullptr && i < columns.end; ++i)
      to[i] += dy.offsets[r] * kept.mean[static_cast<size_t>(i)];
    for (int64_t c = 0; c < count; ++c) {
      const int32_t column = kept.columns[static_cast<size_t>(c)];
      if (column >= columns.begin && column < columns.end) to[column] += dy.kept[r * count + c];
    }
  }
}

int64_t paddedSteps(int64_t steps) { return ceilDiv(steps, kDotSteps) * kDotSteps; }

}  // namespace

void forwardTask(const DotKernels& dot, const CpuWeight& w, const RoundedRows& x, Matrix y, const ForwardTask& task,
                 const ForwardAdapters& adapters, const Scratch& scratch) {
  const Range rows = task.rows, panels = task.panels;
  const int64_t depth = depthOfDot(w.in, kDepth);
  for (int64_t k0 = 0; k0 < w.in; k0 += depth) {
    const int64_t steps = std::min(depth, w.in - k0);
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      if (scratch.pool.cancelled()) return;
      const Range columns{panel * kPanel, std::min(w.out, (panel + 1) * kPanel)};
      DotBlock block{};
      block.rows = rows.size(), block.columns = columns.size(), block.k = paddedSteps(steps);
      x.fill(block, rows.begin, k0);
      block.b = w.dotRows(panel, k0);
      block.factors = w.scales + columns.begin;
      block.offsets = x.offsets == nullptr ? nullptr : x.offsets + rows.begin;
      block.c = y.data + rows.begin * y.ld + columns.begin;
      block.ldc = y.ld;
      block.add = k0 > 0;
      block.ahead[0] = task.ahead(w, panel, k0, depth);
      dot.block(block);
      if (k0 + steps < w.in) continue;
      if (x.kept != nullptr) {
        const auto kept = static_cast<int64_t>(w.kept.columns.size());
        adapters.gemm.transpose(w.kept.rows + columns.begin * kept, kept, kPanel, kept, scratch.decoded, kPanel);
        expand(adapters.gemm, x.kept + rows.begin * kept, kept, rows.size(), kept, scratch.decoded, kPanel,
               columns.size(), block.c, y.ld, scratch);
      }
      adapters.add(rows, columns, y, scratch);
    }
  }
}

void backwardTask(const DotKernels& dot, const CpuWeight& w, const RoundedRows& dy, Matrix dx, const BackwardTask& task,
                  const BackwardAdapters& adapters, const Scratch& scratch) {
  const auto [rows, blocks, nextBlock, accumulate, head] = task;
  auto* const transposed = reinterpret_cast<uint8_t*>(scratch.blocks);
  const int64_t depth = depthOfDot(w.out, head ? kHeadDepth : kDepth);
  const int64_t passes = ceilDiv(rows.size(), kBackwardPass);
  for (int64_t k0 = 0; k0 < w.out; k0 += depth) {
    const int64_t steps = std::min(depth, w.out - k0);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      uint8_t* to = transposed + (block - blocks.begin) * depth * kPanel;
      for (int64_t k = 0; k < steps; k += kPanel, to += kBlockBytes) {
        dot.transpose(w.dotRows((k0 + k) / kPanel, block * kPanel), to);
      }
    }
    // On the way: the blocks of the next depth, spread over the passes.
    const bool last = k0 + steps >= w.out;
    const int64_t nextPanel = last ? 0 : (k0 + steps) / kPanel;
    const int64_t nextPanels = std::min(w.panels() - nextPanel, depth / kPanel);
    const int64_t shift = last ? nextBlock - blocks.begin : 0;
    for (int64_t pass = 0; pass < passes; ++pass) {
      const Range own = part(rows.size(), passes, pass, kDotGroup);
      const Range at{rows.begin + own.begin, rows.begin + own.end};
      if (scratch.pool.cancelled()) return;
      for (int64_t b = blocks.begin; b < blocks.end; ++b) {
        const Range columns{b * kPanel, std::min(w.in, (b + 1) * kPanel)};
        DotBlock block{};
        block.rows = at.size(), block.columns = columns.size(), block.k = paddedSteps(steps);
        dy.fill(block, at.begin, k0);
        block.b = transposed + (b - blocks.begin) * depth * kPanel;
        block.c = dx.data + at.begin * dx.ld + columns.begin;
        block.ldc = dx.ld;
        block.add = accumulate || k0 > 0;
        if ((b + shift + 1) * kPanel <= w.in) {
          const Range share = part(nextPanels, passes, pass);
          block.ahead[0] = w.stored(nextPanel + share.begin, (b + shift) * kPanel, kPanel, share.size());
        }
        dot.block(block);
        if (!last) continue;
        if (dy.largest != nullptr) addLargest(w, dy, at, columns, dx);
        addKept(w, dy, at, columns, dx);
        adapters.add(at, columns, dx, scratch);
      }
    }
  }
}

}  // namespace mlit
