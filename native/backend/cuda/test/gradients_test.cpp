// Gradients of norms, biases and the embedding table on the emulator: sums over rows against float64, added to what is there, with
// the same bits whatever the schedule.
#include "backend/cuda/kernels/gradients.h"

#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;
constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;

struct Workspace {
  DeviceArray<std::byte> memory;
  Workspace(int64_t summed, int64_t columns) : memory(cuda::columnSumsWorkspaceBytes(summed, columns)) {}
  DevicePtr<std::byte> at() const { return DevicePtr(memory.get()); }
  size_t bytes() const { return memory.count(); }
};

struct SumCase {
  int64_t rows;
  int32_t heads, dim;
  int64_t padding;
};

// Among them more rows than one part, rows that fill none, and more columns than one block.
const SumCase kSumCases[] = {{1, 1, 1, 0},   {3, 2, 7, 1},   {129, 1, 5, 0}, {70, 2, 16, 8},
                             {260, 1, 8, 4}, {9, 1, 132, 4}, {5, 3, 129, 2}, {1000, 1, 3, 1}};

class Gradients : public OnDevice {};

TEST_F(Gradients, OfNormsAgreeWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const SumCase& s : kSumCases) {
      for (const auto& [above, below] : {std::pair(kF32, kF32), {kF32, kBF16}, {kBF16, kF32}, {kBF16, kBF16}}) {
        begin(seed);
        const int64_t width = int64_t{s.heads} * s.dim, ld = width + s.padding, lddy = width + 2 * s.padding;
        const std::vector<float> dy = roundedTo(above, randomFloats(s.rows * width, 1));
        const std::vector<float> x = roundedTo(below, randomFloats(s.rows * width, 2));
        const std::vector<float> inverse = randomFloats(s.rows * s.heads, 3), before = randomFloats(s.dim, 4);
        const auto dim = static_cast<size_t>(s.dim);
        Doubles want(before.begin(), before.end());
        for (size_t g = 0; g < inverse.size(); ++g) {
          for (size_t i = 0; i < dim; ++i) {
            want[i] += static_cast<double>(dy[g * dim + i]) * x[g * dim + i] * inverse[g];
          }
        }
        DeviceReals gradient(above, spread(dy, s.rows, lddy)), in(below, spread(x, s.rows, ld));
        DeviceArray<float> inv(inverse), sums(before);
        const Workspace workspace(s.rows * s.heads, s.dim);
        cuda::Stream stream;
        cuda::rmsNormWeightGradient(gradient.get(), lddy, in.get(), {s.rows, ld, s.heads, s.dim},
                                    DevConstF32(inv.get()), DevF32(sums.get()), workspace.at(), workspace.bytes(),
                                    stream);
        stream.synchronize();
        expectClose(sums.read(), want, 2e-6, std::to_string(s.rows) + "x" + std::to_string(s.dim) + " dWeight");
      }
    }
  }
}

TEST_F(Gradients, OfBiasesAgreeWithFloat64AndHaveOneOrder) {
  for (const SumCase& s : kSumCases) {
    for (const ElementType type : {kF32, kBF16}) {
      std::vector<float> first;
      for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
        begin(seed);
        const int64_t ld = s.dim + s.padding;
        const auto columns = static_cast<size_t>(s.dim);
        const std::vector<float> dy = roundedTo(type, randomFloats(s.rows * s.dim, 5)), before = randomFloats(s.dim, 6);
        Doubles want(before.begin(), before.end());
        for (size_t i = 0; i < dy.size(); ++i) want[i % columns] += dy[i];
        DeviceReals gradient(type, spread(dy, s.rows, ld));
        DeviceArray<float> sums(before);
        const Workspace workspace(s.rows, s.dim);
        cuda::Stream stream;
        cuda::biasGradient(gradient.get(), ld, s.rows, s.dim, DevF32(sums.get()), workspace.at(), workspace.bytes(),
                           stream);
        stream.synchronize();
        const std::vector<float> got = sums.read();
        expectClose(got, want, 2e-6, std::to_string(s.rows) + "x" + std::to_string(s.dim) + " dBias");
        if (first.empty()) first = got;
        EXPECT_EQ(got, first) << "the schedule changed the sum";
      }
    }
  }
}

// 70,000 rows make 511 parts of 137 rows, the last of which is short.
TEST_F(Gradients, OfVeryManyRowsUseABoundedWorkspace) {
  const int64_t rows = 70000, columns = 3;
  EXPECT_EQ(cuda::columnSumsWorkspaceBytes(rows, columns), size_t{511 * 3 * 4});
  EXPECT_LE(cuda::columnSumsWorkspaceBytes(1 << 30, columns), size_t{512 * 3 * 4});
  const std::vector<float> dy = randomFloats(rows * columns, 9);
  Doubles want(3, 0.0);
  for (size_t i = 0; i < dy.size(); ++i) want[i % 3] += dy[i];
  DeviceArray<float> gradient(dy), sums(std::vector<float>(3, 0.0f));
  const Workspace workspace(rows, columns);
  cuda::Stream stream;
  cuda::biasGradient(DevConstF32(gradient.get()), columns, rows, columns, DevF32(sums.get()), workspace.at(),
                     workspace.bytes(), stream);
  EXPECT_THROW(cuda::biasGradient(DevConstF32(gradient.get()), columns, rows, columns, DevF32(sums.get()),
                                  workspace.at(), workspace.bytes() - 1, stream),
               Error);
  stream.synchronize();
  // 70,000 values of 0.6 whose sum is far smaller than they: judged by what they weigh, sqrt(n).
  const std::vector<float> got = sums.read();
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(got[c], want[c], 1e-6 * 0.6 * std::sqrt(70000.0));
}

// Ids that repeat within a tile of 256, across tiles and not at all; float32's products and sums in the order of the rows.
TEST_F(Gradients, OfTheTableAreExactlyTheSumInOrder) {
  constexpr float kScale = 1.375f;
  constexpr int64_t kIds = 40;
  const int64_t shapes[][2] = {{1, 1}, {5, 4}, {64, 7}, {257, 5}, {600, 4}, {3, 4099}, {2, 4100}, {2, 1025}};
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const auto& [n, d] : shapes) {
      begin(seed);
      const std::vector<float> dy = randomFloats(n * d, seed), before = randomFloats(kIds * d, seed + 1);
      std::vector<int32_t> ids;
      std::vector<float> want = before;
      for (int64_t i = 0; i < n; ++i) {
        ids.push_back(static_cast<int32_t>(philox(seed, 2, static_cast<uint64_t>(i))[0] % (i % 3 == 0 ? 2 : kIds)));
        for (int64_t c = 0; c < d; ++c) {
          float& sum = want[static_cast<size_t>(ids.back() * d + c)];
          sum = std::fma(dy[static_cast<size_t>(i * d + c)], kScale, sum);
        }
      }
      DeviceArray<float> gradient(dy), table(before);
      DeviceArray<int32_t> rows(ids);
      cuda::Stream stream;
      cuda::gatherGradient(DevConstF32(gradient.get()), DevConstI32(rows.get()), n, d, kScale, DevF32(table.get()),
                           stream);
      stream.synchronize();
      EXPECT_EQ(table.read(), want) << n << "x" << d;
    }
  }
}

}  // namespace
}  // namespace mlit::test
