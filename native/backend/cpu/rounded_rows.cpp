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

// Where the parts of so many rows lie.
struct Layout {
  int64_t ld, blocks;
  size_t scales, starts, largest, bytes;
  Layout(int64_t rows, int64_t width) : ld(ceilDiv(width, kPanel) * kPanel), blocks(ceilDiv(width, kDotBlock)) {
    const auto count = static_cast<size_t>(rows * blocks);
    scales = aligned(static_cast<size_t>(rows * ld));
    starts = scales + aligned(count * sizeof(float));
    largest = starts + aligned(count * sizeof(int32_t));
    bytes = largest + (width >= kExactLargestWidth ? aligned(static_cast<size_t>(rows) * sizeof(LargestElement)) : 0);
  }
};

}  // namespace

size_t CpuBackend::productBytes(int64_t rows, int64_t width) const { return integers_ ? Layout(rows, width).bytes : 0; }

RoundedRows CpuBackend::roundRows(const float* x, int64_t ldx, int64_t rows, int64_t width, const float* factors) {
  const Layout layout(rows, width);
  if (layout.bytes > roundedBytes_) {
    rounded_.reset();
    roundedBytes_ = 0;
    rounded_.reset(static_cast<std::byte*>(allocatePages(layout.bytes)));
    if (!rounded_) {
      throw Error(ErrorCode::kOutOfMemory,
                  "the system refused " + std::to_string(layout.bytes) + " bytes for " + std::to_string(rows) +
                      " rounded rows of " + std::to_string(width),
                  {{"bytes", std::to_string(layout.bytes)}});
    }
    roundedBytes_ = layout.bytes;
  }
  std::byte* const at = rounded_.get();
  RoundedRows to{width,
                 reinterpret_cast<int8_t*>(at),
                 layout.ld,
                 layout.blocks,
                 reinterpret_cast<float*>(at + layout.scales),
                 reinterpret_cast<int32_t*>(at + layout.starts),
                 width >= kExactLargestWidth ? reinterpret_cast<LargestElement*>(at + layout.largest) : nullptr};
  const int64_t rowsPerTask = std::max<int64_t>(1, kElementsPerTask / width);
  pool_.run(ceilDiv(rows, rowsPerTask), [&](int64_t task, int) {
    for (int64_t r = task * rowsPerTask; r < std::min(rows, (task + 1) * rowsPerTask); ++r) {
      kernels_.dot->round({width, kDotBlock, x + r * ldx, factors, to.data + r * to.ld, to.scales + r * to.blocks,
                           to.starts + r * to.blocks, to.largest == nullptr ? nullptr : to.largest + r});
    }
  });
  return to;
}

}  // namespace mlit
