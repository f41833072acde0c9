// Attention against a naive float64 softmax over every pair, on shapes with odd edges, and the promises about bits: the
// same for any documents beside it and any way to cut a sequence into chunks.
#include "test/ops/attention_cases.h"

namespace mlit::test {
namespace {

class AttentionTest : public OpTest {
 protected:
  // Emulated, those of which each query meets few keys: the device's own tests have larger ones.
  std::vector<AttentionCase> cases() const {
    std::vector<AttentionCase> all = attentionCases();
    std::erase_if(all, [&](const AttentionCase& c) {
      int64_t work = 0;
      for (const int64_t length : c.lengths) work += length * length * c.heads * c.dim;
      return emulated() && work > 2'000'000;
    });
    return all;
  }
  // Of a sharper distribution scores are larger, and so is their rounding.
  void expectSums(const std::vector<float>& got, const Sums& want, double tolerance, const std::string& what,
                  double least = 0) const {
    if (type() == ElementType::kF32) {
      expectClose(got, want.value, tolerance, what, least);
    } else {
      expectRounded(got, want, what);
    }
  }
};

TEST_P(AttentionTest, MatchesTheReference) {
  forEach(cases(), [&](const AttentionCase& c) {
    const Problem p(c, type());
    const AttentionResult result = computeAttention(backend(), p, 5);
    // The backward pass is given the out that came out, rounded as it is.
    const AttentionValues want = attentionReference(p.packed, p.q, p.k, p.v, p.dout, result.out);
    const double sharp = static_cast<double>(c.spread);
    const std::string name = c.name;
    expectSums(result.out, want.out, 2e-6 * sharp, name + ", out");
    expectClose(result.lse, want.lse, type() == ElementType::kF32 ? 1e-6 : 5e-6, name + ", lse");
    expectSums(result.dq, want.dq, 1e-5 * sharp, name + ", dq", 0.05);
    expectSums(result.dk, want.dk, 1e-5 * sharp, name + ", dk", 0.05);
    expectSums(result.dv, want.dv, 1e-5 * sharp, name + ", dv", 0.05);
  });
}

TEST_P(AttentionTest, WorksInStackedBuffers) {
  const Problem p({"", 4, 2, 16, 0, {37, 70}}, type());
  const int64_t width = p.qWidth() + 2 * p.kvWidth();
  std::vector<float> stacked;
  for (int64_t t = 0; t < p.tokens; ++t) {
    stacked.insert(stacked.end(), p.q.begin() + t * p.qWidth(), p.q.begin() + (t + 1) * p.qWidth());
    stacked.insert(stacked.end(), p.k.begin() + t * p.kvWidth(), p.k.begin() + (t + 1) * p.kvWidth());
    stacked.insert(stacked.end(), p.v.begin() + t * p.kvWidth(), p.v.begin() + (t + 1) * p.kvWidth());
  }
  DeviceReals qkv(backend(), stacked), dqkv(backend(), p.tokens * width, kPoison);
  DeviceReals out(backend(), p.tokens * p.qWidth(), kPoison), dout(backend(), p.dout);
  const int64_t heads = p.tokens * p.shape().heads;
  DeviceFloats lse(backend(), heads, kPoison), delta(backend(), heads, kPoison);
  const int64_t kAt = p.qWidth(), vAt = kAt + p.kvWidth();
  backend().attentionForward(p.shape(), p.cu, qkv.ptr(), width, qkv.ptr() + kAt, qkv.ptr() + vAt, width, out.ptr(),
                             p.qWidth(), lse.ptr());
  backend().attentionBackward(p.shape(), p.cu, qkv.ptr(), width, qkv.ptr() + kAt, qkv.ptr() + vAt, width, out.ptr(),
                              dout.ptr(), p.qWidth(), lse.ptr(), delta.ptr(), dqkv.ptr(), width, dqkv.ptr() + kAt,
                              dqkv.ptr() + vAt, width);
  const AttentionResult apart = computeAttention(backend(), p, 0);
  expectSameBytes(out.read(), apart.out, "out");
  const std::vector<float> gradients = dqkv.read();
  for (int64_t t = 0; t < p.tokens; ++t) {
    const auto row = gradients.begin() + t * width;
    ASSERT_TRUE(std::equal(row, row + kAt, apart.dq.begin() + t * p.qWidth())) << "dq of token " << t;
    ASSERT_TRUE(std::equal(row + kAt, row + vAt, apart.dk.begin() + t * p.kvWidth())) << "dk of token " << t;
    ASSERT_TRUE(std::equal(row + vAt, row + width, apart.dv.begin() + t * p.kvWidth())) << "dv of token " << t;
  }
}

TEST_P(AttentionTest, DocumentsDoNotKnowEachOther) {
  for (const int32_t window : {0, 40}) {
    const Problem together({"", 4, 2, 32, window, {70, 1, emulated() ? 83 : 203}}, type());
    const AttentionResult all = computeAttention(backend(), together, 3);
    for (size_t document = 0; document + 1 < together.cu.size(); ++document) {
      const int64_t begin = together.cu[document], length = together.cu[document + 1] - begin;
      Problem alone({"", 4, 2, 32, window, {static_cast<int32_t>(length)}}, type());
      const auto part = [&](const std::vector<float>& from, int64_t width) {
        return std::vector<float>(from.begin() + begin * width, from.begin() + (begin + length) * width);
      };
      alone.q = part(together.q, together.qWidth());
      alone.k = part(together.k, together.kvWidth());
      alone.v = part(together.v, together.kvWidth());
      alone.dout = part(together.dout, together.qWidth());
      const AttentionResult one = computeAttention(backend(), alone, 0);
      expectSameBytes(one.out, part(all.out, together.qWidth()), "out");
      expectSameBytes(one.dq, part(all.dq, together.qWidth()), "dq");
      expectSameBytes(one.dk, part(all.dk, together.kvWidth()), "dk");
      expectSameBytes(one.dv, part(all.dv, together.kvWidth()), "dv");
    }
  }
}

TEST_P(AttentionTest, RowsDoNotKnowWhatFollows) {
  const Problem longer({"", 3, 1, 64, 0, {150}}, type());
  const AttentionResult whole = computeAttention(backend(), longer, 0);
  for (const int32_t length : {1, 31, 64, 97}) {
    Problem shorter({"", 3, 1, 64, 0, {length}}, type());
    shorter.q.assign(longer.q.begin(), longer.q.begin() + length * longer.qWidth());
    shorter.k.assign(longer.k.begin(), longer.k.begin() + length * longer.kvWidth());
    shorter.v.assign(longer.v.begin(), longer.v.begin() + length * longer.kvWidth());
    const AttentionResult start = computeAttention(backend(), shorter, 0);
    expectSameBytes(start.out, std::vector<float>(whole.out.begin(), whole.out.begin() + length * longer.qWidth()),
                    "out");
  }
}

TEST_P(AttentionTest, CachedEqualsForward) {
  forEach(cases(), [&](const AttentionCase& c) {
    const Problem p(c, type());
    const PagedCache cache(backend(), p);
    std::vector<std::pair<int32_t, int32_t>> rows;
    for (size_t s = 0; s < c.lengths.size(); ++s) {
      for (int32_t t = 0; t < c.lengths[s]; ++t) rows.emplace_back(static_cast<int32_t>(s), t);
    }
    const std::vector<float> out = cache.attend(rows, 7);
    const double tolerance = 2e-6 * static_cast<double>(c.spread);
    expectSums(out, attentionReference(p.packed, p.q, p.k, p.v, {}).out, tolerance,
               std::string(c.name) + ", reference");
    if (type() == ElementType::kF32) {
      expectClose(out, toDoubles(computeAttention(backend(), p, 0).out), tolerance, std::string(c.name) + ", forward");
    }
  });
}

TEST_P(AttentionTest, CachedRowsDoNotKnowEachOther) {
  std::vector<AttentionCase> cases = {{"", 4, 1, 64, 0, {150, 77}},
                                      {"", 3, 1, 20, 9, {150, 77}},
                                      {"", 2, 2, 256, 33, {101, 5}},
                                      {"", 7, 1, 36, 0, {90, 40}}};
  if (emulated()) cases = {{"", 4, 1, 16, 0, {75, 40}}, {"", 3, 1, 20, 9, {40, 27}}};
  for (const AttentionCase& c : cases) {
    const Problem p(c, type());
    const PagedCache cache(backend(), p);
    const int64_t width = p.qWidth();
    std::vector<std::pair<int32_t, int32_t>> all;
    for (int32_t s = 0; s < 2; ++s) {
      for (int32_t t = 0; t < c.lengths[static_cast<size_t>(s)]; ++t) all.emplace_back(s, t);
    }
    const std::vector<float> whole = cache.attend(all);
    const auto rowOf = [&](const std::vector<float>& from, size_t r) {
      return std::vector<float>(from.begin() + static_cast<int64_t>(r) * width,
                                from.begin() + static_cast<int64_t>(r + 1) * width);
    };
    for (const size_t chunk : {1, 7, 33}) {
      std::vector<float> joined;
      for (size_t r = 0; r < all.size(); r += chunk) {
        const auto end = all.begin() + static_cast<int64_t>(std::min(r + chunk, all.size()));
        const std::vector<float> part = cache.attend({all.begin() + static_cast<int64_t>(r), end});
        joined.insert(joined.end(), part.begin(), part.end());
      }
      expectSameBytes(joined, whole, "chunks of " + std::to_string(chunk));
    }
    // Sequences mixed, positions out of order.
    std::vector<size_t> order;
    for (size_t i = 0; i < all.size(); ++i) order.push_back(i * 61 % all.size());
    std::sort(order.begin(), order.end());
    order.erase(std::unique(order.begin(), order.end()), order.end());
    std::vector<std::pair<int32_t, int32_t>> mixed;
    for (size_t i = 0; i < order.size(); ++i) mixed.push_back(all[order[(i * 37 + 11) % order.size()]]);
    const std::vector<float> shuffled = cache.attend(mixed, 2);
    for (size_t i = 0; i < order.size(); ++i) {
      expectSameBytes(rowOf(shuffled, i), rowOf(whole, order[(i * 37 + 11) % order.size()]), "mixed");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, ::testing::ValuesIn(backendFactories()), factoryName);

}  // namespace
}  // namespace mlit::test
