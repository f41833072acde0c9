// The three thin products of an adapter, for one thread: into the rank, out of it, and summed over rows. They sit beside
// linear.cpp because their blocks are measured against the same scratch and the same caches.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropped.h"
#include "backend/cpu/kernels/gemm.h"
#include "backend/cpu/weights.h"

namespace mlit {

inline constexpr int64_t kForwardDepth = 640;  // steps along K between two visits to the output
inline constexpr int64_t kProjectPass = 48;    // rows of x that are fetched while as many are multiplied
inline constexpr int64_t kSumRows = 256;       // rows summed in registers by the weight gradients
inline constexpr int64_t kMaxTransposed = 2;   // column blocks of dx in one task

// A thread's scratch, in floats.
inline constexpr int64_t kTailFloats = 16 * 1024;
inline constexpr int64_t kBlockFloats = kForwardDepth * kPanel;
static_assert(gemmScratchFloats(kForwardDepth) <= kTailFloats);
inline constexpr int64_t kDroppedFloats = kProjectPass * kForwardDepth;
static_assert(kSumRows * kPanel <= kDroppedFloats);
static_assert((kTailFloats + (kMaxTransposed + 1) * kBlockFloats + kDroppedFloats) * sizeof(float) <=
              CpuBackend::kThreadScratchBytes);

// What a task has of its thread, and whom it asks, every few million multiply-adds, whether to go on.
struct Scratch {
  const ThreadPool& pool;
  float* tail;
  float* decoded;
  float* blocks;
  float* dropped;
  Scratch(const ThreadPool& owner, float* memory)
      : pool(owner),
        tail(memory),
        decoded(memory + kTailFloats),
        blocks(memory + kTailFloats + kBlockFloats),
        dropped(blocks + kMaxTransposed * kBlockFloats) {}
};

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool empty() const { return end <= begin; }
};

inline Range intersect(Range a, Range b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Part `index` of [0, total) in `parts` nearly equal parts whose borders are multiples of `unit`.
inline Range part(int64_t total, int64_t parts, int64_t index, int64_t unit = 1) {
  const int64_t units = ceilDiv(total, unit);
  return {std::min(total, units * index / parts * unit), std::min(total, units * (index + 1) / parts * unit)};
}

// The depth of a block along K: a function of K alone, or rows would depend on each other.
inline int64_t depthOf(int64_t k, int64_t most = kForwardDepth) {
  return ceilDiv(ceilDiv(k, ceilDiv(k, most)), kPanel) * kPanel;
}

// Rows of floats [count][columns] to be prefetched.
inline GemmAhead aheadRows(const float* from, int64_t ld, int64_t count, int64_t columns) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(float));
  return {from, columns * kBytes, ld * kBytes, count};
}

// out[rows, rank] = factor * x[rows, k] · aᵀ, a [rank, k].
inline void project(const GemmKernels& gemm, const float* x, int64_t ldx, int64_t rows, int64_t k, const float* a,
                    int64_t rank, float factor, float* out, int64_t ldo, const Scratch& scratch,
                    const Masked& masked = {}) {
  const int64_t depth = depthOf(k);
  for (int64_t k0 = 0; k0 < k; k0 += depth) {
    const int64_t steps = std::min(depth, k - k0);
    for (int64_t r = 0; r < rank; r += kPanel) {
      const int64_t columns = std::min(kPanel, rank - r);
      const int64_t width = ceilDiv(columns, 16) * 16;
      gemm.transpose(a + r * k + k0, k, columns, steps, scratch.blocks, width);
      for (int64_t row = 0; row < rows; row += kProjectPass) {
        if (scratch.pool.cancelled()) return;
        const int64_t count = std::min(kProjectPass, rows - row);
        const float* from = x + row * ldx + k0;
        const GemmAhead next = aheadRows(from + count * ldx, ldx, std::min(kProjectPass, rows - row - count), steps);
        int64_t ld = ldx;
        if (masked.mask != nullptr) {
          masked.mask->apply(from, ldx, masked.row + row, count, k0, steps, scratch.dropped, steps, false);
          from = scratch.dropped, ld = steps;
        }
        gemm.block(
            {count, columns, steps, from, ld, 1, scratch.blocks, width, true, out + row * ldo + r, ldo, k0 > 0, {next}},
            scratch.tail);
      }
    }
  }
  gemm.scaleRows(out, ldo, rows, rank, factor);
}

// c[rows, columns] += left[rows, rank] · right[rank, columns].
inline void expand(const GemmKernels& gemm, const float* left, int64_t ldLeft, int64_t rows, int64_t rank,
                   const float* right, int64_t ldRight, int64_t columns, float* c, int64_t ldc,
                   const Scratch& scratch) {
  const int64_t depth = depthOf(rank);
  for (int64_t k0 = 0; k0 < rank; k0 += depth) {
    const int64_t steps = std::min(depth, rank - k0);
    for (int64_t j = 0; j < columns; j += kPanel) {
      if (scratch.pool.cancelled()) return;
      gemm.block({rows,
                  std::min(kPanel, columns - j),
                  steps,
                  left + k0,
                  ldLeft,
                  1,
                  right + k0 * ldRight + j,
                  ldRight,
                  false,
                  c + j,
                  ldc,
                  true,
                  {}},
                 scratch.tail);
    }
  }
}

// sum[rank, columns] += left[rows, rank]ᵀ · right[rows, columns], rows in order.
inline void sumOverRows(const GemmKernels& gemm, const float* left, int64_t ldLeft, int64_t rows, int64_t rank,
                        const float* right, int64_t ldRight, int64_t columns, float* sum, int64_t ldSum,
                        const Scratch& scratch, const Masked& masked = {}) {
  for (int64_t row = 0; row < rows; row += kSumRows) {
    const int64_t steps = std::min(kSumRows, rows - row);
    for (int64_t j = 0; j < columns; j += kPanel) {
      if (scratch.pool.cancelled()) return;
      const float* from = right + row * ldRight + j;
      const GemmAhead next = j + kPanel < columns
                                 ? aheadRows(from + kPanel, ldRight, steps, std::min(kPanel, columns - j - kPanel))
                                 : aheadRows(right + (row + steps) * ldRight, ldRight,
                                             std::min(kSumRows, rows - row - steps), std::min(kPanel, columns));
      int64_t ld = ldRight;
      if (masked.mask != nullptr) {
        masked.mask->apply(from, ldRight, masked.row + row, steps, masked.first + j, std::min(kPanel, columns - j),
                           scratch.dropped, kPanel, false);
        from = scratch.dropped, ld = kPanel;
      }
      gemm.block({rank,
                  std::min(kPanel, columns - j),
                  steps,
                  left + row * ldLeft,
                  1,
                  ldLeft,
                  from,
                  ld,
                  false,
                  sum + j,
                  ldSum,
                  true,
                  {next}},
                 scratch.tail);
    }
  }
}

}  // namespace mlit
