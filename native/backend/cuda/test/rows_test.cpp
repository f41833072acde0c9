// Rows gathered and scattered on the emulator: copies are exact, sums are one float32 sum.
#include "backend/cuda/kernels/rows.h"

#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;

class Rows : public OnDevice {};

TEST_F(Rows, AreTakenAndPutBack) {
  constexpr int64_t kWide = 7;
  const std::vector<int32_t> picked = {5, 0, 6, 2};
  const auto n = static_cast<int64_t>(picked.size());
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const ElementType type : {kF32, kBF16}) {
      for (const int64_t d : {1, 5, 8, 24, 264, 2051}) {
        for (const int64_t padding : {0, 3, 8}) {
          begin(seed);
          const auto width = static_cast<size_t>(d);
          const std::vector<float> x = roundedTo(type, randomFloats(kWide * d, seed));
          const std::vector<float> in = roundedTo(type, randomFloats(n * d, seed + 1));
          std::vector<float> gathered, put = x, added = x;
          for (size_t i = 0; i < picked.size(); ++i) {
            for (size_t c = 0; c < width; ++c) {
              const size_t wide = static_cast<size_t>(picked[i]) * width + c;
              gathered.push_back(x[wide]);
              put[wide] = in[i * width + c];
              added[wide] += in[i * width + c];
            }
          }
          DeviceReals from(type, spread(x, kWide, d + padding)), out(type, gathered.size()), dense(type, in);
          DeviceReals sums(type, spread(x, kWide, d + padding));
          DeviceArray<int32_t> rows(picked);
          const DevConstI32 ids(rows.get());
          cuda::Stream stream;
          cuda::gatherRows(from.get(), d + padding, ids, n, d, out.get(), stream);
          cuda::scatterRows(dense.get(), ids, n, d, from.get(), d + padding, false, stream);
          cuda::scatterRows(dense.get(), ids, n, d, sums.get(), d + padding, true, stream);
          stream.synchronize();
          EXPECT_EQ(out.read(), gathered) << d << " " << typeName(type);
          EXPECT_EQ(gather(from.read(), kWide, d), put) << d << " " << typeName(type);
          EXPECT_EQ(gather(sums.read(), kWide, d), roundedTo(type, added)) << d << " " << typeName(type);
        }
      }
    }
  }
}

TEST_F(Rows, MoreRowsThanBlocksTakeTurns) {
  std::vector<int32_t> reversed;
  std::vector<float> x, want;
  for (int32_t i = 0; i < 4500; ++i) {
    reversed.push_back(4499 - i);
    x.push_back(static_cast<float>(i));
    want.push_back(static_cast<float>(4499 - i));
  }
  DeviceArray<float> from(x), out(x.size());
  DeviceArray<int32_t> rows(reversed);
  cuda::Stream stream;
  cuda::gatherRows(DevConstF32(from.get()), 1, DevConstI32(rows.get()), 4500, 1, DevF32(out.get()), stream);
  stream.synchronize();
  EXPECT_EQ(out.read(), want);
}

TEST_F(Rows, OfTwoTypesAreRefused) {
  DeviceReals wide(kF32, size_t{8}), narrow(kBF16, size_t{8});
  cuda::Stream stream;
  EXPECT_THROW(cuda::gatherRows(wide.get(), 4, {}, 1, 4, narrow.get(), stream), Error);
  EXPECT_THROW(cuda::scatterRows(narrow.get(), {}, 1, 4, wide.get(), 4, false, stream), Error);
}

}  // namespace
}  // namespace mlit::test
