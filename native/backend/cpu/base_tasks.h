// The base's share of a product, one task of rows and columns, in either arithmetic; adapters add theirs to each tile when the base
// is done with it.
#pragma once

#include "backend/cpu/adapters.h"
#include "backend/cpu/rounded_rows.h"

namespace mlit {

inline constexpr int64_t kForwardRows = 132;    // rows of x that stay in L2 beside a panel
inline constexpr int64_t kBackwardRows = 1056;  // rows that share one transposed block of W,
inline constexpr int64_t kBackwardPass = 96;    // and those of them that stay in L2 beside it
static_assert(kBackwardPass <= kDroppedRows);
// Where K is a vocabulary: less of it at once, for more column blocks, so that the rows, which no cache holds, are read less often.
inline constexpr int64_t kMaxHeadTransposed = 5;
inline constexpr int64_t kHeadDepth = 1024;

// y's rows x panels. nextPanel: where this thread will probably go on.
struct ForwardTask {
  Range rows, panels;
  int64_t nextPanel;

  // What will be read after steps [k0, k0 + depth) of a panel.
  GemmAhead ahead(const CpuWeight& w, int64_t panel, int64_t k0, int64_t depth) const {
    if (panel + 1 < panels.end) return w.stored(panel + 1, k0, std::min(depth, w.in - k0));
    if (k0 + depth < w.in) return w.stored(panels.begin, k0 + depth, std::min(depth, w.in - k0 - depth));
    return nextPanel < w.panels() ? w.stored(nextPanel, 0, std::min(depth, w.in)) : GemmAhead{};
  }
};
void forwardTask(const KernelTable& kernels, const CpuWeight& w, ConstMatrix x, Matrix y, const ForwardTask& task,
                 const ForwardAdapters& adapters, const Scratch& scratch);
void forwardTask(const DotKernels& dot, const CpuWeight& w, const RoundedRows& x, Matrix y, const ForwardTask& task,
                 const ForwardAdapters& adapters, const Scratch& scratch);

// dx's rows x blocks of 64 columns: each 64 x 64 block of W is transposed once and used by all rows of the task.
// nextBlock: where this thread will probably go on.
struct BackwardTask {
  Range rows, blocks;
  int64_t nextBlock;
  bool accumulate;
  bool head = false;  // of kMaxHeadTransposed blocks
};
void backwardTask(const KernelTable& kernels, const CpuWeight& w, ConstMatrix dy, Matrix dx, const BackwardTask& task,
                  const BackwardAdapters& adapters, const Scratch& scratch);
// dy: rounded with the weight's scales as factors.
void backwardTask(const DotKernels& dot, const CpuWeight& w, const RoundedRows& dy, Matrix dx, const BackwardTask& task,
                  const BackwardAdapters& adapters, const Scratch& scratch);

}  // namespace mlit
