// Attention and its gradients in float64, as the formula is written: what every backend is held against.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace mlit::test {

struct PackedCase {
  std::vector<int32_t> lengths;
  AttentionShape shape;

  std::vector<int32_t> cuSeqlens() const {
    std::vector<int32_t> ends{0};
    for (const int32_t length : lengths) ends.push_back(ends.back() + length);
    return ends;
  }
  int64_t rows() const { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }
  int64_t queryWidth() const { return int64_t{shape.heads} * shape.headDim; }
  int64_t keyWidth() const { return int64_t{shape.kvHeads} * shape.headDim; }
};

// A sum, and the sum of its terms' magnitudes: what errors of rounding to bfloat16 are measured by. A term that is itself a
// difference has float32's errors besides: kFloatPart of what was subtracted.
inline constexpr double kFloatPart = 0x1p-12;
struct Sums {
  std::vector<double> value, magnitude;

  explicit Sums(size_t count) : value(count), magnitude(count) {}
  void add(size_t at, double term, double subtracted = 0) {
    value[at] += term;
    magnitude[at] += std::abs(term) + kFloatPart * std::abs(subtracted);
  }
};

// Every term of the sums has a factor that was rounded to bfloat16, at most half a unit (2^-8) off, and the sum is rounded once
// more. What float32 and the exponentials add is a thousandth of that.
inline void expectRounded(const std::vector<float>& got, const Sums& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.value.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    const double most = 1.01 * 0x1p-8 * (want.magnitude[i] + std::abs(want.value[i]));
    if (std::abs(got[i] - want.value[i]) <= most) continue;
    ADD_FAILURE() << what << " element " << i << ": got " << got[i] << ", expected " << want.value[i] << " within "
                  << most;
    return;
  }
}

// Rows without gaps: q, out, dout, dq [rows, heads * dim], k, v, dk, dv [rows, kvHeads * dim], lse [heads, rows].
struct AttentionValues {
  Sums out, dq, dk, dv;
  std::vector<double> lse;
};

// Without dout the forward pass alone. roundedOut: what the backward pass is given for out, where that is not what comes out here.
inline AttentionValues attentionReference(const PackedCase& c, const std::vector<float>& q, const std::vector<float>& k,
                                          const std::vector<float>& v, const std::vector<float>& dout,
                                          const std::vector<float>& roundedOut = {}) {
  const auto dim = static_cast<size_t>(c.shape.headDim), total = static_cast<size_t>(c.rows());
  const auto qWidth = static_cast<size_t>(c.queryWidth()), kWidth = static_cast<size_t>(c.keyWidth());
  AttentionValues r{Sums(q.size()), Sums(q.size()), Sums(k.size()), Sums(v.size()),
                    std::vector<double>(total * static_cast<size_t>(c.shape.heads))};
  const auto dot = [dim](const float* a, const float* b, bool magnitudes = false) {
    double sum = 0;
    for (size_t i = 0; i < dim; ++i) {
      const double term = static_cast<double>(a[i]) * b[i];
      sum += magnitudes ? std::abs(term) : term;
    }
    return sum;
  };
  size_t begin = 0;
  for (const int32_t length : c.lengths) {
    for (size_t head = 0; head < static_cast<size_t>(c.shape.heads); ++head) {
      const size_t kvHead = head / static_cast<size_t>(c.shape.heads / c.shape.kvHeads);
      for (size_t i = 0; i < static_cast<size_t>(length); ++i) {
        const size_t at = (begin + i) * qWidth + head * dim;
        const auto window = static_cast<size_t>(c.shape.window);
        const size_t first = window > 0 && i + 1 > window ? i + 1 - window : 0;
        const auto other = [&](size_t j) { return (begin + j) * kWidth + kvHead * dim; };
        std::vector<double> p;
        for (size_t j = first; j <= i; ++j) p.push_back(c.shape.scale * dot(&q[at], &k[other(j)]));
        const double top = *std::max_element(p.begin(), p.end());
        double sum = 0;
        for (const double score : p) sum += std::exp(score - top);
        const double lse = r.lse[head * total + begin + i] = top + std::log(sum);
        double delta = 0, deltaMagnitude = 0;
        for (size_t j = first; j <= i; ++j) {
          double& weight = p[j - first];
          weight = std::exp(weight - lse);
          for (size_t e = 0; e < dim; ++e) r.out.add(at + e, weight * v[other(j) + e]);
        }
        if (dout.empty()) continue;
        for (size_t e = at; e < at + dim; ++e) {
          const double part = (roundedOut.empty() ? r.out.value[e] : roundedOut[e]) * dout[e];
          delta += part, deltaMagnitude += std::abs(part);
        }
        for (size_t j = first; j <= i; ++j) {
          const double weight = p[j - first];
          const double d = c.shape.scale * weight * (dot(&dout[at], &v[other(j)]) - delta);
          const double apart = c.shape.scale * weight * (deltaMagnitude + dot(&dout[at], &v[other(j)], true));
          for (size_t e = 0; e < dim; ++e) {
            r.dv.add(other(j) + e, weight * dout[at + e]);
            r.dq.add(at + e, d * k[other(j) + e], apart * k[other(j) + e]);
            r.dk.add(other(j) + e, d * q[at + e], apart * q[at + e]);
          }
        }
      }
    }
    begin += static_cast<size_t>(length);
  }
  return r;
}

}  // namespace mlit::test
