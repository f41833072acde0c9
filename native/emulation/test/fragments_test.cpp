// Register layouts against a source that was written by others: the (thread, value) -> element layouts of CuTe's traits, as
// strides, in NVIDIA/cutlass include/cute/atom/mma_traits_sm80.hpp (SM80_16x8x16_F32BF16BF16F32_TN and SM80_16x8x32_S32S8S8S32_TN)
// and copy_traits_sm75.hpp (SM75_U32x4_LDSM_N, SM75_U16x8_LDSM_T). Elements are numbered column by column: row + rows * column.
#include <gtest/gtest.h>

#include <vector>

#include "emulation/fragments.h"

namespace mlit::test {
namespace {

using emulation::Element;

struct Mode {
  int size, stride;
};

// A CuTe layout of flattened modes: the index is cut up by the sizes, first mode fastest.
int offsetOf(const std::vector<Mode>& modes, int index) {
  int offset = 0;
  for (const Mode& mode : modes) {
    offset += index % mode.size * mode.stride;
    index /= mode.size;
  }
  return offset;
}

struct Traits {
  std::vector<Mode> threads, values;
  int rows;  // of the operand: M for A and C, N for B
};

const Traits kA16{{{4, 32}, {8, 1}}, {{2, 16}, {2, 8}, {2, 128}}, 16};
const Traits kB16{{{4, 16}, {8, 1}}, {{2, 8}, {2, 64}}, 8};
const Traits kA8{{{4, 64}, {8, 1}}, {{4, 16}, {2, 8}, {2, 256}}, 16};
const Traits kB8{{{4, 32}, {8, 1}}, {{4, 8}, {2, 128}}, 8};
const Traits kC{{{4, 32}, {8, 1}}, {{2, 16}, {2, 8}}, 16};

template <class Where>
void expectAgrees(const Traits& traits, int registers, int packed, Where where, const char* what) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < registers; ++r) {
      for (int e = 0; e < packed; ++e) {
        const int offset = offsetOf(traits.threads, lane) + offsetOf(traits.values, r * packed + e);
        const Element got = where(lane, r, e);
        EXPECT_EQ(got.row, offset % traits.rows) << what << " lane " << lane << " register " << r << " element " << e;
        EXPECT_EQ(got.column, offset / traits.rows)
            << what << " lane " << lane << " register " << r << " element " << e;
      }
    }
  }
}

TEST(Fragments, OfProductsAgreeWithCuTe) {
  using namespace emulation;                                               // NOLINT: the functions under test
  const auto turned = [](Element e) { return Element{e.column, e.row}; };  // CuTe numbers B as N x K
  expectAgrees(
      kA16, 4, 2, [](int lane, int r, int e) { return fragmentA(16, lane, r, e); }, "A of m16n8k16");
  expectAgrees(
      kB16, 2, 2, [&](int lane, int r, int e) { return turned(fragmentB(16, lane, r, e)); }, "B of m16n8k16");
  expectAgrees(
      kA8, 4, 4, [](int lane, int r, int e) { return fragmentA(8, lane, r, e); }, "A of m16n8k32");
  expectAgrees(
      kB8, 2, 4, [&](int lane, int r, int e) { return turned(fragmentB(8, lane, r, e)); }, "B of m16n8k32");
  expectAgrees(
      kC, 4, 1, [](int lane, int r, int) { return fragmentC(lane, r); }, "C");
}

TEST(Fragments, OfMatrixLoadsAgreeWithCuTe) {
  // In bits of the matrices as they lie in memory, 8 rows of 128 bits each.
  const std::vector<Mode> straightLanes{{32, 32}}, straightValues{{32, 1}, {4, 1024}};
  const std::vector<Mode> turnedLanes{{4, 256}, {8, 16}}, turnedValues{{16, 1}, {2, 128}, {4, 1024}};
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int e = 0; e < 2; ++e) {
        const int value = matrix * 32 + e * 16;  // bits in the lane's registers
        const auto bit = [matrix](Element at) { return matrix * 1024 + at.row * 128 + at.column * 16; };
        EXPECT_EQ(bit(emulation::fragmentMatrix(false, lane, e)),
                  offsetOf(straightLanes, lane) + offsetOf(straightValues, value));
        EXPECT_EQ(bit(emulation::fragmentMatrix(true, lane, e)),
                  offsetOf(turnedLanes, lane) + offsetOf(turnedValues, value));
      }
    }
  }
}

}  // namespace
}  // namespace mlit::test
