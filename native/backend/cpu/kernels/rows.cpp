// Norms, rotary embedding and gated activations, written once for every vector width: a few per cent of a step as
// long as they stream, a fifth of it when they do not.
#include "backend/cpu/kernels/rows.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

// sum of a[i] * b[i]: four chains of lanes, always the same ones, finished in double.
HWY_INLINE double dotProduct(const float* a, const float* b, int64_t n) {
  Floats s0 = hn::Zero(kF), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = hn::MulAdd(load(a + i), load(b + i), s0);
    s1 = hn::MulAdd(load(a + i + kLanes), load(b + i + kLanes), s1);
    s2 = hn::MulAdd(load(a + i + 2 * kLanes), load(b + i + 2 * kLanes), s2);
    s3 = hn::MulAdd(load(a + i + 3 * kLanes), load(b + i + 3 * kLanes), s3);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = hn::MulAdd(load(a + i), load(b + i), s0);
  if (i < n) s1 = hn::MulAdd(loadFirst(a + i, n - i), loadFirst(b + i, n - i), s1);
  return (sumLanesDouble(s0) + sumLanesDouble(s1)) + (sumLanesDouble(s2) + sumLanesDouble(s3));
}

// sum of a[i] * b[i] * c[i], in the same way.
HWY_INLINE double dotProduct3(const float* a, const float* b, const float* c, int64_t n) {
  Floats s0 = hn::Zero(kF), s1 = s0;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    s0 = hn::MulAdd(hn::Mul(load(a + i), load(b + i)), load(c + i), s0);
    s1 = hn::MulAdd(hn::Mul(load(a + i + kLanes), load(b + i + kLanes)), load(c + i + kLanes), s1);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = hn::MulAdd(hn::Mul(load(a + i), load(b + i)), load(c + i), s0);
  if (i < n) {
    const int64_t left = n - i;
    s1 = hn::MulAdd(hn::Mul(loadFirst(a + i, left), loadFirst(b + i, left)), loadFirst(c + i, left), s1);
  }
  return sumLanesDouble(s0) + sumLanesDouble(s1);
}

void rmsNormForward(const float* x, int64_t ldx, int64_t rows, int64_t heads, int64_t dim, const float* weight,
                    float eps, float* y, int64_t ldy, const float* addTo, float* invRms) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t head = 0; head < heads; ++head) {
      const float* in = x + r * ldx + head * dim;
      float* out = y + r * ldy + head * dim;
      const double mean = dotProduct(in, in, dim) / static_cast<double>(dim);
      const float inverse = static_cast<float>(1.0 / __builtin_sqrt(mean + static_cast<double>(eps)));
      if (invRms != nullptr) invRms[r * heads + head] = inverse;
      const Floats s = set(inverse);
      if (addTo != nullptr) {
        const float* base = addTo + r * ldy + head * dim;
        forVectors(
            dim,
            [&](int64_t i) { store(hn::MulAdd(hn::Mul(load(in + i), s), load(weight + i), load(base + i)), out + i); },
            [&](int64_t i, int64_t n) {
              storeFirst(hn::MulAdd(hn::Mul(loadFirst(in + i, n), s), loadFirst(weight + i, n), loadFirst(base + i, n)),
                         out + i, n);
            });
      } else {
        forVectors(
            dim, [&](int64_t i) { store(hn::Mul(hn::Mul(load(in + i), s), load(weight + i)), out + i); },
            [&](int64_t i, int64_t n) {
              storeFirst(hn::Mul(hn::Mul(loadFirst(in + i, n), s), loadFirst(weight + i, n)), out + i, n);
            });
      }
    }
  }
}

// With g = dy * weight and s = 1 / rms: dx = s * (g - x * s² * mean(g · x)).
void rmsNormBackward(const float* dy, int64_t lddy, const float* x, int64_t ldx, int64_t rows, int64_t heads,
                     int64_t dim, const float* weight, const float* invRms, float* dx, int64_t lddx, bool accumulate) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t head = 0; head < heads; ++head) {
      const float* in = x + r * ldx + head * dim;
      const float* grad = dy + r * lddy + head * dim;
      float* out = dx + r * lddx + head * dim;
      const double inverse = static_cast<double>(invRms[r * heads + head]);
      const double mean = dotProduct3(grad, weight, in, dim) / static_cast<double>(dim);
      const Floats s = set(static_cast<float>(inverse));
      const Floats c = set(static_cast<float>(inverse * inverse * inverse * mean));
      const auto gradient = [&](Floats g, Floats w, Floats v) {
        return hn::NegMulAdd(v, c, hn::Mul(hn::Mul(g, w), s));
      };
      if (accumulate) {
        forVectors(
            dim,
            [&](int64_t i) {
              store(hn::Add(load(out + i), gradient(load(grad + i), load(weight + i), load(in + i))), out + i);
            },
            [&](int64_t i, int64_t n) {
              const Floats g = gradient(loadFirst(grad + i, n), loadFirst(weight + i, n), loadFirst(in + i, n));
              storeFirst(hn::Add(loadFirst(out + i, n), g), out + i, n);
            });
      } else {
        forVectors(
            dim, [&](int64_t i) { store(gradient(load(grad + i), load(weight + i), load(in + i)), out + i); },
            [&](int64_t i, int64_t n) {
              storeFirst(gradient(loadFirst(grad + i, n), loadFirst(weight + i, n), loadFirst(in + i, n)), out + i, n);
            });
      }
    }
  }
}

