// Attention's kernels on the emulator, against float64 of the same bfloat16 inputs: documents about the tiles' edges, shared kv
// heads, windows, heads of every kind of size, rows apart, and a row's bits whatever stands beside it.
#include "backend/cuda/kernels/attention.h"

#include <functional>

#include "backend/cuda/test/attention_support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

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

class Attention : public OnDevice {};

TEST_F(Attention, ForwardAgreesWithFloat64) {
  for (const Case& c : cases()) {
    for (uint64_t seed = 1; seed <= seedsOr(c.seeds); ++seed) {
      begin(seed);
      const Inputs in(c.packed, seed);
      const AttentionValues want = attentionReference(c.packed, in.q, in.k, in.v, {});
      const ForwardResult got = runForward(c.packed, in, c.padding);
      expectRounded(got.out, want.out, nameOf(c.packed) + " out");
      expectClose(got.lse, want.lse, 5e-6, nameOf(c.packed) + " lse");
      if (const auto counts = device::kernelCounts()) {
        EXPECT_EQ(counts->of("attentionForward"), 1u);
        EXPECT_EQ(counts->matrixConflicts, 0u) << nameOf(c.packed);
      }
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
    for (uint64_t seed = 1; seed <= seedsOr(c.seeds); ++seed) {
      begin(seed);
      const Inputs in(c.packed, seed);
      const AttentionValues forward = attentionReference(c.packed, in.q, in.k, in.v, {});
      const Floats out = roundedTo(ElementType::kBF16, asFloats(forward.out.value));
      const AttentionValues want = attentionReference(c.packed, in.q, in.k, in.v, in.dout, out);
      const Gradients got = runBackward(c.packed, in, out, asFloats(forward.lse), c.padding);
      expectRounded(got.dq, want.dq, nameOf(c.packed) + " dq");
      expectRounded(got.dk, want.dk, nameOf(c.packed) + " dk");
      expectRounded(got.dv, want.dv, nameOf(c.packed) + " dv");
      if (const auto counts = device::kernelCounts()) {
        EXPECT_EQ(counts->total(), 3u);
        EXPECT_EQ(counts->matrixConflicts, 0u) << nameOf(c.packed);
      }
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

// A window of one sees itself: of eight tiles of keys, or of queries, one is read and not half of them.
TEST_F(Attention, WhatNoWindowReachesIsNotRead) {
  if (!device::kernelCounts()) GTEST_SKIP() << "a card does not tell";
  const auto accessesOf = [](const std::function<void()>& call) {
    begin(1);
    call();
    return device::kernelCounts()->accesses;
  };
  const PackedCase all = packed({512}, 1, 1, 32), own = packed({512}, 1, 1, 32, 1);
  const Inputs in(all, 1);
  const Floats lse(512, 0.0f);
  EXPECT_LT(2 * accessesOf([&] { runForward(own, in, 0); }), accessesOf([&] { runForward(all, in, 0); }));
  // Half as much again: what is read and written once for each row is the greater part of it.
  EXPECT_LT(3 * accessesOf([&] { runBackward(own, in, in.q, lse, 0); }),
            2 * accessesOf([&] { runBackward(all, in, in.q, lse, 0); }));
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
