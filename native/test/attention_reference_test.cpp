// The float64 reference of attention, which every backend is held against, against the differences of its own formula.
#include "test/ops/attention_cases.h"

namespace mlit::test {
namespace {

TEST(AttentionReference, AgreesWithFiniteDifferences) {
  Problem p({"", 4, 2, 3, 4, {3, 7}}, ElementType::kF32);
  const AttentionValues want = attentionReference(p.packed, p.q, p.k, p.v, p.dout);
  const auto loss = [&] {
    const Doubles out = attentionReference(p.packed, p.q, p.k, p.v, {}).out.value;
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * static_cast<double>(p.dout[i]);
    return sum;
  };
  const auto expectDifferences = [&](std::vector<float>& values, const Doubles& gradient) {
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
  expectDifferences(p.q, want.dq.value);
  expectDifferences(p.k, want.dk.value);
  expectDifferences(p.v, want.dv.value);
}

}  // namespace
}  // namespace mlit::test
