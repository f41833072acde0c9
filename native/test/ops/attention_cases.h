// Cases of attention as every backend takes them: packed documents and a paged cache, with the calls that compute them.
#pragma once

#include <memory>
#include <utility>

#include "test/op_support.h"
#include "test/ops/attention_reference.h"

namespace mlit::test {

struct AttentionCase {
  const char* name;
  int32_t heads;
  int32_t kvHeads;
  int32_t dim;
  int32_t window;
  std::vector<int32_t> lengths;
  float spread = 1;  // of q: larger means sharper distributions
};

inline std::vector<AttentionCase> attentionCases() {
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
  explicit Problem(const AttentionCase& c, ElementType type, uint64_t seed = 1)
      : packed{c.lengths, {c.heads, c.kvHeads, c.dim, 1.0f / std::sqrt(static_cast<float>(c.dim)), c.window}},
        cu(packed.cuSeqlens()),
        tokens(packed.rows()),
        q(rounded(type, scaled(randomFloats(tokens * qWidth(), seed), c.spread))),
        k(rounded(type, randomFloats(tokens * kvWidth(), seed + 1))),
        v(rounded(type, randomFloats(tokens * kvWidth(), seed + 2))),
        dout(rounded(type, randomFloats(tokens * qWidth(), seed + 3))) {}
  int64_t qWidth() const { return packed.queryWidth(); }
  int64_t kvWidth() const { return packed.keyWidth(); }
  const AttentionShape& shape() const { return packed.shape; }

  PackedCase packed;
  std::vector<int32_t> cu;
  int64_t tokens;
  std::vector<float> q, k, v, dout;
};

struct AttentionResult {
  std::vector<float> out, lse, dq, dk, dv;
};

inline AttentionResult computeAttention(Backend& backend, const Problem& p, int64_t padding) {
  RealMatrix q(backend, p.tokens, p.qWidth(), padding, p.q);
  RealMatrix k(backend, p.tokens, p.kvWidth(), padding, p.k), v(backend, p.tokens, p.kvWidth(), padding, p.v);
  RealMatrix out(backend, p.tokens, p.qWidth(), padding, kPoison), dout(backend, p.tokens, p.qWidth(), padding, p.dout);
  const int64_t heads = p.tokens * p.shape().heads;
  DeviceFloats lse(backend, heads, kPoison), delta(backend, heads, kPoison);
  RealMatrix dq(backend, p.tokens, p.qWidth(), padding, kPoison);
  RealMatrix dk(backend, p.tokens, p.kvWidth(), padding, kPoison), dv(backend, p.tokens, p.kvWidth(), padding, kPoison);
  backend.attentionForward(p.shape(), p.cu, q.ptr(), q.ld(), k.ptr(), v.ptr(), k.ld(), out.ptr(), out.ld(), lse.ptr());
  backend.attentionBackward(p.shape(), p.cu, q.ptr(), q.ld(), k.ptr(), v.ptr(), k.ld(), out.ptr(), dout.ptr(), out.ld(),
                            lse.ptr(), delta.ptr(), dq.ptr(), dq.ld(), dk.ptr(), dv.ptr(), dk.ld());
  return {out.read(), lse.read(), dq.read(), dk.read(), dv.read()};
}

// Sequences stored in pages in a scattered order; everything that was not stored is NaN.
class PagedCache {
 public:
  PagedCache(Backend& backend, const Problem& p)
      : backend_(backend), p_(p), pageFloats_(2 * kKvPageTokens * p.kvWidth()) {
    int32_t pages = 0;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) pages += (p.cu[s + 1] - p.cu[s] + kKvPageTokens - 1) / kKvPageTokens;
    int32_t next = 0;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) {
      tableOf_.push_back(static_cast<int32_t>(table_.size()));
      for (int32_t t = p.cu[s]; t < p.cu[s + 1]; t += kKvPageTokens) table_.push_back(pages - 1 - next++);
    }
    pool_ = std::make_unique<DeviceReals>(backend, pages * pageFloats_, kPoison);
    std::vector<int32_t> rowPages, rowSlots;
    for (size_t s = 0; s + 1 < p.cu.size(); ++s) {
      for (int32_t t = 0; t < p.cu[s + 1] - p.cu[s]; ++t) {
        rowPages.push_back(table_[static_cast<size_t>(tableOf_[s] + t / kKvPageTokens)]);
        rowSlots.push_back(t % kKvPageTokens);
      }
    }
    RealMatrix k(backend, p.tokens, p.kvWidth(), 3, p.k), v(backend, p.tokens, p.kvWidth(), 3, p.v);
    DeviceArray<int32_t> pagesOnDevice(backend, rowPages), slotsOnDevice(backend, rowSlots);
    backend.kvStore(p.shape(), k.ptr(), v.ptr(), k.ld(), p.tokens, pagesOnDevice.ptr(), slotsOnDevice.ptr(),
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
    RealMatrix queries(backend_, n, p_.qWidth(), padding, q), out(backend_, n, p_.qWidth(), padding, kPoison);
    DeviceArray<int32_t> positionsOnDevice(backend_, positions), tablesOnDevice(backend_, tables),
        pages(backend_, table_);
    backend_.attentionCached(p_.shape(), queries.ptr(), queries.ld(), n, positionsOnDevice.ptr(), tablesOnDevice.ptr(),
                             pages.ptr(), *std::max_element(positions.begin(), positions.end()), pool_->ptr(),
                             out.ptr(), out.ld());
    return out.read();
  }

 private:
  Backend& backend_;
  const Problem& p_;
  int64_t pageFloats_;
  std::vector<int32_t> table_, tableOf_;
  std::unique_ptr<DeviceReals> pool_;
};

}  // namespace mlit::test
