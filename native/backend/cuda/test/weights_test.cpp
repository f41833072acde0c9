// Weights of every format and their products against float64: types and alignments of all kinds, rows alone and together, rows that
// come in parts. The emulated cuBLASLt has algorithms that differ in every bit that a card's may differ in.
#include <cmath>

#include "backend/cuda/test/weights_support.h"
#include "core/error.h"
#include "test/nf4_oracle.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;

// What a weight of the format keeps of [out, in] floats.
std::vector<float> keptBy(WeightFormat format, std::vector<float> values, int64_t in) {
  if (format == WeightFormat::kBF16) return roundedTo(ElementType::kBF16, values);
  if (format == WeightFormat::kF32) return values;
  if (format == WeightFormat::kNF4) return nf4Rounded(values, in);
  const auto width = static_cast<size_t>(in);
  for (size_t row = 0; row < values.size(); row += width) {
    float largest = 0;
    for (size_t i = row; i < row + width; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float scale = largest / 127.0f;
    for (size_t i = row; i < row + width; ++i) {
      values[i] = scale > 0 ? std::nearbyint(values[i] / scale) * scale : 0.0f;
    }
  }
  return values;
}

// And what a product sees of it.
std::vector<float> multipliedAs(WeightFormat format, const std::vector<float>& values, int64_t in) {
  const std::vector<float> kept = keptBy(format, values, in);
  return format == WeightFormat::kF32 ? kept : roundedTo(ElementType::kBF16, kept);
}

// base + x [rows, depth] · W, forward: W [width, depth] transposed, else W [depth, width].
Doubles productOf(bool forward, const std::vector<float>& w, const std::vector<float>& x, int64_t rows, int64_t depth,
                  int64_t width, const std::vector<float>& base) {
  Doubles y(base.begin(), base.end());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; ++c) {
      for (int64_t k = 0; k < depth; ++k) {
        y[static_cast<size_t>(r * width + c)] +=
            static_cast<double>(x[static_cast<size_t>(r * depth + k)]) *
            static_cast<double>(w[static_cast<size_t>(forward ? c * depth + k : k * width + c)]);
      }
    }
  }
  return y;
}

struct Shape {
  int64_t out, in, rows;
};
// The last: NF4's rows are two blocks, the second of them half full.
constexpr Shape kShapes[] = {{1, 1, 1}, {5, 3, 2}, {24, 16, 4}, {37, 40, 9}, {50, 33, 23}, {16, 64, 40}, {9, 80, 3}};

class Weights : public OnDevice {};

TEST_F(Weights, ProductsAgreeWithFloat64) {
  // Sums of at most 80 products in float32: 80 half units in the last place of their magnitudes, which are a few times the root
  // mean square.
  constexpr double kTolerance = 80 * 0x1p-24 * 4;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const Shape& s : kShapes) {
      for (const WeightFormat format : kFormats) {
        begin(seed);
        Rig rig;
        const std::vector<float> values = randomFloats(s.out * s.in, seed), w = multipliedAs(format, values, s.in);
        const WeightId id = rig.make(s.out, s.in, format, values);
        for (int combination = 0; combination < 8; ++combination) {
          const bool forward = (combination & 1) == 0;
          const ElementType from = kTypes[combination >> 1 & 1], to = kTypes[combination >> 2];
          const int64_t depth = forward ? s.in : s.out, width = forward ? s.out : s.in;
          const int64_t padding = (static_cast<int64_t>(seed) + combination) % 3 * 4, odd = seed % 4 == 0 ? 1 : 0;
          const int64_t ldx = depth + padding + odd, ldy = width + (padding + 8) % 12;
          const bool accumulate = !forward && seed % 2 == 0;
          const std::vector<float> x = roundedTo(from, randomFloats(s.rows * depth, seed + 50)),
                                   base = roundedTo(to, randomFloats(s.rows * width, seed + 90));
          const DeviceReals in(from, spread(x, s.rows, ldx)), out(to, spread(base, s.rows, ldy));
          if (forward) {
            rig.weights.forward(id, in.get(), ldx, s.rows, out.get(), ldy, rig.stream);
          } else {
            rig.weights.backward(id, in.get(), ldx, s.rows, out.get(), ldy, accumulate, rig.stream);
          }
          rig.stream.synchronize();
          const std::vector<float> seen = format == WeightFormat::kF32 ? x : roundedTo(ElementType::kBF16, x);
          const std::vector<float> start = accumulate ? base : std::vector<float>(base.size());
          expectReals(to, gather(out.read(), s.rows, width), productOf(forward, w, seen, s.rows, depth, width, start),
                      kTolerance,
                      std::string(forward ? "forward" : "backward") + (accumulate ? " added" : "") + " format " +
                          std::to_string(static_cast<int>(format)) + " [" + std::to_string(s.out) + ", " +
                          std::to_string(s.in) + "] " + typeName(from) + " to " + typeName(to) + " ldx " +
                          std::to_string(ldx) + " ldy " + std::to_string(ldy) + " seed " + std::to_string(seed));
        }
      }
    }
  }
}

