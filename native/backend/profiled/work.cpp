#include "backend/profiled/work.h"

#include <algorithm>

namespace mlit {

namespace {

double product(int64_t rows, int64_t out, int64_t in) {
  return 2 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in);
}

void addBase(Work& work, const WeightShape& weight, int64_t rows) {
  work.bytes += weight.bytes;
  (weight.integers ? work.integerFlops : work.flops) += product(rows, weight.out, weight.in);
}

// run(rows, group) for each that has any.
template <class Run>
void eachGroup(std::span<const LoraGroup> groups, Run run) {
  for (const LoraGroup& group : groups) {
    const int64_t n = group.rowEnd - group.rowBegin;
    if (n > 0 && group.rankTotal > 0) run(n, group);
  }
}

}  // namespace

Work& Work::operator+=(const Work& other) {
  bytes += other.bytes;
  flops += other.flops;
  integerFlops += other.integerFlops;
  rows += other.rows;
  return *this;
}

Work forwardWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal y,
                 std::span<const LoraGroup> groups) {
  Work work{bytesOf(x, rows, weight.in) + bytesOf(y, rows, weight.out), 0, 0, rows};
  addBase(work, weight, rows);
  eachGroup(groups, [&](int64_t n, const LoraGroup& group) {
    work.bytes += floatBytes(group.rankTotal, weight.in);
    work.flops += product(n, group.rankTotal, weight.in);
    for (const LoraSegment& segment : group.segments) {
      const int64_t width = segment.outEnd - segment.outBegin;
      work.bytes += floatBytes(segment.rank, width);
      work.flops += product(n, segment.rank, width);
    }
  });
  return work;
}

Work backwardWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal dy, DevConstReal dx,
                  bool accumulate, std::span<const LoraGroup> groups) {
  Work work{bytesOf(dy, rows, weight.out) + (accumulate ? 2 : 1) * bytesOf(dx, rows, weight.in), 0, 0, rows};
  if (dx) addBase(work, weight, rows);
  bool readsX = false;
  eachGroup(groups, [&](int64_t n, const LoraGroup& group) {
    const double a = product(n, group.rankTotal, weight.in);
    bool needsP = false;
    for (const LoraSegment& segment : group.segments) {
      const int64_t width = segment.outEnd - segment.outBegin;
      const double b = product(n, segment.rank, width);
      needsP = needsP || segment.dbT;
      work.bytes += (segment.dbT ? 3 : 1) * floatBytes(segment.rank, width);
      work.flops += (dx || group.dA ? b : 0) + (segment.dbT ? b : 0);
    }
    work.bytes += (group.dA ? 3 : 1) * floatBytes(group.rankTotal, weight.in);
    work.flops += (dx ? a : 0) + (group.dA ? a : 0) + (needsP ? a : 0);
    readsX = readsX || needsP || group.dA;
  });
  if (readsX) work.bytes += bytesOf(x, rows, weight.in);
  return work;
}

Work headLossWork(const WeightShape& weight, DevConstReal x, int64_t rows, DevConstReal dx) {
  Work work{bytesOf(x, rows, weight.in) + bytesOf(dx, rows, weight.in), 0, 0, rows};
  addBase(work, weight, rows);
  if (dx) {
    addBase(work, weight, rows);
    work.bytes += 2 * static_cast<double>(rows) * static_cast<double>(weight.out);  // the gradient, in bytes
  }
  return work;
}

Work attentionWork(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, int products) {
  double pairs = 0;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const double length = cuSeqlens[i] - cuSeqlens[i - 1];
    const double unseen = shape.window > 0 ? std::max(0.0, length - shape.window) : 0;
    pairs += length * (length + 1) / 2 - unseen * (unseen + 1) / 2;
  }
  const int64_t rows = cuSeqlens.empty() ? 0 : cuSeqlens.back();
  // Forward q, k, v and what comes of them; backward these, their gradients and that of the output.
  const int64_t queries = int64_t{shape.heads} * shape.headDim, keys = int64_t{shape.kvHeads} * shape.headDim;
  const double bytes = products == 2 ? floatBytes(rows, 2 * (queries + keys)) : floatBytes(rows, 4 * (queries + keys));
  return {bytes, 2 * products * pairs * static_cast<double>(queries), 0, rows};
}

}  // namespace mlit
