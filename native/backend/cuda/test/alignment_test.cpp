// Where operands begin decides how many bytes an access takes, and nothing else: from any address results are right, and from
// aligned ones 16 bytes move at a time.
#include <deque>
#include <functional>

#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/kernels/gradients.h"
#include "backend/cuda/kernels/loss.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/optimizer.h"
#include "backend/cuda/kernels/rope.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/test/support.h"

namespace mlit::test {
namespace {

constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;
constexpr int64_t kRows = 3, kWidth = 32;

// The operands of a call, each in memory of its own. One of them, or all, begin some elements behind an aligned address.
class Operands {
 public:
  static constexpr int kNone = -1, kAll = -2;
  Operands(int moved, int64_t by) : moved_(moved), by_(by) {}

  DevReal of(ElementType type, int64_t count) {
    const auto number = static_cast<int>(all_.size());
    const int64_t by = moved_ == kAll || moved_ == number ? by_ : 0;
    std::vector<float> values(static_cast<size_t>(by), 0.0f);
    for (const float value : randomFloats(count, 40 + all_.size())) values.push_back(value + 2);  // all positive
    all_.emplace_back(type, roundedTo(type, values));
    begins_.push_back(by);
    return all_.back().get() + by;
  }
  DevF32 floats(int64_t count) { return of(kF32, count).bytes().as<float>(); }
  DevConstI32 numbers(const std::vector<int32_t>& values) { return DevConstI32(numbers_.emplace_back(values).get()); }
  DevicePtr<std::byte> room(size_t bytes) { return DevicePtr(rooms_.emplace_back(bytes).get()); }
  int count() const { return static_cast<int>(all_.size()); }

  // What stands in each after the call.
  std::vector<std::vector<float>> read() const {
    std::vector<std::vector<float>> found;
    for (size_t i = 0; i < all_.size(); ++i) {
      const std::vector<float> values = all_[i].read();
      found.emplace_back(values.begin() + begins_[i], values.end());
    }
    return found;
  }

 private:
  int moved_;
  int64_t by_;
  std::deque<DeviceReals> all_;
  std::vector<int64_t> begins_;
  std::deque<DeviceArray<int32_t>> numbers_;
  std::deque<DeviceArray<std::byte>> rooms_;
};

using Call = std::function<void(Operands&, cuda::Stream&)>;

class Alignment : public OnDevice {
 protected:
  struct Outcome {
    std::vector<std::vector<float>> values;
    uint64_t accesses = 0;
    int operands = 0;
  };
  static Outcome run(const Call& call, int moved, int64_t by) {
    Operands operands(moved, by);
    cuda::Stream stream;
    const auto before = device::kernelCounts();
    call(operands, stream);
    stream.synchronize();
    const auto after = device::kernelCounts();
    device::expectNothingFound();
    return {operands.read(), after ? after->accesses - before->accesses : 0, operands.count()};
  }

  // Every remainder by a number of bytes up to 20 comes up, beside every remainder by 16.
  static void expectAnyAddress(const Call& call) {
    if (HasFailure()) return;
    begin(1);
    const Outcome aligned = run(call, Operands::kNone, 0);
    for (int moved = 0; moved < aligned.operands; ++moved) {
      for (int64_t by = 1; by <= 34; ++by) {
        const Outcome there = run(call, moved, by);
        for (size_t i = 0; i < there.values.size(); ++i) {
          const std::vector<double> want(aligned.values[i].begin(), aligned.values[i].end());
          // Sums may be formed in another order, and rounded to bfloat16.
          expectClose(there.values[i], want, 0x1p-7, "operand " + std::to_string(i));
        }
        ASSERT_FALSE(HasFailure()) << "operand " << moved << " moved by " << by;
      }
    }
    if (!device::kernelCounts()) return;
    EXPECT_LT(aligned.accesses, run(call, Operands::kAll, 1).accesses) << "aligned rows move element by element";
  }
};

TEST_F(Alignment, OfRows) {
  const std::vector<int32_t> ids = {2, 0};
  for (const ElementType type : {kF32, kBF16}) {
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal x = of.of(type, kRows * kWidth), out = of.of(type, 2 * kWidth);
      cuda::gatherRows(x, kWidth, of.numbers(ids), 2, kWidth, out, stream);
    });
    for (const bool added : {false, true}) {
      expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
        const DevReal in = of.of(type, 2 * kWidth), x = of.of(type, kRows * kWidth);
        cuda::scatterRows(in, of.numbers(ids), 2, kWidth, x, kWidth, added, stream);
      });
    }
  }
}

