// Attention's kernels on the emulator, against float64 of the same bfloat16 inputs: documents about the tiles' edges, shared kv
// heads, windows, heads of every kind of size, rows apart, and a row's bits whatever stands beside it.
#include "backend/cuda/kernels/attention.h"

#include <functional>
#include <limits>
#include <memory>

#include "core/error.h"
#include "emulation/test/attention_reference.h"
#include "emulation/test/support.h"

namespace mlit::test {
namespace {

using Floats = std::vector<float>;

Floats asFloats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

// Every term of the sums has a factor that was rounded to bfloat16, at most half a unit (2^-8) off, and the sum is rounded once
// more. What float32 and the exponentials add is a thousandth of that.
void expectRounded(const Floats& got, const Sums& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.value.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    const double most = 1.01 * 0x1p-8 * (want.magnitude[i] + std::abs(want.value[i]));
    if (std::abs(got[i] - want.value[i]) <= most) continue;
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << want.value[i] << " within "
                  << most;
    return;
  }
}

Floats randomBf16(int64_t n, uint64_t seed) { return roundedTo(ElementType::kBF16, randomFloats(n, seed)); }

// bfloat16 rows on the device, apart by `padding` elements. Given no values, they are poisoned.
class Rows {
 public:
  Rows(const Floats& values, int64_t rows, int64_t padding)
      : ld(static_cast<int64_t>(values.size()) / rows + padding),
        rows_(rows),
        width_(ld - padding),
        reals_(ElementType::kBF16, spread(values, rows, ld)) {}
  Rows(int64_t rows, int64_t width, int64_t padding)
      : Rows(Floats(static_cast<size_t>(rows * width), std::numeric_limits<float>::quiet_NaN()), rows, padding) {}

  DevReal at() const { return reals_.get(); }
  Floats read() const { return gather(reals_.read(), rows_, width_); }

  const int64_t ld;

 private:
  int64_t rows_, width_;
  DeviceReals reals_;
};

std::string nameOf(const PackedCase& c) {
  std::string name = std::to_string(c.shape.heads) + "/" + std::to_string(c.shape.kvHeads) + " heads of " +
                     std::to_string(c.shape.headDim) + ", window " + std::to_string(c.shape.window) + ", lengths";
  for (const int32_t length : c.lengths) name += " " + std::to_string(length);
  return name;
}

struct Inputs {
  Floats q, k, v, dout;
  Inputs(const PackedCase& c, uint64_t seed)
      : q(randomBf16(c.rows() * c.queryWidth(), seed)),
        k(randomBf16(c.rows() * c.keyWidth(), seed + 100)),
        v(randomBf16(c.rows() * c.keyWidth(), seed + 200)),
        dout(randomBf16(c.rows() * c.queryWidth(), seed + 300)) {}
};

struct ForwardResult {
  Floats out, lse;
};

ForwardResult runForward(const PackedCase& c, const Inputs& in, int64_t padding) {
  const Rows q(in.q, c.rows(), padding), k(in.k, c.rows(), padding), v(in.v, c.rows(), padding),
      out(c.rows(), c.queryWidth(), padding);
  const DeviceArray<float> lse(static_cast<size_t>(c.rows() * c.shape.heads));
  const std::vector<int32_t> ends = c.cuSeqlens();
  const DeviceArray<int32_t> endsThere(ends);
  cuda::Stream stream;
  cuda::attentionForward(c.shape, ends, DevConstI32(endsThere.get()), q.at(), q.ld, k.at(), v.at(), k.ld, out.at(),
                         out.ld, DevF32(lse.get()), stream);
  stream.synchronize();
  return {out.read(), lse.read()};
}

struct Case {
  PackedCase packed;
  int64_t padding;
  uint64_t seeds;
};

// Scale is that of queries in (-1, 1), times six: softmax that is far from even.
PackedCase packed(std::vector<int32_t> lengths, int heads, int kvHeads, int dim, int window = 0) {
  return {std::move(lengths), {heads, kvHeads, dim, 6 / std::sqrt(static_cast<float>(dim)), window}};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {packed({1, 2, 15, 16, 17}, 2, 1, 16), 0, kSeeds},
      {packed({17, 0, 33, 1}, 3, 1, 16, 5), 8, kSeeds},
      {packed({63, 64, 65, 1, 130}, 2, 2, 32), 16, 5},
      {packed({130, 31}, 3, 1, 64, 33), 8, 5},
      {packed({150}, 4, 1, 64, 70), 0, 5},
      {packed({65, 2}, 2, 1, 80), 8, 5},
      {packed({33, 70}, 4, 2, 128), 0, 5},
      {packed({97, 3}, 4, 1, 256, 40), 8, 5},
      {packed({20, 5}, 2, 1, 256), 0, 5},
      {packed({19, 3, 40}, 3, 3, 5), 1, 5},  // rows that are not aligned
      {packed({70}, 2, 1, 24, 9), 3, 5},     // heads that are, rows that are not
      {packed({17, 1}, 2, 1, 36), 4, 5},     // heads that are not
  };
  return all;
}

