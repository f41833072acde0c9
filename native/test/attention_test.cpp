// Attention against a naive float64 softmax over every pair, on shapes with odd edges, and the promises about bits: the
// same for any number of threads, any documents beside it and any way to cut a sequence into chunks.
#include "test/op_support.h"

namespace mlit::test {
namespace {

struct AttentionCase {
  const char* name;
  int32_t heads;
  int32_t kvHeads;
  int32_t dim;
  int32_t window;
  std::vector<int32_t> lengths;
  float spread = 1;  // of q: larger means sharper distributions
};

std::vector<AttentionCase> attentionCases() {
  return {
      {"single token", 1, 1, 8, 0, {1}},
      {"odd dimension", 2, 1, 7, 0, {5, 1, 9}},
      {"dimension 4", 3, 3, 4, 0, {3, 17}},
      {"dimension 20, window 1", 3, 1, 20, 1, {1, 2, 70}},
      {"dimension 16, window 3", 4, 4, 16, 3, {33, 1, 130}},
      {"dimension 24, window 8", 4, 1, 24, 8, {129, 7}},
      {"window 70", 6, 2, 32, 70, {200, 64, 65}},
      {"groups of 3", 9, 3, 64, 0, {65, 1, 63}},
      {"groups of 4, dimension 256", 4, 1, 256, 0, {101, 40}},
      {"dimension 128", 2, 2, 128, 0, {127, 128}},
      {"dimension 96, large scores", 2, 1, 96, 0, {80}, 60},
      {"groups of 5, window 64", 5, 1, 40, 64, {150, 1, 1, 66}},
      {"many heads on one", 100, 1, 8, 0, {9}},
      {"dimension 65", 2, 2, 65, 0, {97}},
      {"several rounds", 2, 1, 16, 0, {300}},
  };
}

struct Problem {
  explicit Problem(const AttentionCase& c, uint64_t seed = 1) {
    shape = {c.heads, c.kvHeads, c.dim, 1.0f / std::sqrt(static_cast<float>(c.dim)), c.window};
    cu.push_back(0);
    for (const int32_t length : c.lengths) cu.push_back(cu.back() + length);
    tokens = cu.back();
    q = scaled(randomFloats(tokens * qWidth(), seed), c.spread);
    k = randomFloats(tokens * kvWidth(), seed + 1);
    v = randomFloats(tokens * kvWidth(), seed + 2);
    dout = randomFloats(tokens * qWidth(), seed + 3);
  }
  int64_t qWidth() const { return int64_t{shape.heads} * shape.headDim; }
  int64_t kvWidth() const { return int64_t{shape.kvHeads} * shape.headDim; }