TEST_F(Alignment, OfElements) {
  for (const ElementType type : {kF32, kBF16}) {
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal in = of.of(type, kRows * 2 * kWidth), h = of.of(type, kRows * kWidth);
      cuda::gatedForward(GatedActivation::kSilu, in, kRows, kWidth, h, stream);
    });
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal in = of.of(type, kRows * 2 * kWidth), dh = of.of(type, kRows * kWidth),
                    h = of.of(type, kRows * kWidth);
      cuda::gatedBackward(GatedActivation::kSilu, in, kRows, kWidth, dh, h, stream);
    });
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevF32 y = of.floats(kRows * kWidth);
      cuda::add(y, of.of(type, kRows * kWidth), kRows * kWidth, stream);
    });
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal y = of.of(type, kRows * kWidth);
      cuda::addToRows(y, kWidth, kRows, of.floats(kWidth), kWidth, stream);
    });
  }
}

TEST_F(Alignment, OfRope) {
  for (const ElementType type : {kF32, kBF16}) {
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal x = of.of(type, kRows * kWidth);
      const DevF32 table = of.floats(4 * kWidth);
      cuda::rope(x, {kRows, kWidth, 1, kWidth}, of.numbers({3, 0, 1}), table, 1, stream);
    });
  }
}

TEST_F(Alignment, OfNorms) {
  for (const ElementType type : {kF32, kBF16}) {
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal x = of.of(type, kRows * kWidth), y = of.of(type, kRows * kWidth);
      const DevF32 weight = of.floats(kWidth), base = of.floats(kRows * kWidth), inverse = of.floats(kRows);
      cuda::rmsNormForward(x, {kRows, kWidth, 1, kWidth}, weight, 1e-5f, y, kWidth, base, inverse, stream);
    });
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal dy = of.floats(kRows * kWidth), x = of.of(type, kRows * kWidth), dx = of.of(type, kRows * kWidth);
      const DevF32 weight = of.floats(kWidth), inverse = of.floats(kRows);
      cuda::rmsNormBackward(dy, kWidth, x, {kRows, kWidth, 1, kWidth}, weight, inverse, dx, kWidth, true, stream);
    });
  }
}

TEST_F(Alignment, OfGradients) {
  const size_t bytes = cuda::columnSumsWorkspaceBytes(kRows, kWidth);
  for (const ElementType type : {kF32, kBF16}) {
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal dy = of.of(type, kRows * kWidth), x = of.of(type, kRows * kWidth);
      const DevF32 inverse = of.floats(kRows), sums = of.floats(kWidth);
      cuda::rmsNormWeightGradient(dy, kWidth, x, {kRows, kWidth, 1, kWidth}, inverse, sums, of.room(bytes), bytes,
                                  stream);
    });
    expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
      const DevReal dy = of.of(type, kRows * kWidth);
      cuda::biasGradient(dy, kWidth, kRows, kWidth, of.floats(kWidth), of.room(bytes), bytes, stream);
    });
  }
  expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
    const DevF32 dy = of.floats(kRows * kWidth), table = of.floats(4 * kWidth);
    cuda::gatherGradient(dy, of.numbers({3, 0, 3}), kRows, kWidth, 0.5f, table, stream);
  });
}

TEST_F(Alignment, OfTheOptimizer) {
  const int64_t n = kRows * kWidth;
  expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
    const size_t bytes = cuda::sumSquaresWorkspaceBytes(n);
    const DevF32 x = of.floats(n), out = of.floats(1);
    cuda::sumSquares(x, n, out, of.room(bytes), bytes, stream);
  });
  expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
    const DevF32 parameters = of.floats(n), gradients = of.floats(n), m = of.floats(n), v = of.floats(n);
    AdamWParams params;
    params.learningRate = 1e-3f;
    cuda::adamW(parameters, gradients, m, v, n, of.floats(1), params, stream);
  });
}

TEST_F(Alignment, OfTheLoss) {
  expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
    const DevF32 logits = of.floats(kRows * kWidth), weights = of.floats(kRows), logprobs = of.floats(kRows);
    cuda::crossEntropy(logits, kRows, kWidth, of.numbers({1, 30, 7}), weights, logprobs, stream);
  });
}

TEST_F(Alignment, OfAttention) {
  AttentionShape shape;
  shape.heads = 2, shape.kvHeads = 1, shape.headDim = 16, shape.scale = 0.25f;
  const std::vector<int32_t> documents = {0, 3};
  expectAnyAddress([&](Operands& of, cuda::Stream& stream) {
    const DevReal q = of.of(kBF16, kRows * 32), k = of.of(kBF16, kRows * 16), v = of.of(kBF16, kRows * 16),
                  out = of.of(kBF16, kRows * 32);
    const DevF32 lse = of.floats(kRows * 2);
    cuda::attentionForward(shape, documents, of.numbers(documents), q, 32, k, v, 16, out, 32, lse, stream);
  });
}

}  // namespace
}  // namespace mlit::test
