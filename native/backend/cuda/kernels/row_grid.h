// The launch of a kernel whose threads stand side by side in a row: columns in x, rows in y, where more rows than blocks take
// turns. Narrow rows get small blocks, so that few threads are left without a column.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cuda/runtime.h"

namespace mlit::cuda {

inline constexpr int kRowThreads = 256;
inline constexpr int64_t kMostRowBlocks = 4096;

struct RowGrid {
  Dim3 grid, block;
};

// perThread: columns of one thread.
inline RowGrid rowGrid(int64_t rows, int64_t columns, int perThread) {
  const int64_t threads = (columns + perThread - 1) / perThread,
                block = std::min<int64_t>(kRowThreads, (threads + 31) / 32 * 32);
  return {{static_cast<unsigned>((threads + block - 1) / block), static_cast<unsigned>(std::min(rows, kMostRowBlocks))},
          {static_cast<unsigned>(block)}};
}

}  // namespace mlit::cuda