// In one call, one by one into a packed row, and in two halves: the same bits, though calls differ in what has to be packed.
TEST_F(Weights, ARowsBitsAreItsOwn) {
  constexpr int64_t kRows = 13, kOut = 50, kIn = 72;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const WeightFormat format : kFormats) {
      for (const ElementType type : kTypes) {
        for (const bool forward : {true, false}) {
          begin(seed);
          Rig rig;
          const WeightId id = rig.make(kOut, kIn, format, randomFloats(kOut * kIn, seed));
          const int64_t depth = forward ? kIn : kOut, width = forward ? kOut : kIn, ldx = depth + 8, ldy = width + 3;
          const DeviceReals x(ElementType::kBF16, spread(randomFloats(kRows * depth, seed + 1), kRows, ldx));
          const DeviceReals y(type, static_cast<size_t>(kRows * ldy)), alone(type, static_cast<size_t>(kRows * width));
          const auto multiply = [&](int64_t row, int64_t rows, DevReal to, int64_t ld) {
            if (forward) return rig.weights.forward(id, x.get() + row * ldx, ldx, rows, to, ld, rig.stream);
            rig.weights.backward(id, x.get() + row * ldx, ldx, rows, to, ld, false, rig.stream);
          };
          cuda::fill(y.get().bytes().raw(), 0, static_cast<size_t>(kRows * ldy * elementBytes(type)), rig.stream);
          multiply(0, kRows, y.get(), ldy);
          rig.stream.synchronize();
          const std::vector<float> together = y.read();
          for (int64_t r = 0; r < kRows; ++r) multiply(r, 1, alone.get() + r * width, width);
          multiply(0, 5, y.get(), ldy);
          multiply(5, kRows - 5, y.get() + 5 * ldy, ldy);
          rig.stream.synchronize();
          const std::vector<float> one = alone.read();
          ASSERT_EQ(y.read(), together) << "two halves, seed " << seed;
          for (int64_t r = 0; r < kRows; ++r) {
            for (int64_t c = 0; c < width; ++c) {
              ASSERT_EQ(one[static_cast<size_t>(r * width + c)], together[static_cast<size_t>(r * ldy + c)])
                  << (forward ? "forward" : "backward") << " row " << r << " column " << c << " format "
                  << static_cast<int>(format) << " " << typeName(type) << " seed " << seed;
            }
          }
        }
      }
    }
  }
}

// What a sampler's products see: int8 quotients are multiplied as they are, and scaled afterwards.
std::vector<float> sampledAs(WeightFormat format, const std::vector<float>& values, int64_t in) {
  return format == WeightFormat::kI8Channel ? keptBy(format, values, in) : multipliedAs(format, values, in);
}

// Up to 300 columns: several of a lane's steps for a warp. The last has more outputs than a block of many rows takes.
constexpr Shape kSampled[] = {{1, 1, 1},    {5, 3, 2},    {24, 16, 8},   {37, 41, 9},  {50, 33, 17},
                              {17, 300, 5}, {9, 1100, 3}, {16, 128, 40}, {66, 72, 70}, {131, 88, 33}};

