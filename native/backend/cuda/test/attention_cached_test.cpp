// Attention over the paged cache on the emulator: shuffled pages, rows of decoding beside rows of prompts, parts and windows, against
// float64 of the same bfloat16 inputs; and a row's bits whatever stands beside it.
#include <memory>

#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/test/attention_support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

class AttentionCached : public OnDevice {};

// Sequences in a pool of pages, in shuffled order. What no token was stored in stays unwritten, which is found when it is read.
class Cache {
 public:
  Cache(const PackedCase& c, const Inputs& in, int64_t padding, uint64_t seed) : case_(c) {
    int32_t pages = 0;
    for (const int32_t length : c.lengths) {
      firstPage_.push_back(pages);
      pages += (length + kKvPageTokens - 1) / kKvPageTokens;
    }
    for (int32_t p = 0; p < pages; ++p) {
      table_.insert(table_.begin() +
                        static_cast<std::ptrdiff_t>(philox(seed, 9, static_cast<uint64_t>(p))[0] % (table_.size() + 1)),
                    p);
    }
    pool_ = std::make_unique<DeviceReals>(ElementType::kBF16,
                                          static_cast<size_t>(2 * pages * kKvPageTokens * c.keyWidth()));
    tables_ = std::make_unique<DeviceArray<int32_t>>(table_);
    std::vector<int32_t> rowPages, rowSlots;
    for (size_t d = 0; d < c.lengths.size(); ++d) {
      for (int32_t t = 0; t < c.lengths[d]; ++t) {
        rowPages.push_back(table_[static_cast<size_t>(firstPage_[d] + t / kKvPageTokens)]);
        rowSlots.push_back(t % kKvPageTokens);
      }
    }
    const Rows k(in.k, c.rows(), padding), v(in.v, c.rows(), padding);
    const DeviceArray<int32_t> pagesThere(rowPages), slotsThere(rowSlots);
    cuda::Stream stream;
    cuda::kvStore(c.shape, k.at(), v.at(), k.ld, c.rows(), DevConstI32(pagesThere.get()), DevConstI32(slotsThere.get()),
                  pool_->get(), stream);
    stream.synchronize();
  }

  // Rows of the packed case, by number.
  Floats attend(const std::vector<int64_t>& rows, const Inputs& in, int64_t padding, int64_t roomForRows = 0) const {
    const std::vector<int32_t> ends = case_.cuSeqlens();
    const int64_t width = case_.queryWidth();
    std::vector<int32_t> positions, rowTables;
    Floats queries;
    for (const int64_t row : rows) {
      const auto document = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), row) - ends.begin() - 1);
      positions.push_back(static_cast<int32_t>(row) - ends[document]);
      rowTables.push_back(firstPage_[document]);
      queries.insert(queries.end(), in.q.begin() + row * width, in.q.begin() + (row + 1) * width);
    }
    const auto n = static_cast<int64_t>(rows.size());
    const int32_t last = *std::max_element(positions.begin(), positions.end());
    const Rows q(queries, n, padding), out(n, width, padding);
    const DeviceArray<int32_t> positionsThere(positions), rowTablesThere(rowTables);
    const size_t bytes = cuda::attentionCachedWorkspaceBytes(case_.shape, roomForRows == 0 ? n : roomForRows, last);
    const DeviceArray<std::byte> workspace(std::max<size_t>(bytes, 1));
    cuda::Stream stream;
    cuda::attentionCached(case_.shape, q.at(), q.ld, n, DevConstI32(positionsThere.get()),
                          DevConstI32(rowTablesThere.get()), DevConstI32(tables_->get()), last, pool_->get(), out.at(),
                          out.ld, DevicePtr<std::byte>(workspace.get()), bytes, stream);
    stream.synchronize();
    return out.read();
  }

 private:
  PackedCase case_;
  std::vector<int32_t> firstPage_, table_;
  std::unique_ptr<DeviceReals> pool_;
  std::unique_ptr<DeviceArray<int32_t>> tables_;
};

