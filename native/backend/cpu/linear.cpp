// y = x·Wᵀ with its adapters, both directions. The work is cut into tasks by rows and columns of the output only, never
// along K, so that neither the number of rows nor the number of threads can change a bit; what an adapter adds to a
// tile is added while the tile is still in the cache.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/products.h"
#include "backend/cpu/weights.h"

namespace mlit {
namespace {

constexpr int64_t kBackwardDepth = 512;  // fewer than forward: transposed blocks and the ones to come share L2
constexpr int64_t kForwardRows = 132;    // rows of x that stay in L2 beside a panel
constexpr int64_t kBackwardRows = 1056;  // rows that share one transposed block of W,
constexpr int64_t kBackwardPass = 96;    // and those of them that stay in L2 beside it
constexpr int64_t kProjectRows = 264;    // rows that share one transposed block of A
constexpr int64_t kSumTiles = 4;         // 64-column tiles of a weight gradient in one task
constexpr int64_t kMaxPanelsPerTask = 16;
constexpr int64_t kNarrowRows = 8 * kGemmRows;  // up to here products widen a bfloat16 panel themselves
constexpr double kTransposeRows = 5;            // what transposing a block costs, in rows of multiplying by it
constexpr int64_t kSmallWork = 400'000;         // multiply-adds below which waking a thread does not pay

Range rowsOf(const LoraGroup& group) { return {group.rowBegin, group.rowEnd}; }

int64_t maxRank(std::span<const LoraGroup> groups) {
  int64_t rank = 0;
  for (const LoraGroup& group : groups) rank = std::max<int64_t>(rank, group.rankTotal);
  return rank;
}

// Rows of one group that one task projects.
struct GroupRows {
  const LoraGroup* group;
  Range rows;
};

std::vector<GroupRows> groupChunks(std::span<const LoraGroup> groups) {
  std::vector<GroupRows> chunks;
  for (const LoraGroup& group : groups) {
    const int64_t rows = rowsOf(group).size();
    if (rows <= 0 || group.rankTotal <= 0) continue;
    const int64_t parts = ceilDiv(rows, kProjectRows);
    for (int64_t i = 0; i < parts; ++i) {
      const Range r = part(rows, parts, i, kGemmRows);
      chunks.push_back({&group, {group.rowBegin + r.begin, group.rowBegin + r.end}});
    }
  }
  return chunks;
}

// How dx is cut: the cheapest of a few cuts under a simple count of rows multiplied and blocks transposed.
struct Cut {
  int64_t rowParts = 1;
  int64_t columnParts = 1;
};

Cut backwardCut(int64_t rows, int64_t columnBlocks, int64_t threads) {
  Cut best;
  double bestCost = 0;
  const int64_t minRowParts = ceilDiv(rows, kBackwardRows);
  for (int64_t rowParts = minRowParts;
       rowParts <= std::max<int64_t>(minRowParts, std::min<int64_t>(ceilDiv(rows, 128), 4 * threads)); ++rowParts) {
    for (int64_t columnParts = ceilDiv(columnBlocks, kMaxTransposed); columnParts <= columnBlocks; ++columnParts) {
      const double blocks = static_cast<double>(ceilDiv(columnBlocks, columnParts));
      const double taskRows = static_cast<double>(ceilDiv(rows, rowParts));
      // Every column block more of a task saves a walk over dy.
      const double task = blocks * (taskRows + kTransposeRows) + 0.03 * taskRows;
      const double cost = task * static_cast<double>(ceilDiv(rowParts * columnParts, threads));
      if (bestCost == 0 || cost < bestCost) {
        bestCost = cost;
        best = {rowParts, columnParts};
      }
    }
  }
  return best;
}

struct Matrix {
  float* data;
  int64_t ld;
};
struct ConstMatrix {
  const float* data;
  int64_t ld;
};

// x·Aᵀ of one group's rows, into p of the whole call; under dropout each segment by itself.
void projectGroup(const KernelTable& kernels, const LoraGroup& group, ConstMatrix x, Range own, int64_t in, Matrix p,
                  const Scratch& scratch) {
  const float* from = x.data + own.begin * x.ld;
  float* to = p.data + own.begin * p.ld;
  if (group.dropout.probability <= 0) {
    project(*kernels.gemm, from, x.ld, own.size(), in, group.a.raw(), group.rankTotal, group.scale, to, p.ld, scratch);
    return;
  }
  for (const LoraSegment& segment : group.segments) {
    const RowMask mask(kernels, group, segment);
    project(*kernels.gemm, from, x.ld, own.size(), in, group.a.raw() + segment.rankBegin * in, segment.rank,
            group.scale, to + segment.rankBegin, p.ld, scratch, {&mask, own.begin, 0});
  }
}

// y's rows x panels: the base, then each adapter's share. nextPanel: where this thread will probably go on.
void forwardTask(const GemmKernels& gemm, const CpuWeight& w, ConstMatrix x, Matrix y, Range rows, Range panels,
                 int64_t nextPanel, std::span<const LoraGroup> groups, ConstMatrix p, const Scratch& scratch) {
  const int64_t depth = depthOf(w.in);
  for (int64_t k0 = 0; k0 < w.in; k0 += depth) {
    const int64_t steps = std::min(depth, w.in - k0);
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      if (scratch.pool.cancelled()) return;
      const Range columns{panel * kPanel, std::min(w.out, (panel + 1) * kPanel)};
      const uint16_t* narrow = rows.size() <= kNarrowRows ? w.narrowRows(panel, k0) : nullptr;
      const float* b = narrow == nullptr ? w.panelRows(gemm, panel, k0, steps, scratch.decoded) : nullptr;
      GemmAhead ahead;
      if (panel + 1 < panels.end) {
        ahead = w.stored(panel + 1, k0, steps);
      } else if (k0 + steps < w.in) {
        ahead = w.stored(panels.begin, k0 + steps, std::min(depth, w.in - k0 - steps));
      } else if (nextPanel < w.panels()) {
        ahead = w.stored(nextPanel, 0, std::min(depth, w.in));
      }
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
                  {ahead},
                  narrow},
                 scratch.tail);
      if (k0 + steps < w.in) continue;
      for (const LoraGroup& group : groups) {
        const Range own = intersect(rows, rowsOf(group));
        if (own.empty()) continue;
        for (const LoraSegment& segment : group.segments) {
          const Range part = intersect(columns, {segment.outBegin, segment.outEnd});
          if (part.empty() || segment.rank <= 0) continue;
          expand(gemm, p.data + own.begin * p.ld + segment.rankBegin, p.ld, own.size(), segment.rank,
                 segment.bT.raw() + part.begin - segment.outBegin, segment.outEnd - segment.outBegin, part.size(),
                 y.data + own.begin * y.ld + part.begin, y.ld, scratch);
        }
      }
    }
  }
}