class Attention : public Emulated {};

TEST_F(Attention, GradientsOfTheFormulaAreItsDifferences) {
  const PackedCase c = packed({3, 7}, 4, 2, 3, 4);
  Inputs in(c, 1);
  const AttentionValues want = attentionReference(c, in.q, in.k, in.v, in.dout);
  const auto loss = [&] {
    const std::vector<double> out = attentionReference(c, in.q, in.k, in.v, {}).out.value;
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * in.dout[i];
    return sum;
  };
  const auto expectDifferences = [&](Floats& values, const std::vector<double>& gradient) {
    for (size_t i = 0; i < values.size(); ++i) {
      const float before = values[i], step = 1.0f / 4096;  // exact in float
      values[i] = before + step;
      const double above = loss();
      values[i] = before - step;
      const double below = loss();
      values[i] = before;
      EXPECT_NEAR((above - below) / (2.0 * step), gradient[i], 1e-5) << i;
    }
  };
  expectDifferences(in.q, want.dq.value);
  expectDifferences(in.k, want.dk.value);
  expectDifferences(in.v, want.dv.value);
}

TEST_F(Attention, ForwardAgreesWithFloat64) {
  for (const Case& c : cases()) {
    for (uint64_t seed = 1; seed <= c.seeds; ++seed) {
      begin(seed);
      const Inputs in(c.packed, seed);
      const AttentionValues want = attentionReference(c.packed, in.q, in.k, in.v, {});
      const ForwardResult got = runForward(c.packed, in, c.padding);
      expectRounded(got.out, want.out, nameOf(c.packed) + " out");
      expectClose(got.lse, want.lse, 5e-6, nameOf(c.packed) + " lse");
      EXPECT_EQ(emulation::stats().launches.at("attentionForward"), 1u);
      EXPECT_EQ(emulation::stats().matrixConflicts, 0u) << nameOf(c.packed);
    }
  }
}

struct Gradients {
  Floats dq, dk, dv;
};

// Columns of one buffer, as training keeps them.
Floats columns(const Floats& rows, int64_t width, int64_t first, int64_t count) {
  Floats values;
  for (int64_t at = 0; at < static_cast<int64_t>(rows.size()); at += width) {
    values.insert(values.end(), rows.begin() + at + first, rows.begin() + at + first + count);
  }
  return values;
}

Gradients runBackward(const PackedCase& c, const Inputs& in, const Floats& outValues, const Floats& lseValues,
                      int64_t padding) {
  const int64_t qWidth = c.queryWidth(), kWidth = c.keyWidth(), width = qWidth + 2 * kWidth;
  const Rows q(in.q, c.rows(), padding), k(in.k, c.rows(), padding), v(in.v, c.rows(), padding),
      out(outValues, c.rows(), padding), dout(in.dout, c.rows(), padding), gradients(c.rows(), width, padding);
  const DeviceArray<float> lse(lseValues), delta(lseValues.size());
  const std::vector<int32_t> ends = c.cuSeqlens();
  const DeviceArray<int32_t> endsThere(ends);
  cuda::Stream stream;
  const DevReal dq = gradients.at();
  cuda::attentionBackward(c.shape, ends, DevConstI32(endsThere.get()), q.at(), q.ld, k.at(), v.at(), k.ld, out.at(),
                          dout.at(), out.ld, DevConstF32(lse.get()), DevF32(delta.get()), dq, gradients.ld, dq + qWidth,
                          dq + qWidth + kWidth, gradients.ld, stream);
  stream.synchronize();
  const Floats all = gradients.read();
  return {columns(all, width, 0, qWidth), columns(all, width, qWidth, kWidth),
          columns(all, width, qWidth + kWidth, kWidth)};
}

TEST_F(Attention, BackwardAgreesWithFloat64) {
  for (const Case& c : cases()) {
    for (uint64_t seed = 1; seed <= c.seeds; ++seed) {
      begin(seed);
      const Inputs in(c.packed, seed);
      const AttentionValues forward = attentionReference(c.packed, in.q, in.k, in.v, {});
      const Floats out = roundedTo(ElementType::kBF16, asFloats(forward.out.value));
      const AttentionValues want = attentionReference(c.packed, in.q, in.k, in.v, in.dout, out);
      const Gradients got = runBackward(c.packed, in, out, asFloats(forward.lse), c.padding);
      expectRounded(got.dq, want.dq, nameOf(c.packed) + " dq");
      expectRounded(got.dk, want.dk, nameOf(c.packed) + " dk");
      expectRounded(got.dv, want.dv, nameOf(c.packed) + " dv");
      uint64_t launches = 0;
      for (const auto& [name, count] : emulation::stats().launches) launches += count;
      EXPECT_EQ(launches, 3u);
      EXPECT_EQ(emulation::stats().matrixConflicts, 0u) << nameOf(c.packed);
    }
  }
}

