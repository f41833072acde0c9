// y = x·Wᵀ with its adapters, both directions. The work is cut into tasks by rows and columns of the output only, never
// along K, so that neither the number of rows nor the number of threads can change a bit; what an adapter adds to a
// tile is added while the tile is still in the cache.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "backend/cpu/base_tasks.h"
#include "backend/cpu/cpu_backend.h"

namespace mlit {
namespace {

constexpr int64_t kMaxPanelsPerTask = 16;
constexpr double kTransposeRows = 5;     // what transposing a block costs, in rows of multiplying by it
constexpr int64_t kSmallWork = 400'000;  // multiply-adds below which waking a thread does not pay

// How dx is cut: the cheapest of a few cuts under a simple count of rows multiplied and blocks transposed.
struct Cut {
  int64_t rowParts = 1;
  int64_t columnParts = 1;
};

// most: column blocks of a task.
Cut backwardCut(int64_t rows, int64_t columnBlocks, int64_t most, int64_t threads) {
  Cut best;
  double bestCost = 0;
  const int64_t minRowParts = ceilDiv(rows, kBackwardRows);
  for (int64_t rowParts = minRowParts;
       rowParts <= std::max<int64_t>(minRowParts, std::min<int64_t>(ceilDiv(rows, 128), 4 * threads)); ++rowParts) {
    for (int64_t columnParts = ceilDiv(columnBlocks, most); columnParts <= columnBlocks; ++columnParts) {
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

}  // namespace

void CpuBackend::linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                               std::span<const LoraGroup> groups, DevReal p) {
  if (rows <= 0) return;
  CpuWeight& w = weightAt(weight);
  const int64_t ldp = maxRank(groups);

  const std::vector<GroupRows> chunks = groupChunks(groups);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t task, int thread) {
    const auto& [group, own] = chunks[static_cast<size_t>(task)];
    projectGroup(kernels_, *group, {x.floats(), ldx}, own, w.in, {p.floats(), ldp}, Scratch(pool_, scratch(thread)));
  });

  const bool integers = integers_ && w.format == WeightFormat::kI8Channel;
  const int64_t unit = integers ? kDotGroup : kGemmRows;
  const int64_t rowParts = ceilDiv(rows, kForwardRows / unit * unit);
  const int64_t panels = w.panels();
  int64_t columnParts = ceilDiv(panels, kMaxPanelsPerTask);
  if (rows * w.out * w.in > kSmallWork) {
    columnParts = std::max(columnParts, std::min(panels, ceilDiv(4 * pool_.threads(), rowParts)));
  }
  if (integers && watching_) noteColumns(w, x.floats(), ldx, rows);
  const RoundedRows rounded = integers ? roundInputs(w, x.floats(), ldx, rows) : RoundedRows{};
  const ForwardAdapters adapters{*kernels_.gemm, groups, {p.floats(), ldp}};
  // Row parts run fastest, so that threads meet at the same panels.
  pool_.run(rowParts * columnParts, [&](int64_t task, int thread) {
    const int64_t nextTask = task + pool_.threads();
    const ForwardTask own{part(rows, rowParts, task % rowParts, unit), part(panels, columnParts, task / rowParts),
                          part(panels, columnParts, nextTask / rowParts).begin};
    const Scratch memory(pool_, scratch(thread));
    if (integers) return forwardTask(dot_, w, rounded, {y.floats(), ldy}, own, adapters, memory);
    forwardTask(kernels_, w, {x.floats(), ldx}, {y.floats(), ldy}, own, adapters, memory);
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

  std::vector<GradientTask> gradients = gradientTasks(kernels_, groups, {x.floats(), ldx}, w.in, {dy.floats(), lddy},
                                                      {p.floats(), ldp}, {u.floats(), ldp});
  const std::vector<size_t> runs = joinGradientTasks(gradients);

  const int64_t columnBlocks = ceilDiv(w.in, kPanel);
  const bool small = rows * w.out * w.in <= kSmallWork;
  const bool integers = integers_ && w.format == WeightFormat::kI8Channel && dx;
  const Cut cut = !dx ? Cut{0, 0}
                  : small && columnBlocks <= kMaxTransposed
                      ? Cut{}
                      : backwardCut(rows, columnBlocks, kMaxTransposed, pool_.threads());
  const int64_t baseTasks = cut.rowParts * cut.columnParts;
  const RoundedRows rounded = integers ? roundGradients(w, dy.floats(), lddy, rows) : RoundedRows{};
  const BackwardAdapters adapters{kernels_, groups, w.in, {u.floats(), ldp}};
  pool_.run(baseTasks + static_cast<int64_t>(runs.size()) - 1, [&](int64_t task, int thread) {
    const Scratch memory(pool_, scratch(thread));
    if (task < baseTasks) {
      const int64_t nextTask = task + pool_.threads();
      const BackwardTask own{part(rows, cut.rowParts, task % cut.rowParts, integers ? kDotGroup : kGemmRows),
                             part(columnBlocks, cut.columnParts, task / cut.rowParts),
                             part(columnBlocks, cut.columnParts, nextTask / cut.rowParts).begin, accumulate};
      if (integers) return backwardTask(dot_, w, rounded, {dx.floats(), lddx}, own, adapters, memory);
      return backwardTask(kernels_, w, {dy.floats(), lddy}, {dx.floats(), lddx}, own, adapters, memory);
    }
    const auto run = static_cast<size_t>(task - baseTasks);
    for (size_t i = runs[run]; i < runs[run + 1]; ++i) {
      const GradientTask& g = gradients[i];
      sumOverRows(gemm, g.left, ldp, g.rows.size(), g.rank, g.right.data, g.right.ld, g.columns, g.gradient,
                  g.ldGradient, memory, {g.mask ? &*g.mask : nullptr, g.rows.begin, g.firstColumn});
    }
  });
}

void CpuBackend::multiplyBackward(const CpuWeight& w, const RoundedRows& dy, int64_t rows, float* dx, int64_t lddx) {
  const int64_t columnBlocks = ceilDiv(w.in, kPanel);
  const Cut cut = backwardCut(rows, columnBlocks, kMaxHeadTransposed, pool_.threads());
  const BackwardAdapters none{kernels_, {}, w.in, {nullptr, 0}};
  pool_.run(cut.rowParts * cut.columnParts, [&](int64_t task, int thread) {
    const int64_t nextTask = task + pool_.threads();
    const BackwardTask own{part(rows, cut.rowParts, task % cut.rowParts, kDotGroup),
                           part(columnBlocks, cut.columnParts, task / cut.rowParts),
                           part(columnBlocks, cut.columnParts, nextTask / cut.rowParts).begin, false, true};
    backwardTask(dot_, w, dy, {dx, lddx}, own, none, Scratch(pool_, scratch(thread)));
  });
}

}  // namespace mlit
