// Chunks of an adapter's rows are projected once for all tiles of the output; gradients are summed in the order of rows, a task
// for a few columns of one factor.
#include "backend/cpu/adapters.h"

#include <algorithm>
#include <functional>

namespace mlit {
namespace {

constexpr int64_t kProjectRows = 264;  // rows that share one transposed block of A
constexpr int64_t kSumTiles = 4;       // 64-column tiles of a weight gradient in one task

// An adapter's share of columns [first, first + columns) of dx under dropout: masked segment by segment.
void expandDropped(const KernelTable& kernels, const LoraGroup& group, int64_t in, ConstMatrix u, Range rows,
                   int64_t first, int64_t columns, Matrix to, const Scratch& scratch) {
  for (const LoraSegment& segment : group.segments) {
    if (segment.rank <= 0) continue;
    std::fill_n(scratch.dropped, rows.size() * kPanel, 0.0f);
    expand(*kernels.gemm, u.data + rows.begin * u.ld + segment.rankBegin, u.ld, rows.size(), segment.rank,
           group.a.raw() + segment.rankBegin * in + first, in, columns, scratch.dropped, kPanel, scratch);
    const RowMask mask(kernels, group, segment);
    mask.apply(scratch.dropped, kPanel, rows.begin, rows.size(), first, columns, to.data, to.ld, true);
  }
}

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

}  // namespace

int64_t maxRank(std::span<const LoraGroup> groups) {
  int64_t rank = 0;
  for (const LoraGroup& group : groups) rank = std::max<int64_t>(rank, group.rankTotal);
  return rank;
}

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

void ForwardAdapters::add(Range rows, Range columns, Matrix y, const Scratch& scratch) const {
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

void BackwardAdapters::add(Range rows, Range columns, Matrix dx, const Scratch& scratch) const {
  for (const LoraGroup& group : groups) {
    const Range both = intersect(rows, rowsOf(group));
    if (both.empty() || group.rankTotal <= 0) continue;
    float* to = dx.data + both.begin * dx.ld + columns.begin;
    if (group.dropout.probability > 0) {
      expandDropped(kernels, group, in, u, both, columns.begin, columns.size(), {to, dx.ld}, scratch);
      continue;
    }
    expand(*kernels.gemm, u.data + both.begin * u.ld, u.ld, both.size(), group.rankTotal, group.a.raw() + columns.begin,
           in, columns.size(), to, dx.ld, scratch);
  }
}

std::vector<GradientTask> gradientTasks(const KernelTable& kernels, std::span<const LoraGroup> groups, ConstMatrix x,
                                        int64_t in, ConstMatrix dy, ConstMatrix p, ConstMatrix u) {
  std::vector<GradientTask> gradients;
  for (const LoraGroup& group : groups) {
    for (const LoraSegment& segment : group.segments) {
      addGradientTasks(gradients, rowsOf(group), p.data + group.rowBegin * p.ld + segment.rankBegin, segment.rank,
                       {dy.data + group.rowBegin * dy.ld + segment.outBegin, dy.ld}, segment.outEnd - segment.outBegin,
                       segment.dbT.raw());
    }
    const ConstMatrix right{x.data + group.rowBegin * x.ld, x.ld};
    const float* left = u.data + group.rowBegin * u.ld;
    if (group.dropout.probability <= 0) {
      addGradientTasks(gradients, rowsOf(group), left, group.rankTotal, right, in, group.dA.raw());
      continue;
    }
    for (const LoraSegment& segment : group.segments) {
      float* dA = group.dA ? group.dA.raw() + segment.rankBegin * in : nullptr;
      addGradientTasks(gradients, rowsOf(group), left + segment.rankBegin, segment.rank, right, in, dA,
                       RowMask(kernels, group, segment));
    }
  }
  return gradients;
}

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

}  // namespace mlit