// A document's rows, alone and between others: tiles and sums are its own.
TEST_F(Attention, ADocumentsBitsAreItsOwn) {
  const std::vector<int32_t> lengths = {70, 1, 33, 64, 5};
  for (const int dim : {64, 256}) {
    const PackedCase all = packed(lengths, 2, 1, dim, 40);
    const Inputs in(all, 3);
    const ForwardResult together = runForward(all, in, 0);
    const Gradients gradients = runBackward(all, in, together.out, together.lse, 0);
    int64_t first = 0;
    for (const int32_t length : lengths) {
      const PackedCase one = packed({length}, 2, 1, dim, 40);
      const auto part = [&](const Floats& values, int64_t width) {
        return Floats(values.begin() + first * width, values.begin() + (first + length) * width);
      };
      Inputs own(one, 0);
      own.q = part(in.q, one.queryWidth()), own.dout = part(in.dout, one.queryWidth());
      own.k = part(in.k, one.keyWidth()), own.v = part(in.v, one.keyWidth());
      const ForwardResult alone = runForward(one, own, 8);
      EXPECT_EQ(alone.out, part(together.out, one.queryWidth())) << "document of " << length;
      for (int64_t head = 0; head < 2; ++head) {
        EXPECT_EQ(Floats(alone.lse.begin() + head * length, alone.lse.begin() + (head + 1) * length),
                  Floats(together.lse.begin() + head * all.rows() + first,
                         together.lse.begin() + head * all.rows() + first + length));
      }
      const Gradients ownGradients = runBackward(one, own, alone.out, alone.lse, 8);
      EXPECT_EQ(ownGradients.dq, part(gradients.dq, one.queryWidth())) << "document of " << length;
      EXPECT_EQ(ownGradients.dk, part(gradients.dk, one.keyWidth())) << "document of " << length;
      EXPECT_EQ(ownGradients.dv, part(gradients.dv, one.keyWidth())) << "document of " << length;
      first += length;
    }
  }
}

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
  Floats attend(const std::vector<int64_t>& rows, const Inputs& in, int64_t padding) const {
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
    const size_t bytes = cuda::attentionCachedWorkspaceBytes(case_.shape, n, last);
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

TEST_F(Attention, CachedAgreesWithFloat64) {
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
    for (uint64_t seed = 1; seed <= c.seeds; ++seed) {
      begin(seed);
      const Cache cache(p, in, c.padding, seed);
      const std::vector<int64_t> rows = rowsToAttend(p, c.chunk);
      expectRounded(cache.attend(rows, in, c.padding), rowsOf(want.out, rows, p.queryWidth()), nameOf(p));
      uint64_t launches = 0;
      for (const auto& [name, count] : emulation::stats().launches) launches += name == "kvStore" ? 0 : count;
      EXPECT_EQ(launches, c.launches) << nameOf(p);
      EXPECT_EQ(emulation::stats().matrixConflicts, 0u) << nameOf(p);
    }
  }
}

TEST_F(Attention, ACachedRowsBitsAreItsOwn) {
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

void expectRefusal(const std::function<void()>& call, const std::string& words) {
  try {
    call();
    ADD_FAILURE() << "nothing was refused where \"" << words << "\" was expected";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST_F(Attention, WhatItCannotDoIsRefusedByName) {
  const DeviceArray<float> floats(size_t{8});
  const DevReal real(DevicePtr<std::byte>(reinterpret_cast<std::byte*>(floats.get())), ElementType::kBF16),
      wide(DevF32(floats.get()));
  const DevConstI32 ints;
  const std::vector<int32_t> ends = {0, 1};
  cuda::Stream stream;
  const auto forward = [&](const AttentionShape& shape, DevConstReal q, DevReal out) {
    return [=, &ends, &stream] {
      cuda::attentionForward(shape, ends, ints, q, 8, real, real, 8, out, 8, DevF32(), stream);
    };
  };
  expectRefusal(forward({1, 1, 8}, wide, real), "q is float32");
  expectRefusal(forward({1, 1, 8}, real, wide), "out is float32");
  expectRefusal(forward({3, 2, 8}, real, real), "3 heads over 2 kv heads");
  expectRefusal(forward({1, 1, 257}, real, real), "heads of 257 elements");
  expectRefusal(forward({1, 1, 8, 0}, real, real), "scale 0");
  expectRefusal(
      [&] {
        cuda::attentionCached({1, 1, 8}, real, 8, 1, ints, ints, ints, 600, real, real, 8, {}, 79, stream);
      },
      "a workspace of 79 bytes; 80 are wanted");
}

}  // namespace
}  // namespace mlit::test