// sums[column] += term(row, column) over rows, a vector of columns at a time, down blocks of kBlock rows in registers: one
// chain over all rows of a long batch would lose more than the blocks' sums do. term(row, column, total, read).
template <class Term>
HWY_INLINE void sumDown(int64_t rows, int64_t columns, float* sums, const Term& term) {
  constexpr int64_t kBlock = 128;
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t end = first + kBlock < rows ? first + kBlock : rows;
    const auto sum = [&](int64_t column, const auto& read) {
      Floats total = hn::Zero(kF);
      for (int64_t r = first; r < end; ++r) total = term(r, column, total, read);
      return hn::Add(read(sums + column), total);
    };
    forVectors(
        columns, [&](int64_t i) { store(sum(i, [](const float* from) { return load(from); }), sums + i); },
        [&](int64_t i, int64_t n) {
          storeFirst(sum(i, [n](const float* from) { return loadFirst(from, n); }), sums + i, n);
        });
  }
}

void rmsNormWeightGradient(const float* dy, int64_t lddy, const float* x, int64_t ldx, int64_t rows, int64_t heads,
                           int64_t dim, const float* invRms, int64_t columns, float* dWeight) {
  sumDown(rows, columns, dWeight, [&](int64_t r, int64_t column, Floats total, const auto& read) {
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t at = head * dim + column;
      const Floats normed = hn::Mul(read(x + r * ldx + at), set(invRms[r * heads + head]));
      total = hn::MulAdd(read(dy + r * lddy + at), normed, total);
    }
    return total;
  });
}

void columnSums(const float* x, int64_t ldx, int64_t rows, int64_t columns, float* sums) {
  sumDown(rows, columns, sums, [&](int64_t r, int64_t column, Floats total, const auto& read) {
    return hn::Add(total, read(x + r * ldx + column));
  });
}

void rope(float* x, int64_t ld, int64_t rows, int64_t heads, int64_t dim, const int32_t* positions, const float* table,
          float direction) {
  const int64_t half = dim / 2;
  const Floats sign = set(direction);
  for (int64_t r = 0; r < rows; ++r) {
    const float* cosines = table + static_cast<int64_t>(positions[r]) * dim;
    const float* sines = cosines + half;
    for (int64_t head = 0; head < heads; ++head) {
      float* a = x + r * ld + head * dim;
      float* b = a + half;
      forVectors(
          half,
          [&](int64_t i) {
            const Floats c = load(cosines + i), s = hn::Mul(load(sines + i), sign), u = load(a + i), v = load(b + i);
            store(hn::NegMulAdd(v, s, hn::Mul(u, c)), a + i);
            store(hn::MulAdd(u, s, hn::Mul(v, c)), b + i);
          },
          [&](int64_t i, int64_t n) {
            const Floats c = loadFirst(cosines + i, n), s = hn::Mul(loadFirst(sines + i, n), sign);
            const Floats u = loadFirst(a + i, n), v = loadFirst(b + i, n);
            storeFirst(hn::NegMulAdd(v, s, hn::Mul(u, c)), a + i, n);
            storeFirst(hn::MulAdd(u, s, hn::Mul(v, c)), b + i, n);
          });
    }
  }
}

// Both activations are x * sigmoid(w(x)): SiLU with w = x, and GELU's tanh form with w = 2·√(2/π)·(x + 0.044715 x³),
// since (1 + tanh t) / 2 = sigmoid(2t). Their derivative is s + x·s·(1 - s)·w'(x).
struct Silu {
  static HWY_INLINE Floats inner(Floats x) { return x; }
  static HWY_INLINE Floats slope(Floats) { return set(1.0f); }
};

struct GeluTanh {
  static constexpr float kA = 1.5957691216057308f;   // 2·√(2/π)
  static constexpr float kB = 0.07135481627260025f;  // kA · 0.044715
  static HWY_INLINE Floats inner(Floats x) { return hn::Mul(x, hn::MulAdd(hn::Mul(x, x), set(kB), set(kA))); }
  static HWY_INLINE Floats slope(Floats x) { return hn::MulAdd(hn::Mul(x, x), set(3.0f * kB), set(kA)); }
};

