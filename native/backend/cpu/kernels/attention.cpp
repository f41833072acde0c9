// Flash-style attention (Dao et al., 2022) on one core: keys in blocks, softmax online, probabilities never stored.
// Blocks of keys lie at absolute places in a document, and a masked key adds an exact zero, so a row's bits depend on
// its own query and keys only.
#include "backend/cpu/kernels/attention.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/attention_pack.h"
#include "backend/cpu/kernels/attention_tiles.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kRows = kAttentionTileRows;
constexpr int64_t kKeys = kAttentionBlock;
constexpr int64_t kPageTokens = 32;
constexpr float kNoMaximum = -1e30f;  // finite: its distance to any maximum is a number
constexpr float kMinusInfinity = -__builtin_inff();

HWY_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
HWY_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// A range of keys, relative to the block in hand.
struct Span {
  int64_t begin, end;
  bool empty() const { return end <= begin; }
};

// Keys of the block at keyBegin (count of them) that a query at tokens [first, last] may see.
HWY_INLINE Span visible(int64_t first, int64_t last, int64_t window, int64_t keyBegin, int64_t count) {
  const int64_t begin = window > 0 ? larger(0, first - window + 1 - keyBegin) : 0;
  return {begin, smaller(count, last + 1 - keyBegin)};
}

HWY_INLINE Span widened(Span s) { return {s.begin / kGranule * kGranule, roundUp(s.end, kGranule)}; }

HWY_INLINE FloatMask insideOf(Span s, int64_t at) {
  const Floats index = hn::Iota(kF, static_cast<float>(at));
  return hn::And(hn::Ge(index, set(static_cast<float>(s.begin))), hn::Lt(index, set(static_cast<float>(s.end))));
}

HWY_INLINE Floats scoreAt(const float* s, int64_t at, Span keys) {
  const Floats v = load(s + at);
  if (keys.begin <= at && at + kLanes <= keys.end) return v;
  return hn::IfThenElse(insideOf(keys, at), v, set(kMinusInfinity));
}

// One row's step of the online softmax: scores become exp(score - maximum), masked ones 0; maximum and sum move on, and
// the factor for what was accumulated under the old maximum comes back.
HWY_INLINE float softmaxStep(float* s, Span keys, Span wide, float* maximum, float* sum) {
  Floats m = set(kNoMaximum);
  for (int64_t c = wide.begin; c < wide.end; c += kLanes) m = hn::Max(scoreAt(s, c, keys), m);
  const float before = *maximum;
  const float blockMaximum = maxLanes(m);
  const float now = blockMaximum > before ? blockMaximum : before;
  const Floats reference = set(now);
  Floats total = hn::Zero(kF);
  for (int64_t c = wide.begin; c < wide.end; c += kLanes) {
    const Floats e = expOf(hn::Sub(scoreAt(s, c, keys), reference));
    store(e, s + c);
    total = hn::Add(total, e);
  }
  const float factor = now == before ? 1.0f : hn::GetLane(expOf(set(before - now)));
  *maximum = now;
  *sum = __builtin_fmaf(*sum, factor, sumLanes(total));
  return factor;
}

// The running state of a tile of rows.
struct Tile {
  float* q;        // [kRows][ld], scaled
  float* out;      // [kRows][ld]
  float* scores;   // [kRows][kKeys]
  float* maximum;  // [kRows]
  float* sum;
  float* factor;
  int64_t ld;
};

HWY_INLINE float* take(float*& scratch, int64_t floats) {
  float* at = scratch;
  scratch += roundUp(floats, kGranule);
  return at;
}

HWY_INLINE Tile makeTile(float*& scratch, int64_t ld) {
  Tile t;
  t.ld = ld;
  t.q = take(scratch, kRows * ld);
  t.out = take(scratch, kRows * ld);
  t.scores = take(scratch, kRows * kKeys);
  t.maximum = take(scratch, kRows);
  t.sum = take(scratch, kRows);
  t.factor = take(scratch, kRows);
  return t;
}

HWY_INLINE void startTile(const Tile& t, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    clearRow(t.out + r * t.ld, t.ld);
    t.maximum[r] = kNoMaximum;
    t.sum[r] = 0;
  }
}