TEST_F(Weights, SampledProductsAgreeWithFloat64) {
  // As above, of 1,100 products at most, and int8's scale once more.
  constexpr double kTolerance = 1101 * 0x1p-24 * 4;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (const Shape& s : kSampled) {
      for (const WeightFormat format : kFormats) {
        begin(seed);
        Rig rig(kWideSizes);
        const std::vector<float> values = randomFloats(s.out * s.in, seed), w = sampledAs(format, values, s.in);
        const WeightId id = rig.make(s.out, s.in, format, values);
        const ElementType from = kTypes[seed % 3 == 0 ? 0 : 1], to = kTypes[seed % 2];
        const int64_t ldx = s.in + static_cast<int64_t>(seed % 3) * 4, ldy = s.out + static_cast<int64_t>(seed % 4);
        const std::vector<float> x = roundedTo(from, randomFloats(s.rows * s.in, seed + 50));
        const DeviceReals in(from, spread(x, s.rows, ldx)),
            out(to, spread(randomFloats(s.rows * s.out, seed + 90), s.rows, ldy));
        rig.weights.sample(id, in.get(), ldx, s.rows, out.get(), ldy, rig.stream);
        rig.stream.synchronize();
        const std::vector<float> seen = format == WeightFormat::kF32 ? x : roundedTo(ElementType::kBF16, x);
        expectReals(
            to, gather(out.read(), s.rows, s.out),
            productOf(true, w, seen, s.rows, s.in, s.out, std::vector<float>(static_cast<size_t>(s.rows * s.out))),
            kTolerance,
            "format " + std::to_string(static_cast<int>(format)) + " [" + std::to_string(s.out) + ", " +
                std::to_string(s.in) + "] rows " + std::to_string(s.rows) + " " + typeName(from) + " to " +
                typeName(to) + " seed " + std::to_string(seed));
      }
    }
  }
}

// Of every number of rows that has a kernel of its own, packed first or not: each row alone has the bits that it has among all.
TEST_F(Weights, ASampledRowsBitsAreItsOwn) {
  constexpr int64_t kRows = 71, kOut = 70, kIn = 328;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const WeightFormat format : kFormats) {
      begin(seed);
      Rig rig(kWideSizes);
      const WeightId id = rig.make(kOut, kIn, format, randomFloats(kOut * kIn, seed));
      const std::vector<float> values = randomFloats(kRows * kIn, seed + 1);
      const DeviceReals x(ElementType::kBF16, values), odd(ElementType::kBF16, spread(values, kRows, kIn + 1)),
          y(ElementType::kF32, size_t{kRows * kOut}), again(ElementType::kF32, size_t{kRows * kOut});
      rig.weights.sample(id, x.get(), kIn, kRows, y.get(), kOut, rig.stream);
      rig.stream.synchronize();
      const std::vector<float> together = y.read();
      for (const int64_t count : {1, 7, 12, 20, 33}) {
        const bool packed = count == 7 || count == 33;
        for (int64_t r = 0; r < kRows; r += count) {
          rig.weights.sample(id, packed ? odd.get() + r * (kIn + 1) : x.get() + r * kIn, packed ? kIn + 1 : kIn,
                             std::min(count, kRows - r), again.get() + r * kOut, kOut, rig.stream);
        }
        rig.stream.synchronize();
        ASSERT_EQ(again.read(), together) << count << " at a time, format " << static_cast<int>(format);
      }
    }
  }
}