template <class Act>
void gatedForwardOf(const float* gateUp, int64_t rows, int64_t f, float* h) {
  const auto value = [](Floats g, Floats u) { return hn::Mul(hn::Mul(g, sigmoidOf(Act::inner(g))), u); };
  for (int64_t r = 0; r < rows; ++r) {
    const float* gate = gateUp + r * 2 * f;
    const float* up = gate + f;
    float* out = h + r * f;
    forVectors(
        f, [&](int64_t i) { store(value(load(gate + i), load(up + i)), out + i); },
        [&](int64_t i, int64_t n) { storeFirst(value(loadFirst(gate + i, n), loadFirst(up + i, n)), out + i, n); });
  }
}

template <class Act, bool kKeepsProduct>
void gatedBackwardOf(float* gateUp, int64_t rows, int64_t f, const float* dh, float* h) {
  struct Parts {
    Floats product, dGate, dUp;
  };
  const auto parts = [](Floats g, Floats u, Floats d) {
    const Floats s = sigmoidOf(Act::inner(g));
    const Floats a = hn::Mul(g, s);
    const Floats slope = hn::MulAdd(hn::Mul(a, hn::Sub(set(1.0f), s)), Act::slope(g), s);
    return Parts{hn::Mul(a, u), hn::Mul(hn::Mul(d, u), slope), hn::Mul(d, a)};
  };
  for (int64_t r = 0; r < rows; ++r) {
    float* gate = gateUp + r * 2 * f;
    float* up = gate + f;
    const float* grad = dh + r * f;
    [[maybe_unused]] float* out = h + r * f;
    forVectors(
        f,
        [&](int64_t i) {
          const Parts p = parts(load(gate + i), load(up + i), load(grad + i));
          store(p.dGate, gate + i);
          store(p.dUp, up + i);
          if constexpr (kKeepsProduct) store(p.product, out + i);
        },
        [&](int64_t i, int64_t n) {
          const Parts p = parts(loadFirst(gate + i, n), loadFirst(up + i, n), loadFirst(grad + i, n));
          storeFirst(p.dGate, gate + i, n);
          storeFirst(p.dUp, up + i, n);
          if constexpr (kKeepsProduct) storeFirst(p.product, out + i, n);
        });
  }
}

void gatedForward(GatedKind kind, const float* gateUp, int64_t rows, int64_t f, float* h) {
  if (kind == GatedKind::kSilu) {
    gatedForwardOf<Silu>(gateUp, rows, f, h);
  } else {
    gatedForwardOf<GeluTanh>(gateUp, rows, f, h);
  }
}

template <class Act>
void gatedBackwardAny(float* gateUp, int64_t rows, int64_t f, const float* dh, float* h) {
  if (h != nullptr) {
    gatedBackwardOf<Act, true>(gateUp, rows, f, dh, h);
  } else {
    gatedBackwardOf<Act, false>(gateUp, rows, f, dh, gateUp);
  }
}

void gatedBackward(GatedKind kind, float* gateUp, int64_t rows, int64_t f, const float* dh, float* h) {
  if (kind == GatedKind::kSilu) {
    gatedBackwardAny<Silu>(gateUp, rows, f, dh, h);
  } else {
    gatedBackwardAny<GeluTanh>(gateUp, rows, f, dh, h);
  }
}

void add(float* y, const float* x, int64_t n) {
  forVectors(
      n, [&](int64_t i) { store(hn::Add(load(y + i), load(x + i)), y + i); },
      [&](int64_t i, int64_t left) {
        storeFirst(hn::Add(loadFirst(y + i, left), loadFirst(x + i, left)), y + i, left);
      });
}

void scale(float* y, float factor, int64_t n) {
  const Floats s = set(factor);
  forVectors(
      n, [&](int64_t i) { store(hn::Mul(load(y + i), s), y + i); },
      [&](int64_t i, int64_t left) { storeFirst(hn::Mul(loadFirst(y + i, left), s), y + i, left); });
}

void addScaled(float* y, const float* x, float factor, int64_t n) {
  const Floats s = set(factor);
  forVectors(
      n, [&](int64_t i) { store(hn::MulAdd(load(x + i), s, load(y + i)), y + i); },
      [&](int64_t i, int64_t left) {
        storeFirst(hn::MulAdd(loadFirst(x + i, left), s, loadFirst(y + i, left)), y + i, left);
      });
}

}  // namespace

const RowKernels rowKernels = {rmsNormForward, rmsNormBackward, rmsNormWeightGradient, columnSums,
                               rope,           gatedForward,    gatedBackward,         add,
                               scale,          addScaled};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