// An adapter's share of columns [first, first + columns) of dx under dropout: masked segment by segment.
void expandDropped(const KernelTable& kernels, const LoraGroup& group, int64_t in, ConstMatrix u, Range rows,
                   int64_t first, int64_t columns, Matrix to, const Scratch& scratch) {
  static_assert(kBackwardPass * kPanel <= kDroppedFloats);
  for (const LoraSegment& segment : group.segments) {
    if (segment.rank <= 0) continue;
    std::fill_n(scratch.dropped, rows.size() * kPanel, 0.0f);
    expand(*kernels.gemm, u.data + rows.begin * u.ld + segment.rankBegin, u.ld, rows.size(), segment.rank,
           group.a.raw() + segment.rankBegin * in + first, in, columns, scratch.dropped, kPanel, scratch);
    const RowMask mask(kernels, group, segment);
    mask.apply(scratch.dropped, kPanel, rows.begin, rows.size(), first, columns, to.data, to.ld, true);
  }
}

// dx's rows x blocks of 64 columns: each 64 x 64 block of W is transposed once and used by all rows of the task.
// nextBlock: where this thread will probably go on.
void backwardTask(const KernelTable& kernels, const CpuWeight& w, ConstMatrix dy, Matrix dx, Range rows, Range blocks,
                  int64_t nextBlock, bool accumulate, std::span<const LoraGroup> groups, ConstMatrix u,
                  const Scratch& scratch) {
  const GemmKernels& gemm = *kernels.gemm;
  const int64_t depth = depthOf(w.out, kBackwardDepth);
  const int64_t passes = ceilDiv(rows.size(), kBackwardPass);
  for (int64_t k0 = 0; k0 < w.out; k0 += depth) {
    const int64_t steps = std::min(depth, w.out - k0);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      float* to = scratch.blocks + (block - blocks.begin) * kBlockFloats;
      const int64_t inputs = std::min(kPanel, w.in - block * kPanel);
      for (int64_t k = 0; k < steps; k += kPanel) {
        const float* from = w.panelRows(gemm, (k0 + k) / kPanel, block * kPanel, inputs, scratch.decoded);
        gemm.transpose(from, kPanel, inputs, std::min(kPanel, steps - k), to + k * kPanel, kPanel);
      }
    }
    // On the way: the blocks of the next depth, spread over the passes, and the rows of the next pass.
    const bool last = k0 + steps >= w.out;
    const int64_t nextPanel = last ? 0 : (k0 + steps) / kPanel;
    const int64_t nextPanels = std::min(w.panels() - nextPanel, depth / kPanel);
    const int64_t shift = last ? nextBlock - blocks.begin : 0;
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
                    accumulate || k0 > 0,
                    {weights, inputRows}},
                   scratch.tail);
        if (!last) continue;
        for (const LoraGroup& group : groups) {
          const Range both = intersect({row, row + own.size()}, rowsOf(group));
          if (both.empty() || group.rankTotal <= 0) continue;
          float* to = dx.data + both.begin * dx.ld + block * kPanel;
          if (group.dropout.probability > 0) {
            expandDropped(kernels, group, w.in, u, both, block * kPanel, inputs, {to, dx.ld}, scratch);
            continue;
          }
          expand(gemm, u.data + both.begin * u.ld, u.ld, both.size(), group.rankTotal, group.a.raw() + block * kPanel,
                 w.in, inputs, to, dx.ld, scratch);
        }
      }
    }
  }
}