// More rows than one call takes, and than some algorithms take at all.
TEST_F(Weights, ManyRowsAreMultipliedInTurns) {
  constexpr int64_t kRows = cuda::Matmul::kMostRows + 3;
  for (uint64_t seed = 1; seed <= seedsOr(5); ++seed) {
    begin(seed);
    Rig rig;
    const WeightId id = rig.make(8, 24, WeightFormat::kBF16, randomFloats(8 * 24, seed));
    const DeviceReals x(ElementType::kBF16, randomFloats(kRows * 24, seed)), y(ElementType::kF32, size_t{kRows * 8}),
        last(ElementType::kF32, size_t{4} * 8);
    rig.weights.forward(id, x.get(), 24, kRows, y.get(), 8, rig.stream);
    rig.weights.forward(id, x.get() + (kRows - 4) * 24, 24, 4, last.get(), 8, rig.stream);
    rig.stream.synchronize();
    const std::vector<float> all = y.read();
    EXPECT_EQ(last.read(), std::vector<float>(all.end() - 4 * 8, all.end())) << "seed " << seed;
  }
}

// No copies, no allocations and no waits where rows lie as a product takes them.
TEST_F(Weights, ProductsOfAlignedRowsAreOneCall) {
  Rig rig;
  const WeightId id = rig.make(64, 64, WeightFormat::kBF16, randomFloats(64 * 64, 1));
  const DeviceReals x(ElementType::kBF16, randomFloats(32 * 64, 2)), y(ElementType::kBF16, size_t{32} * 64),
      logits(ElementType::kF32, size_t{32} * 64);
  const WeightId odd = rig.make(37, 64, WeightFormat::kBF16, randomFloats(37 * 64, 3));
  const auto before = device::kernelCounts();
  const device::HostCounts hostBefore = device::hostCounts();
  rig.weights.forward(odd, x.get(), 64, 32, logits.get(), 37, rig.stream);
  rig.weights.forward(id, x.get(), 64, 32, y.get(), 64, rig.stream);
  rig.weights.forward(id, x.get(), 64, 32, logits.get(), 64, rig.stream);
  rig.weights.backward(id, y.get(), 64, 32, x.get(), 64, true, rig.stream);
  const device::HostCounts hostAfter = device::hostCounts();
  if (const auto after = device::kernelCounts()) {
    EXPECT_EQ(after->of("cublasLtMatmul"), 4u);
    EXPECT_EQ(after->launches.size(), before->launches.size() + 1) << "rows were copied";
    EXPECT_EQ(after->of("convertRows"), before->of("convertRows"));
  }
  EXPECT_EQ(hostAfter.allocations, hostBefore.allocations);
  EXPECT_EQ(hostAfter.waits, hostBefore.waits);
  rig.stream.synchronize();
}

// One launch and nothing else, however a weight is kept: no row of it is widened into memory.
TEST_F(Weights, ASampledProductIsOneLaunch) {
  for (const WeightFormat format : {WeightFormat::kBF16, WeightFormat::kI8Channel, WeightFormat::kNF4}) {
    begin(1);
    Rig rig;
    const WeightId id = rig.make(64, 64, format, randomFloats(64 * 64, 1));
    const DeviceReals x(ElementType::kBF16, randomFloats(4 * 64, 2)), y(ElementType::kBF16, size_t{4} * 64);
    auto expected = device::kernelCounts();
    rig.weights.sample(id, x.get(), 64, 4, y.get(), 64, rig.stream);
    if (const auto counts = device::kernelCounts()) {
      ++expected->launches["fewRows"];
      EXPECT_EQ(counts->launches, expected->launches);
    }
    rig.stream.synchronize();
  }
}

std::vector<float> rowsOf(Rig& rig, WeightId id, const std::vector<int32_t>& ids, int64_t in, float scale) {
  const DeviceArray<int32_t> which(ids);
  const DeviceArray<float> out(ids.size() * static_cast<size_t>(in));
  rig.weights.gatherWeightRows(id, DevConstI32(which.get()), static_cast<int64_t>(ids.size()), scale, DevF32(out.get()),
                               rig.stream);
  rig.stream.synchronize();
  return out.read();
}