// Scores of all rows against a block of keys, and their step of the softmax. What a row does not see becomes zero.
HWY_INLINE void scoreBlock(const Tile& t, int64_t firstRow, int64_t rows, int64_t group, int64_t window, const float* k,
                           int64_t ldk, int64_t keyBegin, int64_t keys, int64_t dim) {
  for (int64_t r = 0; r < rows; r += kDotRows) {
    const int64_t count = smaller(kDotRows, rows - r);
    const Span s = visible((firstRow + r) / group, (firstRow + r + count - 1) / group, window, keyBegin, keys);
    if (s.empty()) {
      for (int64_t i = r; i < r + count; ++i) {
        t.factor[i] = 1.0f;
        clearRow(t.scores + i * kKeys, kKeys);
      }
      continue;
    }
    dotRows(count, t.q + r * t.ld, t.ld, k, ldk, s.begin, s.end, keys, dim, t.scores + r * kKeys, kKeys);
    const Span wide = widened(s);
    for (int64_t i = r; i < r + count; ++i) {
      const int64_t token = (firstRow + i) / group;
      float* scores = t.scores + i * kKeys;
      t.factor[i] = softmaxStep(scores, visible(token, token, window, keyBegin, keys), wide, t.maximum + i, t.sum + i);
      clearRow(scores, wide.begin);
      clearRow(scores + wide.end, kKeys - wide.end);
    }
  }
}

// out = factor * out + p · v, slice by slice of the head's dimension, so that a slice of v stays in L1 for all rows.
HWY_INLINE void accumulateValues(const Tile& t, int64_t firstRow, int64_t rows, int64_t group, int64_t window,
                                 int64_t keyBegin, int64_t keys, const float* v, int64_t ldv, int64_t padded) {
  for (int64_t c = 0; c < padded; c += kTileColumns) {
    const int64_t width = smaller(kTileColumns, padded - c);
    for (int64_t r = 0; r < rows; r += kTileRows) {
      const int64_t count = smaller(kTileRows, rows - r);
      const Span s = visible((firstRow + r) / group, (firstRow + r + count - 1) / group, window, keyBegin, keys);
      if (s.empty()) continue;
      tileOf<TileMode::kScale>(count, width, t.scores + r * kKeys + s.begin, kKeys, 1, v + s.begin * ldv + c, ldv,
                               s.end - s.begin, t.out + r * t.ld + c, t.ld, t.factor + r);
    }
  }
}

HWY_INLINE void finishTile(const Tile& t, int64_t firstRow, int64_t rows, int64_t group, int64_t dim, float* out,
                           int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t token = (firstRow + r) / group, member = (firstRow + r) % group;
    unpackRow(t.out + r * t.ld, dim, 1.0f / t.sum[r], false, out + token * ldo + member * dim);
  }
}

void forward(const AttentionHead& h, int64_t firstRow, int64_t rows, float* out, int64_t ldo, float* lse, int64_t ldLse,
             float* scratch, const AttentionStop& stop) {
  const int64_t padded = roundUp(h.dim, kGranule), ld = padded + kGranule;  // an odd number of cache lines a row
  const Tile t = makeTile(scratch, ld);
  float* values = take(scratch, kKeys * ld);
  packHeadRows(h.q, h.ldq, h.group, h.dim, firstRow, rows, h.scale, t.q, ld);
  startTile(t, rows);

  const int64_t firstToken = firstRow / h.group, lastToken = (firstRow + rows - 1) / h.group;
  const int64_t firstKey = h.window > 0 ? larger(0, firstToken - h.window + 1) : 0;
  for (int64_t kb = firstKey / kKeys * kKeys; kb <= lastToken; kb += kKeys) {
    if (kb % kAttentionStopKeys == 0 && stop.asked(stop.of)) return;
    const int64_t keys = smaller(kKeys, lastToken + 1 - kb);
    for (int64_t j = 0; j < keys; ++j) packRow(h.v + (kb + j) * h.ldkv, h.dim, padded, 1.0f, values + j * ld);
    scoreBlock(t, firstRow, rows, h.group, h.window, h.k + kb * h.ldkv, h.ldkv, kb, keys, h.dim);
    accumulateValues(t, firstRow, rows, h.group, h.window, kb, keys, values, ld, padded);
  }

  finishTile(t, firstRow, rows, h.group, h.dim, out, ldo);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t token = (firstRow + r) / h.group, member = (firstRow + r) % h.group;
    lse[member * ldLse + token] = t.maximum[r] + __builtin_logf(t.sum[r]);
  }
}

