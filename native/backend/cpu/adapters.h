// What adapters add to a product: shares of its output while a tile of it is in the cache, whatever arithmetic the base has,
// and gradients of their factors.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/cpu/products.h"

namespace mlit {

struct Matrix {
  float* data;
  int64_t ld;
};
struct ConstMatrix {
  const float* data;
  int64_t ld;
};

inline Range rowsOf(const LoraGroup& group) { return {group.rowBegin, group.rowEnd}; }

int64_t maxRank(std::span<const LoraGroup> groups);

// Rows of one group that one task projects.
struct GroupRows {
  const LoraGroup* group;
  Range rows;
};
std::vector<GroupRows> groupChunks(std::span<const LoraGroup> groups);

// x·Aᵀ of one group's rows, into p of the whole call; under dropout each segment by itself.
void projectGroup(const KernelTable& kernels, const LoraGroup& group, ConstMatrix x, Range own, int64_t in, Matrix p,
                  const Scratch& scratch);

// p·bT of every group into a tile of y.
struct ForwardAdapters {
  const GemmKernels& gemm;
  std::span<const LoraGroup> groups;
  ConstMatrix p;
  void add(Range rows, Range columns, Matrix y, const Scratch& scratch) const;
};

// u·A of every group into a tile of dx, of 64 columns at most; under dropout masked segment by segment, of kDroppedRows rows at
// most.
struct BackwardAdapters {
  const KernelTable& kernels;
  std::span<const LoraGroup> groups;
  int64_t in;
  ConstMatrix u;
  void add(Range rows, Range columns, Matrix dx, const Scratch& scratch) const;
};
inline constexpr int64_t kDroppedRows = kDroppedFloats / kPanel;

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

// All gradients of the groups' factors. x [rows, in], dy, p and u of the whole call.
std::vector<GradientTask> gradientTasks(const KernelTable& kernels, std::span<const LoraGroup> groups, ConstMatrix x,
                                        int64_t in, ConstMatrix dy, ConstMatrix p, ConstMatrix u);

// An adapter whose rows lie apart has a task for each range of them, all adding to the same gradient: those follow each
// other within one run, or threads would lose each other's sums. The result: where each run begins, then the end.
std::vector<size_t> joinGradientTasks(std::vector<GradientTask>& tasks);

}  // namespace mlit