TEST_F(Weights, RowsAreSetInPartsAndGathered) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int64_t in : {40, 33, 88}) {
      for (const WeightFormat format : kFormats) {
        begin(seed);
        Rig rig;
        constexpr int64_t kOut = 85, kSet = 80;
        const std::vector<float> values = randomFloats(kSet * in, seed), fresh = randomFloats(7 * in, seed + 1);
        std::vector<float> want = values;
        want.resize(static_cast<size_t>(kOut * in));  // rows that are never set are zero
        std::copy(fresh.begin(), fresh.end(), want.begin() + 11 * in);
        want = keptBy(format, want, in);

        const WeightId id = rig.weights.createWeight(kOut, in, format, rig.stream);
        for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 3}, {3, 0}, {3, 76}, {79, 1}}) {
          rig.weights.setWeightRows(id, first, count, values.data() + first * in, rig.stream);
        }
        std::vector<float> shifted(1);
        shifted.insert(shifted.end(), fresh.begin(), fresh.end());
        const DeviceArray<float> rows(shifted);
        rig.weights.refreshWeightRows(id, 11, 7, DevConstF32(rows.get() + 1), rig.stream);

        const std::vector<int32_t> ids{84, 0, 79, 78, 12, 12, 39, 17, 10, 18, 2, 3, 38};
        std::vector<float> expected;
        for (const int32_t row : ids) {
          for (int64_t i = 0; i < in; ++i) expected.push_back(0.75f * want[static_cast<size_t>(row * in + i)]);
        }
        ASSERT_EQ(rowsOf(rig, id, ids, in, 0.75f), expected)
            << "format " << static_cast<int>(format) << " in " << in << " seed " << seed;
      }
    }
  }
}

TEST_F(Weights, MemoryIsWhatWasToldAndIdsAreGivenAgain) {
  for (const WeightFormat format : kFormats) {
    Rig rig;
    const uint64_t before = device::hostCounts().liveBytes;
    const WeightId a = rig.weights.createWeight(13, 21, format, rig.stream);
    const WeightId b = rig.weights.createWeight(5, 40, format, rig.stream);
    EXPECT_EQ(device::hostCounts().liveBytes - before,
              cuda::weightBytes(13, 21, format) + cuda::weightBytes(5, 40, format));
    rig.weights.destroyWeight(a);
    EXPECT_EQ(device::hostCounts().liveBytes - before, cuda::weightBytes(5, 40, format));
    EXPECT_EQ(rig.weights.createWeight(2, 2, format, rig.stream).index, a.index);
    EXPECT_NE(a.index, b.index);
  }
}

TEST_F(Weights, WhatDoesNotExistOrFitIsRefused) {
  Rig rig;
  const std::vector<float> row(8);
  const WeightId id = rig.weights.createWeight(4, 8, WeightFormat::kBF16, rig.stream);
  EXPECT_THROW(rig.weights.setWeightRows(WeightId{1}, 0, 1, row.data(), rig.stream), Error);
  EXPECT_THROW(rig.weights.setWeightRows(WeightId{}, 0, 1, row.data(), rig.stream), Error);
  EXPECT_THROW(rig.weights.setWeightRows(id, 4, 1, row.data(), rig.stream), Error);
  EXPECT_THROW(rig.weights.setWeightRows(id, -1, 1, row.data(), rig.stream), Error);
  EXPECT_THROW(rig.weights.refreshWeightRows(id, 3, 2, DevConstF32(), rig.stream), Error);
  EXPECT_THROW(rig.weights.createWeight(0, 8, WeightFormat::kF32, rig.stream), Error);
  EXPECT_THROW(rig.weights.createWeight(1, 2049, WeightFormat::kF32, rig.stream), Error);       // a row to upload
  EXPECT_THROW(rig.weights.createWeight(8, 136, WeightFormat::kI8Channel, rig.stream), Error);  // eight rows
  EXPECT_THROW(rig.weights.createWeight(8, 136, WeightFormat::kNF4, rig.stream), Error);
  EXPECT_NO_THROW(rig.weights.createWeight(128, 128, WeightFormat::kI8Channel, rig.stream));
  EXPECT_NO_THROW(rig.weights.createWeight(128, 128, WeightFormat::kNF4, rig.stream));
  rig.weights.destroyWeight(id);
  EXPECT_THROW(rig.weights.destroyWeight(id), Error);
}

}  // namespace
}  // namespace mlit::test
