// One pass over the rows before a product of integers, not one in each of its tasks: tasks of other columns take the same rows.
#include "backend/cpu/rounded_rows.h"

#include <algorithm>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/products.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {
namespace {

constexpr int64_t kElementsPerTask = 16 * 1024;
constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// From lines of a row to a distance between rows, in bytes: an odd number of lines, so that the same columns of neighbouring rows do
// not all fall into the same few sets of a cache, as they do a power of two apart.
int64_t spread(int64_t lines) { return (lines | 1) * kPanel; }

// Where the parts of so many rows lie.
struct Layout {
  int64_t ld, blocks;
  size_t scales, starts, largest, kept, offsets, bytes;
  // Rows behind the last are read, up to a whole group, by kernels that take them so.
  Layout(int64_t rows, int64_t width) : ld(spread(ceilDiv(width, kPanel))), blocks(ceilDiv(width, kDotBlock)) {
    const auto count = static_cast<size_t>(rows * blocks), each = static_cast<size_t>(rows);
    scales = aligned(static_cast<size_t>(ceilDiv(rows, kDotGroup) * kDotGroup * ld));
    starts = scales + aligned(count * sizeof(float));
    largest = starts + aligned(count * sizeof(int32_t));
    kept = largest + aligned(each * sizeof(LargestElement));
    offsets = kept + aligned(each * static_cast<size_t>(kMostKept) * sizeof(float));
    bytes = offsets + aligned(each * sizeof(float));
  }
};

int64_t rowsPerTask(int64_t width) { return std::max<int64_t>(1, kElementsPerTask / width); }

}  // namespace

size_t roundedBytes(int64_t rows, int64_t width) { return rows > 0 ? Layout(rows, width).bytes : 0; }

RoundedRows roundedRowsAt(std::byte* memory, int64_t rows, int64_t width) {
  const Layout layout(rows, width);
  return {width,
          reinterpret_cast<int8_t*>(memory),
          layout.ld,
          layout.blocks,
          reinterpret_cast<float*>(memory + layout.scales),
          reinterpret_cast<int32_t*>(memory + layout.starts),
          reinterpret_cast<LargestElement*>(memory + layout.largest),
          reinterpret_cast<float*>(memory + layout.kept),
          reinterpret_cast<float*>(memory + layout.offsets)};
}

size_t CpuBackend::productBytes(int64_t rows, int64_t width) const { return integers_ ? roundedBytes(rows, width) : 0; }

RoundedRows CpuBackend::roundedRows(int64_t rows, int64_t width) {
  const size_t bytes = roundedBytes(rows, width);
  if (bytes > roundedBytes_) {
    rounded_.reset();
    roundedBytes_ = 0;
    rounded_.reset(static_cast<std::byte*>(allocatePages(bytes)));
    if (!rounded_) {
      throw Error(ErrorCode::kOutOfMemory,
                  "the system refused " + std::to_string(bytes) + " bytes for " + std::to_string(rows) +
                      " rounded rows of " + std::to_string(width),
                  {{"bytes", std::to_string(bytes)}});
    }
    roundedBytes_ = bytes;
  }
  return roundedRowsAt(rounded_.get(), rows, width);
}

RoundedRows CpuBackend::roundInputs(const CpuWeight& w, const float* x, int64_t ldx, int64_t rows) {
  RoundedRows to = roundedRows(rows, w.in);
  const KeptColumns& kept = w.kept;
  if (kept.columns.empty()) to.kept = nullptr;
  if (kept.mean.empty()) to.offsets = nullptr;
  to.largest = nullptr;  // of gradients alone
  const auto columns = static_cast<int64_t>(kept.columns.size());
  const int64_t each = rowsPerTask(w.in);
  pool_.run(ceilDiv(rows, each), [&](int64_t task, int) {
    for (int64_t r = task * each; r < std::min(rows, (task + 1) * each); ++r) {
      const float* const row = x + r * ldx;
      dot_.round({w.in, kDotBlock, row, kept.mask.empty() ? nullptr : kept.mask.data(), to.data + r * to.ld,
                  to.scales + r * to.blocks, to.starts + r * to.blocks, nullptr});
      for (int64_t c = 0; c < columns; ++c) to.kept[r * columns + c] = row[kept.columns[static_cast<size_t>(c)]];
      if (to.offsets != nullptr) to.offsets[r] = dot_.sum({w.in, row, kept.mean.data()});
    }
  });
  return to;
}

// dx's kept columns: dy times those of W, in float32.
void CpuBackend::keepColumns(const CpuWeight& w, const float* dy, int64_t lddy, int64_t rows, float* to,
                             const Scratch& scratch) const {
  const auto columns = static_cast<int64_t>(w.kept.columns.size());
  if (columns == 0) return;
  const int64_t depth = depthOf(w.out);
  for (int64_t k0 = 0; k0 < w.out; k0 += depth) {
    if (scratch.pool.cancelled()) return;
    GemmBlock block{};
    block.rows = rows, block.columns = columns, block.k = std::min(depth, w.out - k0);
    block.a = dy + k0, block.aRow = lddy, block.aK = 1;
    block.b = w.kept.rows + k0 * columns, block.ldb = columns;
    block.c = to, block.ldc = columns;
    block.add = k0 > 0;
    kernels_.gemm->block(block, scratch.tail);
  }
}

RoundedRows CpuBackend::roundGradients(const CpuWeight& w, const float* dy, int64_t lddy, int64_t rows) {
  RoundedRows to = roundedRows(rows, w.out);
  if (w.out < kExactLargestWidth) to.largest = nullptr;
  const KeptColumns& kept = w.kept;
  if (kept.columns.empty()) to.kept = nullptr;
  if (kept.mean.empty()) to.offsets = nullptr;
  const auto columns = static_cast<int64_t>(kept.columns.size());
  const int64_t each = std::max(kGemmRows, rowsPerTask(w.out));
  pool_.run(ceilDiv(rows, each), [&](int64_t task, int thread) {
    const int64_t begin = task * each, end = std::min(rows, begin + each);
    for (int64_t r = begin; r < end; ++r) {
      const float* const row = dy + r * lddy;
      dot_.round({w.out, kDotBlock, row, w.scales, to.data + r * to.ld, to.scales + r * to.blocks,
                  to.starts + r * to.blocks, to.largest == nullptr ? nullptr : to.largest + r});
      if (to.offsets != nullptr) to.offsets[r] = dot_.sum({w.out, row, nullptr});
    }
    keepColumns(w, dy + begin * lddy, lddy, end - begin, to.kept + begin * columns, Scratch(pool_, scratch(thread)));
  });
  return to;
}

}  // namespace mlit