  AttentionShape shape;
  std::vector<int32_t> cu;
  int64_t tokens = 0;
  std::vector<float> q, k, v, dout;
};

// Forward and, by the textbook formulas, backward in float64.
struct Reference {
  Reference(const Problem& p, const Doubles& q, const Doubles& k, const Doubles& v)
      : out(q.size(), 0),
        lse(static_cast<size_t>(p.shape.heads * p.tokens)),
        dq(q.size(), 0),
        dk(k.size(), 0),
        dv(v.size(), 0) {
    const int64_t dim = p.shape.headDim, group = p.shape.heads / p.shape.kvHeads;
    const double scale = static_cast<double>(p.shape.scale);
    const auto dot = [&](const double* a, const double* b) {
      double sum = 0;
      for (int64_t i = 0; i < dim; ++i) sum += a[i] * b[i];
      return sum;
    };
    const Doubles gradient = toDoubles(p.dout);
    for (size_t document = 0; document + 1 < p.cu.size(); ++document) {
      for (int64_t t = p.cu[document]; t < p.cu[document + 1]; ++t) {
        for (int64_t head = 0; head < p.shape.heads; ++head) {
          int64_t first = p.cu[document];
          if (p.shape.window > 0) first = std::max(first, t - p.shape.window + 1);
          const int64_t row = t * p.qWidth() + head * dim, kvColumn = head / group * dim;
          Doubles weights;
          double top = -1e300, sum = 0;
          for (int64_t j = first; j <= t; ++j) {
            weights.push_back(scale *
                              dot(&q[static_cast<size_t>(row)], &k[static_cast<size_t>(j * p.kvWidth() + kvColumn)]));
            top = std::max(top, weights.back());
          }
          for (double& weight : weights) sum += weight = std::exp(weight - top);
          lse[static_cast<size_t>(head * p.tokens + t)] = top + std::log(sum);
          double mean = 0;
          Doubles gradients;
          for (int64_t j = first; j <= t; ++j) {
            double& weight = weights[static_cast<size_t>(j - first)];
            weight /= sum;
            const size_t at = static_cast<size_t>(j * p.kvWidth() + kvColumn);
            for (int64_t i = 0; i < dim; ++i) {
              out[static_cast<size_t>(row + i)] += weight * v[at + static_cast<size_t>(i)];
              dv[at + static_cast<size_t>(i)] += weight * gradient[static_cast<size_t>(row + i)];
            }
            gradients.push_back(dot(&gradient[static_cast<size_t>(row)], &v[at]));
            mean += weight * gradients.back();
          }
          for (int64_t j = first; j <= t; ++j) {
            const double ds =
                weights[static_cast<size_t>(j - first)] * (gradients[static_cast<size_t>(j - first)] - mean) * scale;
            const size_t at = static_cast<size_t>(j * p.kvWidth() + kvColumn);
            for (int64_t i = 0; i < dim; ++i) {
              dq[static_cast<size_t>(row + i)] += ds * k[at + static_cast<size_t>(i)];
              dk[at + static_cast<size_t>(i)] += ds * q[static_cast<size_t>(row + i)];
            }
          }
        }
      }
    }
  }
  explicit Reference(const Problem& p) : Reference(p, toDoubles(p.q), toDoubles(p.k), toDoubles(p.v)) {}