Sums rowsOf(const Sums& all, const std::vector<int64_t>& rows, int64_t width) {
  Sums part(0);
  for (const int64_t row : rows) {
    part.value.insert(part.value.end(), all.value.begin() + row * width, all.value.begin() + (row + 1) * width);
    part.magnitude.insert(part.magnitude.end(), all.magnitude.begin() + row * width,
                          all.magnitude.begin() + (row + 1) * width);
  }
  return part;
}

// Each sequence's last row, as in decoding, and before them `chunk` rows of the first sequence together, as in a prompt.
std::vector<int64_t> rowsToAttend(const PackedCase& c, int64_t chunk) {
  std::vector<int64_t> rows;
  for (int64_t r = c.lengths[0] - chunk; r < c.lengths[0] - 1; ++r) rows.push_back(r);
  for (const int32_t end : c.cuSeqlens()) {
    if (end > 0) rows.push_back(end - 1);
  }
  return rows;
}

struct CachedCase {
  PackedCase packed;
  int64_t padding, chunk;
  uint64_t seeds, launches;
};

TEST_F(AttentionCached, AgreesWithFloat64) {
  const CachedCase all[] = {
      {packed({40, 1, 33, 34, 64, 5}, 2, 1, 16), 0, 20, kSeeds, 1},  // 32 and 33 are positions of two sequences
      {packed({90, 17}, 3, 1, 64, 20), 8, 11, 5, 1},
      {packed({50, 100}, 4, 2, 128), 0, 9, 5, 1},
      {packed({40, 70}, 4, 1, 256), 0, 6, 5, 1},
      {packed({35, 3}, 20, 1, 16), 0, 3, 5, 1},          // more heads than a product has rows
      {packed({45, 20}, 3, 3, 5), 1, 7, 5, 1},           // rows that are not aligned
      {packed({40}, 2, 1, 36, 9), 4, 7, 5, 1},           // heads that are not
      {packed({530, 1040, 3}, 2, 1, 32), 0, 30, 3, 2},   // parts, and a prompt that goes from one to the next
      {packed({1300, 700}, 2, 1, 16, 300), 0, 9, 3, 2},  // a window within parts
      {packed({4110}, 1, 1, 16), 0, 20, 1, 2},           // parts of twice the size
  };
  for (const CachedCase& c : all) {
    const PackedCase& p = c.packed;
    const Inputs in(p, 1);
    const AttentionValues want = attentionReference(p, in.q, in.k, in.v, {});
    for (uint64_t seed = 1; seed <= seedsOr(c.seeds); ++seed) {
      begin(seed);
      const Cache cache(p, in, c.padding, seed);
      const std::vector<int64_t> rows = rowsToAttend(p, c.chunk);
      expectRounded(cache.attend(rows, in, c.padding), rowsOf(want.out, rows, p.queryWidth()), nameOf(p));
      if (const auto counts = device::kernelCounts()) {
        EXPECT_EQ(counts->total() - counts->of("kvStore"), c.launches) << nameOf(p);
        EXPECT_EQ(counts->matrixConflicts, 0u) << nameOf(p);
      }
    }
  }
}

TEST_F(AttentionCached, ARowsBitsAreItsOwn) {
  for (const PackedCase& c : {packed({40, 35}, 2, 1, 64, 24), packed({530, 9}, 4, 1, 16)}) {
    const Inputs in(c, 5);
    const Cache cache(c, in, 0, 1);
    const std::vector<int64_t> rows = rowsToAttend(c, 20);
    const Floats together = cache.attend(rows, in, 0);
    const int64_t width = c.queryWidth();
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto at = static_cast<std::ptrdiff_t>(i) * width;
      EXPECT_EQ(cache.attend({rows[i]}, in, 8), Floats(together.begin() + at, together.begin() + at + width))
          << "row " << rows[i] << " of " << nameOf(c);
    }
  }
}

// Rows of prompts have a kernel of their own where rows are many: decoding rows stand between them, runs end at parts, at the
// end of a group of rows and where a sequence ends, and a run may be too short for it.
std::vector<int64_t> manyRows(const PackedCase& c) {
  std::vector<int64_t> rows;
  const std::vector<int32_t> ends = c.cuSeqlens();
  for (size_t d = 0; d < c.lengths.size(); ++d) {
    const int64_t begin = ends[d], end = ends[d + 1], count = d % 2 == 0 ? c.lengths[d] : 1;
    for (int64_t row = std::max(begin, end - std::min<int64_t>(count, 75)); row < end; ++row) rows.push_back(row);
  }
  return rows;
}