// One weight gradient's columns: gradient[rank, columns] += left[rows, rank]ᵀ · right[rows, columns].
struct GradientTask {
  Range rows;
  const float* left;
  int64_t rank;
  ConstMatrix right;
  int64_t columns;
  float* gradient;
  int64_t ldGradient;
  int64_t firstColumn;
  std::optional<RowMask> mask;
};

void addGradientTasks(std::vector<GradientTask>& tasks, Range rows, const float* left, int64_t rank, ConstMatrix right,
                      int64_t columns, float* gradient, const std::optional<RowMask>& mask = std::nullopt) {
  if (gradient == nullptr || rows.empty() || rank <= 0) return;
  const int64_t parts = ceilDiv(columns, kSumTiles * kPanel);
  for (int64_t i = 0; i < parts; ++i) {
    const Range own = part(columns, parts, i, kPanel);
    tasks.push_back({rows,
                     left,
                     rank,
                     {right.data + own.begin, right.ld},
                     own.size(),
                     gradient + own.begin,
                     columns,
                     own.begin,
                     mask});
  }
}

// An adapter whose rows lie apart has a task for each range of them, all adding to the same gradient: those follow each
// other within one run, or threads would lose each other's sums. The result: where each run begins, then the end.
std::vector<size_t> joinGradientTasks(std::vector<GradientTask>& tasks) {
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const GradientTask& a, const GradientTask& b) { return std::less<>()(a.gradient, b.gradient); });
  std::vector<size_t> begins;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (i == 0 || tasks[i].gradient != tasks[i - 1].gradient) begins.push_back(i);
  }
  begins.push_back(tasks.size());
  return begins;
}

}  // namespace

void CpuBackend::linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                               std::span<const LoraGroup> groups, DevReal p) {
  if (rows <= 0) return;
  const CpuWeight& w = weightAt(weight);
  const GemmKernels& gemm = *kernels_.gemm;
  const int64_t ldp = maxRank(groups);

  const std::vector<GroupRows> chunks = groupChunks(groups);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t task, int thread) {
    const auto& [group, own] = chunks[static_cast<size_t>(task)];
    projectGroup(kernels_, *group, {x.floats(), ldx}, own, w.in, {p.floats(), ldp}, Scratch(pool_, scratch(thread)));
  });

  const int64_t rowParts = ceilDiv(rows, kForwardRows);
  const int64_t panels = w.panels();
  int64_t columnParts = ceilDiv(panels, kMaxPanelsPerTask);
  if (rows * w.out * w.in > kSmallWork) {
    columnParts = std::max(columnParts, std::min(panels, ceilDiv(4 * pool_.threads(), rowParts)));
  }
  // Row parts run fastest, so that threads meet at the same panels.
  pool_.run(rowParts * columnParts, [&](int64_t task, int thread) {
    const int64_t nextTask = task + pool_.threads();
    forwardTask(gemm, w, {x.floats(), ldx}, {y.floats(), ldy}, part(rows, rowParts, task % rowParts, kGemmRows),
                part(panels, columnParts, task / rowParts), part(panels, columnParts, nextTask / rowParts).begin,
                groups, {p.floats(), ldp}, Scratch(pool_, scratch(thread)));
  });
}