  Doubles out, lse, dq, dk, dv;
};

struct Result {
  std::vector<float> out, lse, dq, dk, dv;
};

Result compute(Backend& backend, const Problem& p, int64_t padding) {
  DeviceMatrix q(backend, p.tokens, p.qWidth(), padding, p.q);
  DeviceMatrix k(backend, p.tokens, p.kvWidth(), padding, p.k), v(backend, p.tokens, p.kvWidth(), padding, p.v);
  DeviceMatrix out(backend, p.tokens, p.qWidth(), padding, kPoison),
      dout(backend, p.tokens, p.qWidth(), padding, p.dout);
  DeviceFloats lse(backend, p.tokens * p.shape.heads, kPoison), delta(backend, p.tokens * p.shape.heads, kPoison);
  DeviceMatrix dq(backend, p.tokens, p.qWidth(), padding, kPoison);
  DeviceMatrix dk(backend, p.tokens, p.kvWidth(), padding, kPoison),
      dv(backend, p.tokens, p.kvWidth(), padding, kPoison);
  backend.attentionForward(p.shape, p.cu, q.ptr(), q.ld(), k.ptr(), v.ptr(), k.ld(), out.ptr(), out.ld(), lse.ptr());
  backend.attentionBackward(p.shape, p.cu, q.ptr(), q.ld(), k.ptr(), v.ptr(), k.ld(), out.ptr(), dout.ptr(), out.ld(),
                            lse.ptr(), delta.ptr(), dq.ptr(), dq.ld(), dk.ptr(), dv.ptr(), dk.ld());
  return {out.read(), lse.read(), dq.read(), dk.read(), dv.read()};
}

void expectSame(const Result& a, const Result& b, const std::string& what) {
  expectSameBytes(a.out, b.out, what + ", out");
  expectSameBytes(a.lse, b.lse, what + ", lse");
  expectSameBytes(a.dq, b.dq, what + ", dq");
  expectSameBytes(a.dk, b.dk, what + ", dk");
  expectSameBytes(a.dv, b.dv, what + ", dv");
}

class AttentionTest : public OpTest {};

TEST(AttentionReference, AgreesWithFiniteDifferences) {
  const Problem p({"", 2, 1, 3, 3, {4, 2}});
  const Reference reference(p);
  const Doubles inputs[3] = {toDoubles(p.q), toDoubles(p.k), toDoubles(p.v)};
  const Doubles* gradients[3] = {&reference.dq, &reference.dk, &reference.dv};
  for (int which = 0; which < 3; ++which) {
    for (size_t i = 0; i < inputs[which].size(); ++i) {
      double loss[2];
      for (int side = 0; side < 2; ++side) {
        Doubles moved[3] = {inputs[0], inputs[1], inputs[2]};
        moved[which][i] += side == 0 ? -1e-5 : 1e-5;
        const Reference at(p, moved[0], moved[1], moved[2]);
        loss[side] = 0;
        for (size_t j = 0; j < at.out.size(); ++j) loss[side] += at.out[j] * static_cast<double>(p.dout[j]);
      }
      EXPECT_NEAR((loss[1] - loss[0]) / 2e-5, (*gradients[which])[i], 1e-8);
    }
  }
}

TEST_P(AttentionTest, MatchesTheReference) {
  for (const AttentionCase& c : attentionCases()) {
    const Problem p(c);
    const Reference reference(p);
    const Result result = compute(backend(), p, 5);
    const double sharp = static_cast<double>(c.spread);  // rounding of a score is relative to its size
    expectClose(result.out, reference.out, 2e-6 * sharp, std::string(c.name) + ", out");
    expectClose(result.lse, reference.lse, 1e-6, std::string(c.name) + ", lse");
    expectClose(result.dq, reference.dq, 1e-5 * sharp, std::string(c.name) + ", dq", 0.05);
    expectClose(result.dk, reference.dk, 1e-5 * sharp, std::string(c.name) + ", dk", 0.05);
    expectClose(result.dv, reference.dv, 1e-5 * sharp, std::string(c.name) + ", dv", 0.05);
  }
}

TEST_P(AttentionTest, WorksInStackedBuffers) {
  const Problem p({"", 4, 2, 16, 0, {37, 70}});
  const int64_t width = p.qWidth() + 2 * p.kvWidth();
  std::vector<float> stacked;
  for (int64_t t = 0; t < p.tokens; ++t) {
    stacked.insert(stacked.end(), p.q.begin() + t * p.qWidth(), p.q.begin() + (t + 1) * p.qWidth());
    stacked.insert(stacked.end(), p.k.begin() + t * p.kvWidth(), p.k.begin() + (t + 1) * p.kvWidth());
    stacked.insert(stacked.end(), p.v.begin() + t * p.kvWidth(), p.v.begin() + (t + 1) * p.kvWidth());
  }
  DeviceFloats qkv(backend(), stacked), dqkv(backend(), p.tokens * width, kPoison);
  DeviceFloats out(backend(), p.tokens * p.qWidth(), kPoison), dout(backend(), p.dout);
  DeviceFloats lse(backend(), p.tokens * p.shape.heads, kPoison), delta(backend(), p.tokens * p.shape.heads, kPoison);
  const int64_t kAt = p.qWidth(), vAt = kAt + p.kvWidth();
  backend().attentionForward(p.shape, p.cu, qkv.ptr(), width, qkv.ptr() + kAt, qkv.ptr() + vAt, width, out.ptr(),
                             p.qWidth(), lse.ptr());
  backend().attentionBackward(p.shape, p.cu, qkv.ptr(), width, qkv.ptr() + kAt, qkv.ptr() + vAt, width, out.ptr(),
                              dout.ptr(), p.qWidth(), lse.ptr(), delta.ptr(), dqkv.ptr(), width, dqkv.ptr() + kAt,
                              dqkv.ptr() + vAt, width);
  const Result apart = compute(backend(), p, 0);
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
    const Problem together({"", 4, 2, 32, window, {70, 1, 203}});
    const Result all = compute(backend(), together, 3);
    for (size_t document = 0; document + 1 < together.cu.size(); ++document) {
      const int64_t begin = together.cu[document], length = together.cu[document + 1] - begin;
      Problem alone({"", 4, 2, 32, window, {static_cast<int32_t>(length)}});
      const auto part = [&](const std::vector<float>& from, int64_t width) {
        return std::vector<float>(from.begin() + begin * width, from.begin() + (begin + length) * width);
      };
      alone.q = part(together.q, together.qWidth());
      alone.k = part(together.k, together.kvWidth());
      alone.v = part(together.v, together.kvWidth());
      alone.dout = part(together.dout, together.qWidth());
      const Result one = compute(backend(), alone, 0);
      expectSameBytes(one.out, part(all.out, together.qWidth()), "out");
      expectSameBytes(one.dq, part(all.dq, together.qWidth()), "dq");
      expectSameBytes(one.dk, part(all.dk, together.kvWidth()), "dk");
      expectSameBytes(one.dv, part(all.dv, together.kvWidth()), "dv");
    }
  }
}

TEST_P(AttentionTest, RowsDoNotKnowWhatFollows) {
  const Problem longer({"", 3, 1, 64, 0, {150}});
  const Result whole = compute(backend(), longer, 0);
  for (const int32_t length : {1, 31, 64, 97}) {
    Problem shorter({"", 3, 1, 64, 0, {length}});
    shorter.q.assign(longer.q.begin(), longer.q.begin() + length * longer.qWidth());
    shorter.k.assign(longer.k.begin(), longer.k.begin() + length * longer.kvWidth());
    shorter.v.assign(longer.v.begin(), longer.v.begin() + length * longer.kvWidth());
    const Result start = compute(backend(), shorter, 0);
    expectSameBytes(start.out, std::vector<float>(whole.out.begin(), whole.out.begin() + length * longer.qWidth()),
                    "out");
  }
}

// --- paged cache ------------------------------------------------------------------------------------------------------

// Sequences stored in pages in a scattered order; everything that was not stored is NaN.
class Cache {
 public:
  Cache(Backend& backend, const Problem& p) : backend_(backend), p_(p), pageFloats_(2 * kKvPageTokens * p.kvWidth()) {
    int32_t pages = 0;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) pages += (p.cu[s + 1] - p.cu[s] + kKvPageTokens - 1) / kKvPageTokens;
    int32_t next = 0;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) {
      tableOf_.push_back(static_cast<int32_t>(table_.size()));
      for (int32_t t = p.cu[s]; t < p.cu[s + 1]; t += kKvPageTokens) table_.push_back(pages - 1 - next++);
    }
    pool_ = std::make_unique<DeviceFloats>(backend, pages * pageFloats_, kPoison);
    std::vector<int32_t> rowPages, rowSlots;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) {
      for (int32_t t = 0; t < p.cu[s + 1] - p.cu[s]; ++t) {
        rowPages.push_back(table_[static_cast<size_t>(tableOf_[s] + t / kKvPageTokens)]);
        rowSlots.push_back(t % kKvPageTokens);
      }
    }
    DeviceMatrix k(backend, p.tokens, p.kvWidth(), 3, p.k), v(backend, p.tokens, p.kvWidth(), 3, p.v);
    DeviceArray<int32_t> pagesOnDevice(backend, rowPages), slotsOnDevice(backend, rowSlots);
    backend.kvStore(p.shape, k.ptr(), v.ptr(), k.ld(), p.tokens, pagesOnDevice.ptr(), slotsOnDevice.ptr(),
                    pool_->ptr());
    backend.synchronize();
  }

  // Rows given as (sequence, position); the result has a row of heads for each.
  std::vector<float> attend(const std::vector<std::pair<int32_t, int32_t>>& rows, int64_t padding = 0) const {
    std::vector<float> q;
    std::vector<int32_t> positions, tables;
    for (const auto& [sequence, position] : rows) {
      const auto at = p_.q.begin() + (p_.cu[static_cast<size_t>(sequence)] + position) * p_.qWidth();
      q.insert(q.end(), at, at + p_.qWidth());
      positions.push_back(position);
      tables.push_back(tableOf_[static_cast<size_t>(sequence)]);
    }
    const int64_t n = static_cast<int64_t>(rows.size());
    DeviceMatrix queries(backend_, n, p_.qWidth(), padding, q), out(backend_, n, p_.qWidth(), padding, kPoison);
    DeviceArray<int32_t> positionsOnDevice(backend_, positions), tablesOnDevice(backend_, tables),
        pages(backend_, table_);
    backend_.attentionCached(p_.shape, queries.ptr(), queries.ld(), n, positionsOnDevice.ptr(), tablesOnDevice.ptr(),
                             pages.ptr(), *std::max_element(positions.begin(), positions.end()), pool_->ptr(),
                             out.ptr(), out.ld());
    return out.read();
  }

 private:
  Backend& backend_;
  const Problem& p_;
  int64_t pageFloats_;
  std::vector<int32_t> table_, tableOf_;
  std::unique_ptr<DeviceFloats> pool_;
};