void delta(const float* out, const float* dout, int64_t ldo, int64_t first, int64_t count, int64_t group, int64_t dim,
           float* result, int64_t ldDelta) {
  for (int64_t t = first; t < first + count; ++t) {
    for (int64_t head = 0; head < group; ++head) {
      const float* a = out + t * ldo + head * dim;
      const float* b = dout + t * ldo + head * dim;
      Floats s0 = hn::Zero(kF), s1 = s0;
      int64_t i = 0;
      for (; i + 2 * kLanes <= dim; i += 2 * kLanes) {
        s0 = hn::MulAdd(load(a + i), load(b + i), s0);
        s1 = hn::MulAdd(load(a + i + kLanes), load(b + i + kLanes), s1);
      }
      for (; i + kLanes <= dim; i += kLanes) s0 = hn::MulAdd(load(a + i), load(b + i), s0);
      if (i < dim) s1 = hn::MulAdd(loadFirst(a + i, dim - i), loadFirst(b + i, dim - i), s1);
      result[head * ldDelta + t] = sumLanes(hn::Add(s0, s1));
    }
  }
}

// p = exp(s - lse) and ds = p * (dp - delta) for one row; both zero outside of the keys it sees.
HWY_INLINE void probabilityRow(float* s, float* dp, Span keys, Span wide, float lse, float delta) {
  const Floats l = set(lse), d = set(delta);
  for (int64_t c = 0; c < kKeys; c += kLanes) {
    if (c < wide.begin || c >= wide.end) {
      store(hn::Zero(kF), s + c);
      store(hn::Zero(kF), dp + c);
      continue;
    }
    Floats p = expOf(hn::Sub(scoreAt(s, c, keys), l));
    Floats g = hn::Mul(p, hn::Sub(load(dp + c), d));
    if (!(keys.begin <= c && c + kLanes <= keys.end)) g = hn::IfThenElseZero(insideOf(keys, c), g);
    store(p, s + c);
    store(g, dp + c);
  }
}

