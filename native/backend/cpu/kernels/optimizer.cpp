// AdamW reads and writes four arrays once: memory is its only cost, so everything is fused into one pass.
#include "backend/cpu/kernels/optimizer.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

double sumSquares(const float* x, int64_t n) {
  const hn::Rebind<double, hn::Half<FloatTag>> doubles;
  const hn::Half<FloatTag> half;
  constexpr int64_t kHalf = kLanes / 2;
  auto s0 = hn::Zero(doubles), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kHalf <= n; i += 4 * kHalf) {
    const auto a = hn::PromoteTo(doubles, hn::LoadU(half, x + i));
    const auto b = hn::PromoteTo(doubles, hn::LoadU(half, x + i + kHalf));
    const auto c = hn::PromoteTo(doubles, hn::LoadU(half, x + i + 2 * kHalf));
    const auto e = hn::PromoteTo(doubles, hn::LoadU(half, x + i + 3 * kHalf));
    s0 = hn::MulAdd(a, a, s0);
    s1 = hn::MulAdd(b, b, s1);
    s2 = hn::MulAdd(c, c, s2);
    s3 = hn::MulAdd(e, e, s3);
  }
  double sum = hn::GetLane(hn::SumOfLanes(doubles, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

void adamW(float* parameters, const float* gradients, float* m, float* v, int64_t n, const AdamWFactors& factors) {
  const AdamWFactors f = factors;
  struct Updated {
    Floats p, m, v;
  };
  const auto update = [&f](Floats p, Floats gradient, Floats first, Floats second) {
    const Floats g = hn::Mul(gradient, set(f.gradient));
    const Floats newFirst = hn::MulAdd(g, set(f.oneMinusBeta1), hn::Mul(first, set(f.beta1)));
    const Floats newSecond = hn::MulAdd(hn::Mul(g, g), set(f.oneMinusBeta2), hn::Mul(second, set(f.beta2)));
    const Floats root = hn::MulAdd(hn::Sqrt(newSecond), set(f.inverseRootBias2), set(f.epsilon));
    const Floats step = hn::Div(hn::Mul(newFirst, set(f.stepSize)), root);
    return Updated{hn::MulSub(p, set(f.keep), step), newFirst, newSecond};
  };
  forVectors(
      n,
      [&](int64_t i) {
        const Updated u = update(load(parameters + i), load(gradients + i), load(m + i), load(v + i));
        store(u.p, parameters + i);
        store(u.m, m + i);
        store(u.v, v + i);
      },
      [&](int64_t i, int64_t left) {
        const Updated u = update(loadFirst(parameters + i, left), loadFirst(gradients + i, left),
                                 loadFirst(m + i, left), loadFirst(v + i, left));
        storeFirst(u.p, parameters + i, left);
        storeFirst(u.m, m + i, left);
        storeFirst(u.v, v + i, left);
      });
}

}  // namespace

const OptimizerKernels optimizerKernels = {sumSquares, adamW};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
