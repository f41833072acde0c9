// Rotary embedding on the emulator: both ways, both types, heads inside wider rows.
#include "backend/cuda/kernels/rope.h"

#include "backend/cuda/test/support.h"

namespace mlit::test {
namespace {

struct RopeCase {
  int64_t rows;
  int32_t heads, dim;
  int64_t padding;
};

const RopeCase kRopeCases[] = {{1, 1, 2, 0},   {3, 2, 6, 1},   {5, 4, 64, 16}, {4, 1, 256, 8}, {2, 3, 80, 3},
                               {3, 40, 16, 0}, {2, 17, 34, 2}, {3, 2, 24, 0},  {2, 3, 12, 4},  {1, 1, 1, 1}};

class Rope : public OnDevice {};

TEST_F(Rope, BothWaysAgreeWithFloat64) {
  constexpr int64_t kPositions = 11;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const RopeCase& s : kRopeCases) {
      for (const ElementType type : {ElementType::kF32, ElementType::kBF16}) {
        for (const int direction : {1, -1}) {
          begin(seed);
          const int64_t width = int64_t{s.heads} * s.dim, ld = width + s.padding;
          const size_t half = static_cast<size_t>(s.dim) / 2;
          const std::vector<float> x = roundedTo(type, randomFloats(s.rows * width, seed));
          const std::vector<float> table = randomFloats(kPositions * s.dim, seed + 1);
          std::vector<int32_t> positions;
          for (int64_t r = 0; r < s.rows; ++r) positions.push_back(static_cast<int32_t>((r * 7 + 3) % kPositions));
          std::vector<double> want(x.begin(), x.end());
          for (size_t g = 0; g < static_cast<size_t>(s.rows * s.heads); ++g) {
            const auto row = static_cast<size_t>(positions[g / static_cast<size_t>(s.heads)]);
            for (size_t i = 0; i < half; ++i) {
              const size_t a = g * static_cast<size_t>(s.dim) + i, angle = row * static_cast<size_t>(s.dim) + i;
              const double u = x[a], v = x[a + half], c = table[angle];
              const double sine = direction * static_cast<double>(table[angle + half]);
              want[a] = u * c - v * sine, want[a + half] = v * c + u * sine;
            }
          }
          DeviceReals rotated(type, spread(x, s.rows, ld));
          DeviceArray<float> angles(table);
          DeviceArray<int32_t> at(positions);
          cuda::Stream stream;
          cuda::rope(rotated.get(), {s.rows, ld, s.heads, s.dim}, DevConstI32(at.get()), DevConstF32(angles.get()),
                     direction, stream);
          stream.synchronize();
          const std::string name = std::to_string(s.heads) + "x" + std::to_string(s.dim) + " " + typeName(type);
          expectReals(type, gather(rotated.read(), s.rows, width), want, 3e-7, name);
        }
      }
    }
  }
}

TEST_F(Rope, MoreRowsThanBlocksTakeTurns) {
  const int64_t rows = 5000;
  DeviceArray<float> x(std::vector<float>(static_cast<size_t>(rows) * 2, 2.0f)), table(std::vector<float>{0.5f, 0.25f});
  DeviceArray<int32_t> positions(std::vector<int32_t>(static_cast<size_t>(rows), 0));
  cuda::Stream stream;
  cuda::rope(DevF32(x.get()), {rows, 2, 1, 2}, DevConstI32(positions.get()), DevConstF32(table.get()), 1, stream);
  stream.synchronize();
  const std::vector<float> got = x.read();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], i % 2 == 0 ? 0.5f : 1.5f) << i;
}

}  // namespace
}  // namespace mlit::test