TEST_P(AttentionTest, CachedEqualsForward) {
  for (const AttentionCase& c : attentionCases()) {
    const Problem p(c);
    const Cache cache(backend(), p);
    std::vector<std::pair<int32_t, int32_t>> rows;
    for (size_t s = 0; s < c.lengths.size(); ++s) {
      for (int32_t t = 0; t < c.lengths[s]; ++t) rows.emplace_back(static_cast<int32_t>(s), t);
    }
    const std::vector<float> out = cache.attend(rows, 7);
    const double sharp = static_cast<double>(c.spread);
    expectClose(out, Reference(p).out, 2e-6 * sharp, std::string(c.name) + ", reference");
    expectClose(out, toDoubles(compute(backend(), p, 0).out), 2e-6 * sharp, std::string(c.name) + ", forward");
  }
}

TEST_P(AttentionTest, CachedRowsDoNotKnowEachOther) {
  for (const AttentionCase& c :
       {AttentionCase{"", 4, 1, 64, 0, {150, 77}}, AttentionCase{"", 3, 1, 20, 9, {150, 77}},
        AttentionCase{"", 2, 2, 256, 33, {101, 5}}, AttentionCase{"", 7, 1, 36, 0, {90, 40}}}) {
    const Problem p(c);
    const Cache cache(backend(), p);
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

TEST(AttentionThreads, DoNotChangeBits) {
  for (const std::string& isa : availableIsas()) {
    for (const AttentionCase& c :
         {AttentionCase{"", 4, 2, 64, 0, {130, 1, 257}}, AttentionCase{"", 4, 1, 256, 50, {100, 90}}}) {
      const Problem p(c);
      const auto one = createCpuBackend(1, isa);
      const Result expected = compute(*one, p, 0);
      for (const int threads : {2, 3, 8}) {
        const auto many = createCpuBackend(threads, isa);
        for (int repeat = 0; repeat < 3; ++repeat)
          expectSame(compute(*many, p, 0), expected, isa + " " + std::to_string(threads));
      }
    }
  }
}

TEST(AttentionShapes, RefusesWhatItCannotHold) {
  const auto backend = createCpuBackend(1);
  const std::vector<int32_t> cu = {0, 1};
  DeviceFloats memory(*backend, 4096, 0.0f);
  for (const AttentionShape& shape :
       {AttentionShape{3, 2, 8, 1, 0}, AttentionShape{1, 1, 1000, 1, 0}, AttentionShape{1, 1, 0, 1, 0}}) {
    try {
      backend->attentionForward(shape, cu, memory.ptr(), 1, memory.ptr(), memory.ptr(), 1, memory.ptr(), 1,
                                memory.ptr());
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  }
}

}  // namespace
}  // namespace mlit::test
