// Shares out over a product's tiles what is to be prefetched meanwhile: part of a long run for each, or several short ones.
#pragma once

#include "backend/cpu/kernels/gemm.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {

inline constexpr int64_t kLine = 64;

// Every slot of a tile prefetches `lines` cache lines from `from` on, then goes `step` bytes on.
struct AheadOfTile {
  const char* from = nullptr;
  int64_t lines = 0;
  int64_t step = 0;
};

class Ahead {
 public:
  // slots: of one tile.
  Ahead(const GemmAhead* lists, int64_t tiles, int64_t slots) : lists_(lists), slots_(slots) {
    int64_t lines = 0;
    for (int i = 0; i < 2; ++i) lines += linesOf(lists[i]) * lists[i].count;
    const int64_t all = tiles * slots_;
    linesPerSlot_ = lines == 0 || all == 0 ? 0 : (lines + all - 1) / all;
    if (linesPerSlot_ > kMostLines) linesPerSlot_ = kMostLines;
  }
  AheadOfTile next() {
    if (linesPerSlot_ == 0) return {};
    while (list_ < 2 && run_ >= lists_[list_].count) {
      ++list_;
      run_ = 0;
      done_ = 0;
    }
    if (list_ == 2) return {};
    const GemmAhead& list = lists_[list_];
    AheadOfTile tile{static_cast<const char*>(list.from) + run_ * list.stride + done_, linesPerSlot_,
                     linesPerSlot_ * kLine};
    if (linesOf(list) <= kShortRun) {
      tile.lines = linesOf(list);
      tile.step = list.stride;
      run_ += slots_;
      return tile;
    }
    done_ += slots_ * linesPerSlot_ * kLine;
    if (done_ >= list.bytes) {
      ++run_;
      done_ = 0;
    }
    return tile;
  }

 private:
  static constexpr int64_t kMostLines = 16;
  static constexpr int64_t kShortRun = 4;  // lines
  static int64_t linesOf(const GemmAhead& list) { return (list.bytes + kLine - 1) / kLine; }

  const GemmAhead* lists_;
  int64_t slots_;
  int64_t linesPerSlot_ = 0;
  int list_ = 0;
  int64_t run_ = 0;
  int64_t done_ = 0;
};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