TEST_F(AttentionCached, PromptsHaveTheBitsOfTheirRowsAlone) {
  const std::pair<PackedCase, int64_t> all[] = {
      {packed({70, 9, 20, 40}, 2, 1, 64), 0},   // 32 rows of two heads together
      {packed({71, 3, 33}, 4, 1, 128, 24), 8},  // a window
      {packed({66, 5, 9}, 2, 1, 256), 0},       //
      {packed({40, 1, 37}, 3, 1, 16), 0},       // 21 rows, and a product that is not full
      {packed({70, 2}, 1, 1, 32), 0},           // 64 rows
      {packed({70, 9}, 20, 1, 16), 0},          // 16 heads, and 4
      {packed({68}, 2, 2, 5), 1},               // rows that are not aligned
      {packed({67, 8}, 2, 1, 64), 4},           // nor are these
      {packed({540, 1040, 60}, 2, 1, 32), 0},   // a prompt that goes from one part to the next
      {packed({1060, 700}, 2, 1, 16, 300), 0},  // a window that does
  };
  for (const auto& [c, padding] : all) {
    const Inputs in(c, 7);
    const AttentionValues want = attentionReference(c, in.q, in.k, in.v, {});
    const std::vector<int64_t> rows = manyRows(c);
    ASSERT_GE(rows.size(), 64u) << nameOf(c);
    const Cache cache(c, in, padding, 1);
    const Floats together = cache.attend(rows, in, padding);
    expectRounded(together, rowsOf(want.out, rows, c.queryWidth()), nameOf(c));
    if (const auto counts = device::kernelCounts()) {
      EXPECT_GE(counts->of("attentionPrompt"), 1u) << nameOf(c);
      EXPECT_EQ(counts->matrixConflicts, 0u) << nameOf(c);
    }
    // Fewer rows at a time, by the other kernel: chunks of a prompt, and each row by itself now and then.
    Floats apart;
    for (size_t i = 0; i < rows.size();) {
      const size_t count = std::min(rows.size() - i, i % 3 == 0 ? size_t{1} : size_t{13});
      const Floats some = cache.attend(
          {rows.begin() + static_cast<std::ptrdiff_t>(i), rows.begin() + static_cast<std::ptrdiff_t>(i + count)}, in,
          padding);
      apart.insert(apart.end(), some.begin(), some.end());
      i += count;
    }
    EXPECT_EQ(apart, together) << nameOf(c);
  }
}

TEST_F(AttentionCached, PromptsAreRightInAnyOrder) {
  const PackedCase c = packed({70, 9}, 2, 1, 32);
  const Inputs in(c, 8);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    begin(seed);
    const Cache cache(c, in, 0, 1);
    expectRounded(cache.attend(manyRows(c), in, 0),
                  rowsOf(attentionReference(c, in.q, in.k, in.v, {}).out, manyRows(c), c.queryWidth()), nameOf(c));
  }
}

TEST_F(AttentionCached, RowsTakeTurnsInASmallWorkspace) {
  for (const PackedCase& c : {packed({530, 1040, 3}, 2, 1, 32), packed({700}, 2, 1, 16, 300)}) {
    const Inputs in(c, 6);
    const Cache cache(c, in, 0, 1);
    const std::vector<int64_t> rows = rowsToAttend(c, 38);
    const Floats together = cache.attend(rows, in, 0);
    const auto before = device::kernelCounts();
    EXPECT_EQ(cache.attend(rows, in, 8, 17), together) << nameOf(c);
    if (const auto after = device::kernelCounts()) {
      EXPECT_EQ(after->of("attentionCombine"), before->of("attentionCombine") + 3) << nameOf(c);  // 16, 16, the rest
    }
    EXPECT_THROW(cache.attend(rows, in, 0, 15), Error);
  }
}

}  // namespace
}  // namespace mlit::test