// With P recomputed from lse: dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP - delta), dQ = scale·dS·K, dK = dSᵀ·(scale·Q).
void backward(const AttentionHead& h, int64_t queryBlock, int64_t keyBlock, const float* dout, int64_t ldo,
              const float* lse, const float* deltas, int64_t ldLse, float* dq, int64_t lddq, bool storeDq, float* dk,
              float* dv, int64_t lddkv, bool storeDkv, float* scratch) {
  const int64_t padded = roundUp(h.dim, kGranule), ld = padded + kGranule;
  const int64_t queryBegin = queryBlock * kKeys, keyBegin = keyBlock * kKeys;
  const int64_t keys = smaller(kKeys, h.length - keyBegin);
  const int64_t allRows = smaller(kKeys, h.length - queryBegin) * h.group;

  float* keyRows = take(scratch, kKeys * ld);
  float* gradKeys = take(scratch, kKeys * ld);
  float* gradValues = take(scratch, kKeys * ld);
  float* queries = take(scratch, kRows * ld);
  float* gradOut = take(scratch, kRows * ld);
  float* gradQueries = take(scratch, kRows * ld);
  float* p = take(scratch, kRows * kKeys);
  float* ds = take(scratch, kRows * kKeys);

  for (int64_t j = 0; j < keys; ++j) {
    packRow(h.k + (keyBegin + j) * h.ldkv, h.dim, padded, 1.0f, keyRows + j * ld);
    clearRow(gradKeys + j * ld, padded);
    clearRow(gradValues + j * ld, padded);
  }

  for (int64_t first = 0; first < allRows; first += kRows) {
    const int64_t rows = smaller(kRows, allRows - first);
    const int64_t firstRow = queryBegin * h.group + first;
    packHeadRows(h.q, h.ldq, h.group, h.dim, firstRow, rows, h.scale, queries, ld);
    packHeadRows(dout, ldo, h.group, h.dim, firstRow, rows, 1.0f, gradOut, ld);

    const auto spanOf = [&](int64_t r, int64_t count) {
      return visible((firstRow + r) / h.group, (firstRow + r + count - 1) / h.group, h.window, keyBegin, keys);
    };
    for (int64_t r = 0; r < rows; r += kDotRows) {
      const int64_t count = smaller(kDotRows, rows - r);
      const Span s = spanOf(r, count);
      Span wide = {0, 0};
      if (!s.empty()) {
        wide = widened(s);
        dotRows(count, queries + r * ld, ld, h.k + keyBegin * h.ldkv, h.ldkv, s.begin, s.end, keys, h.dim,
                p + r * kKeys, kKeys);
        dotRows(count, gradOut + r * ld, ld, h.v + keyBegin * h.ldkv, h.ldkv, s.begin, s.end, keys, h.dim,
                ds + r * kKeys, kKeys);
      }
      for (int64_t i = r; i < r + count; ++i) {
        const int64_t token = (firstRow + i) / h.group, member = (firstRow + i) % h.group;
        probabilityRow(p + i * kKeys, ds + i * kKeys, visible(token, token, h.window, keyBegin, keys), wide,
                       lse[member * ldLse + token], deltas[member * ldLse + token]);
      }
    }

    for (int64_t c = 0; c < padded; c += kTileColumns) {
      const int64_t width = smaller(kTileColumns, padded - c);
      for (int64_t r = 0; r < rows; r += kTileRows) {
        const int64_t count = smaller(kTileRows, rows - r);
        Span s = spanOf(r, count);
        if (s.empty()) s = {0, 0};
        tileOf<TileMode::kStore>(count, width, ds + r * kKeys + s.begin, kKeys, 1, keyRows + s.begin * ld + c, ld,
                                 s.end - s.begin, gradQueries + r * ld + c, ld, nullptr);
      }
      for (int64_t j = 0; j < keys; j += kTileRows) {
        const int64_t count = smaller(kTileRows, keys - j);
        // Rows whose token may see one of these keys.
        const int64_t begin = larger(0, (keyBegin + j) * h.group - firstRow);
        const int64_t end =
            h.window > 0 ? smaller(rows, (keyBegin + j + count - 1 + h.window) * h.group - firstRow) : rows;
        if (end <= begin) continue;
        tileOf<TileMode::kAdd>(count, width, p + begin * kKeys + j, 1, kKeys, gradOut + begin * ld + c, ld, end - begin,
                               gradValues + j * ld + c, ld, nullptr);
        tileOf<TileMode::kAdd>(count, width, ds + begin * kKeys + j, 1, kKeys, queries + begin * ld + c, ld,
                               end - begin, gradKeys + j * ld + c, ld, nullptr);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t token = (firstRow + r) / h.group, member = (firstRow + r) % h.group;
      unpackRow(gradQueries + r * ld, h.dim, h.scale, !storeDq, dq + token * lddq + member * h.dim);
    }
  }

  for (int64_t j = 0; j < keys; ++j) {
    unpackRow(gradKeys + j * ld, h.dim, 1.0f, !storeDkv, dk + (keyBegin + j) * lddkv);
    unpackRow(gradValues + j * ld, h.dim, 1.0f, !storeDkv, dv + (keyBegin + j) * lddkv);
  }
}

void cachedRows(const CachedHead& h, int64_t position, int64_t firstRow, int64_t rows, const float* q, int64_t ldq,
                float* out, int64_t ldo, float* scratch, const AttentionStop& stop) {
  const int64_t padded = roundUp(h.dim, kGranule), ld = padded + kGranule;
  const Tile t = makeTile(scratch, ld);
  float* packedValues = take(scratch, kPageTokens * ld);
  packHeadRows(q, ldq, h.group, h.dim, firstRow, rows, h.scale, t.q, ld);
  startTile(t, rows);

  // Tokens count from the start of the sequence here, as pages do.
  const int64_t absoluteRow = position * h.group + firstRow;
  const int64_t firstToken = absoluteRow / h.group, lastToken = (absoluteRow + rows - 1) / h.group;
  const int64_t firstKey = h.window > 0 ? larger(0, firstToken - h.window + 1) : 0;
  for (int64_t kb = firstKey / kPageTokens * kPageTokens; kb <= lastToken; kb += kPageTokens) {
    if (kb % kAttentionStopKeys == 0 && stop.asked(stop.of)) return;
    const int64_t keys = smaller(kPageTokens, lastToken + 1 - kb);
    const float* k = h.pool + static_cast<int64_t>(h.pageTable[kb / kPageTokens]) * h.pageFloats;
    const float* v = k + h.valuesOffset;
    int64_t ldv = h.ldkv;
    if (padded != h.dim) {
      for (int64_t j = 0; j < keys; ++j) packRow(v + j * h.ldkv, h.dim, padded, 1.0f, packedValues + j * ld);
      v = packedValues;
      ldv = ld;
    }
    scoreBlock(t, absoluteRow, rows, h.group, h.window, k, h.ldkv, kb, keys, h.dim);
    accumulateValues(t, absoluteRow, rows, h.group, h.window, kb, keys, v, ldv, padded);
  }
  finishTile(t, firstRow, rows, h.group, h.dim, out, ldo);
}

void cached(const CachedHead& h, int64_t position, int64_t tokens, const float* q, int64_t ldq, float* out, int64_t ldo,
            float* scratch, const AttentionStop& stop) {
  const int64_t all = tokens * h.group;
  for (int64_t first = 0; first < all; first += kRows) {
    cachedRows(h, position, first, smaller(kRows, all - first), q, ldq, out, ldo, scratch, stop);
  }
}

}  // namespace

const AttentionKernels attentionKernels = {forward, delta, backward, cached};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