void CpuBackend::linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy,
                                int64_t lddy, DevReal dx, int64_t lddx, bool accumulate,
                                std::span<const LoraGroup> groups, DevReal p, DevReal u) {
  if (rows <= 0) return;
  const CpuWeight& w = weightAt(weight);
  const GemmKernels& gemm = *kernels_.gemm;
  const int64_t ldp = maxRank(groups);

  const std::vector<GroupRows> chunks = groupChunks(groups);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t task, int thread) {
    const auto& [group, own] = chunks[static_cast<size_t>(task)];
    const Scratch memory(pool_, scratch(thread));
    const bool needP =
        std::any_of(group->segments.begin(), group->segments.end(), [](const LoraSegment& s) { return bool(s.dbT); });
    if (needP) projectGroup(kernels_, *group, {x.floats(), ldx}, own, w.in, {p.floats(), ldp}, memory);
    if (!dx && !group->dA) return;
    for (const LoraSegment& segment : group->segments) {
      project(gemm, dy.floats() + own.begin * lddy + segment.outBegin, lddy, own.size(),
              segment.outEnd - segment.outBegin, segment.bT.raw(), segment.rank, group->scale,
              u.floats() + own.begin * ldp + segment.rankBegin, ldp, memory);
    }
  });

  std::vector<GradientTask> gradients;
  for (const LoraGroup& group : groups) {
    for (const LoraSegment& segment : group.segments) {
      addGradientTasks(gradients, rowsOf(group), p.floats() + group.rowBegin * ldp + segment.rankBegin, segment.rank,
                       {dy.floats() + group.rowBegin * lddy + segment.outBegin, lddy},
                       segment.outEnd - segment.outBegin, segment.dbT.raw());
    }
    const ConstMatrix right{x.floats() + group.rowBegin * ldx, ldx};
    const float* left = u.floats() + group.rowBegin * ldp;
    if (group.dropout.probability <= 0) {
      addGradientTasks(gradients, rowsOf(group), left, group.rankTotal, right, w.in, group.dA.raw());
      continue;
    }
    for (const LoraSegment& segment : group.segments) {
      float* dA = group.dA ? group.dA.raw() + segment.rankBegin * w.in : nullptr;
      addGradientTasks(gradients, rowsOf(group), left + segment.rankBegin, segment.rank, right, w.in, dA,
                       RowMask(kernels_, group, segment));
    }
  }

  const std::vector<size_t> runs = joinGradientTasks(gradients);

  const int64_t columnBlocks = ceilDiv(w.in, kPanel);
  const bool small = rows * w.out * w.in <= kSmallWork;
  const Cut cut = !dx                                       ? Cut{0, 0}
                  : small && columnBlocks <= kMaxTransposed ? Cut{}
                                                            : backwardCut(rows, columnBlocks, pool_.threads());
  const int64_t baseTasks = cut.rowParts * cut.columnParts;
  pool_.run(baseTasks + static_cast<int64_t>(runs.size()) - 1, [&](int64_t task, int thread) {
    const Scratch memory(pool_, scratch(thread));
    if (task < baseTasks) {
      const int64_t nextTask = task + pool_.threads();
      backwardTask(kernels_, w, {dy.floats(), lddy}, {dx.floats(), lddx},
                   part(rows, cut.rowParts, task % cut.rowParts, kGemmRows),
                   part(columnBlocks, cut.columnParts, task / cut.rowParts),
                   part(columnBlocks, cut.columnParts, nextTask / cut.rowParts).begin, accumulate, groups,
                   {u.floats(), ldp}, memory);
      return;
    }
    const auto run = static_cast<size_t>(task - baseTasks);
    for (size_t i = runs[run]; i < runs[run + 1]; ++i) {
      const GradientTask& g = gradients[i];
      sumOverRows(gemm, g.left, ldp, g.rows.size(), g.rank, g.right.data, g.right.ld, g.columns, g.gradient,
                  g.ldGradient, memory, {g.mask ? &*g.mask : nullptr, g.rows.begin, g.firstColumn});
    }
  });
}

}  // namespace mlit
