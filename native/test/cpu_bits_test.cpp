// What the processor's backend promises beside right numbers: no bit depends on threads or on the instruction set, whatever the op.
#include "test/ops/attention_cases.h"
#include "test/ops/linear_cases.h"

namespace mlit::test {
namespace {

void expectSame(const AttentionResult& a, const AttentionResult& b, const std::string& what) {
  expectSameBytes(a.out, b.out, what + ", out");
  expectSameBytes(a.lse, b.lse, what + ", lse");
  expectSameBytes(a.dq, b.dq, what + ", dq");
  expectSameBytes(a.dk, b.dk, what + ", dk");
  expectSameBytes(a.dv, b.dv, what + ", dv");
}

TEST(AttentionThreads, DoNotChangeBits) {
  for (const std::string& isa : availableIsas()) {
    for (const AttentionCase& c :
         {AttentionCase{"", 4, 2, 64, 0, {130, 1, 257}}, AttentionCase{"", 4, 1, 256, 50, {100, 90}}}) {
      const Problem p(c, ElementType::kF32);
      const auto one = createCpuBackend(1, isa);
      const AttentionResult expected = computeAttention(*one, p, 0);
      for (const int threads : {2, 3, 8}) {
        const auto many = createCpuBackend(threads, isa);
        for (int repeat = 0; repeat < 3; ++repeat)
          expectSame(computeAttention(*many, p, 0), expected, isa + " " + std::to_string(threads));
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

TEST(OptimizerThreads, DoNotChangeBits) {
  const int64_t n = 300007;
  const std::vector<float> x = randomFloats(n, 9);
  for (const std::string& isa : availableIsas()) {
    std::vector<float> expected;
    for (const int threads : {1, 2, 5}) {
      const auto backend = createCpuBackend(threads, isa);
      DeviceFloats device(*backend, x), p(*backend, x), m(*backend, n, 0.0f), v(*backend, n, 0.0f),
          out(*backend, 1, kPoison);
      AdamWParams params;
      params.learningRate = 0.1f;
      backend->sumSquares(device.ptr(), n, out.ptr());
      backend->adamW(p.ptr(), device.ptr(), m.ptr(), v.ptr(), n, out.ptr(), params);
      std::vector<float> got = p.read();
      got.push_back(out.read()[0]);
      if (expected.empty()) expected = got;
      expectSameBytes(got, expected, isa + ", " + std::to_string(threads) + " threads");
    }
  }
}

TEST(CpuLinear, ThreadsAndInstructionSetsDoNotChangeABit) {
  std::vector<LinearCase> cases = linearCases();
  LinearCase large{"large", 400, 700, 390, WeightFormat::kF32, 0, false, true, {}};
  large.groups = {{10, 390, 2.0f, {{0, 350, 16}, {350, 700, 16}}}};
  cases.push_back(large);
  for (const LinearCase& c : cases) {
    SCOPED_TRACE(c.name);
    const LinearData data(c, ElementType::kF32);
    const auto first = createCpuBackend(1);
    const LinearResult expected = runLinear(*first, data);
    for (const std::string& isa : availableIsas()) {
      for (const int threads : {1, 2, 3}) {
        const auto backend = createCpuBackend(threads, isa);
        EXPECT_TRUE(expected == runLinear(*backend, data)) << isa << ", " << threads << " threads";
      }
    }
  }
}

// Documents of two adapters in turn: each adapter's gradients are sums over row ranges that lie apart.
TEST(CpuLinear, RowsOfOneAdapterThatLieApartAddUpWhateverTheThreads) {
  constexpr int64_t kRows = 1024, kSize = 64;
  constexpr int32_t kRank = 8, kRanges = 16;
  const std::vector<float> w = randomFloats(kSize * kSize, 1), x = randomFloats(kRows * kSize, 2),
                           dy = randomFloats(kRows * kSize, 3), a = randomFloats(kRank * kSize, 4),
                           bT = randomFloats(kRank * kSize, 5);
  const auto gradients = [&](Backend& backend, bool dropout) {
    const WeightId weight = backend.createWeight(kSize, kSize, WeightFormat::kF32);
    backend.setWeightRows(weight, 0, kSize, w.data());
    const DeviceFloats dx(backend, x), dDy(backend, dy), dA(backend, kRank * kSize, 0), dbT(backend, kRank * kSize, 0),
        dOther(backend, kRank * kSize, 0), dbTOther(backend, kRank * kSize, 0), aDevice(backend, a),
        bDevice(backend, bT), out(backend, kRows * kSize, kPoison), p(backend, kRows * kRank, kPoison),
        u(backend, kRows * kRank, kPoison);
    const DeviceArray<int32_t> numbers(backend, std::vector<int32_t>(kRows, 3));
    const LoraSegment segments[2] = {{0, kSize, kRank, 0, bDevice.ptr(), dbT.ptr()},
                                     {0, kSize, kRank, 0, bDevice.ptr(), dbTOther.ptr()}};
    std::vector<LoraGroup> groups;
    for (int32_t i = 0; i < kRanges; ++i) {
      constexpr auto kEach = static_cast<int32_t>(kRows / kRanges);
      LoraGroup group{i * kEach,
                      (i + 1) * kEach,
                      0.5f,
                      kRank,
                      aDevice.ptr(),
                      (i % 2 == 0 ? dA : dOther).ptr(),
                      std::span(segments + i % 2, 1)};
      if (dropout) group.dropout = {0.25, 7, numbers.ptr(), numbers.ptr()};
      groups.push_back(group);
    }
    backend.linearBackward(weight, dx.ptr(), kSize, kRows, dDy.ptr(), kSize, out.ptr(), kSize, false, groups, p.ptr(),
                           u.ptr());
    const std::vector<std::vector<float>> result = {dA.read(), dbT.read(), dOther.read(), dbTOther.read()};
    backend.destroyWeight(weight);
    return result;
  };
  const auto one = createCpuBackend(1), four = createCpuBackend(4);
  for (const bool dropout : {false, true}) {
    const auto expected = gradients(*one, dropout);
    for (int repeat = 0; repeat < 50; ++repeat) ASSERT_EQ(gradients(*four, dropout), expected) << repeat;
  }
}

}  // namespace
}  // namespace mlit::test
