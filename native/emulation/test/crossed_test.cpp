// What the source path is blind to is planted in nvcc's half alone: this binary's path decides whether it must be found.
#include <algorithm>
#include <cmath>

#include "backend/cuda/test/support.h"
#include "core/half.h"
#include "emulation/emulator.h"
#include "emulation/test/crossed.h"

namespace mlit::test {
namespace {

class CrossedHalves : public OnDevice {
 protected:
  // Whether the product of the kernel is the matrix product.
  static bool productIsRight(Crossed bug) {
    std::vector<unsigned short> a(256), b(128);
    for (size_t i = 0; i < a.size(); ++i) a[i] = floatToBfloat16(static_cast<float>(i * 37 % 17) - 8);
    for (size_t i = 0; i < b.size(); ++i) b[i] = floatToBfloat16(static_cast<float>(i * 91 % 23) - 11);
    std::vector<float> want(128);
    for (size_t m = 0; m < 16; ++m) {
      for (size_t n = 0; n < 8; ++n) {
        for (size_t k = 0; k < 16; ++k) {
          want[m * 8 + n] += bfloat16ToFloat(a[m * 16 + k]) * bfloat16ToFloat(b[k * 8 + n]);
        }
      }
    }
    DeviceArray<unsigned short> left(a), right(b);
    DeviceArray<float> out(want.size());
    cuda::Stream stream;
    runCrossedProduct(bug, left.get(), right.get(), out.get(), stream);
    stream.synchronize();
    return out.read() == want;
  }
  static bool sumIsRight(Crossed bug) {
    const std::vector<float> in = randomFloats(32, 4);
    std::vector<float> want;
    for (const float value : in) want.push_back(bfloat16ToFloat(floatToBfloat16(value + 1)));
    DeviceArray<float> inOut(in);
    cuda::Stream stream;
    runCrossedSum(bug, inOut.get(), stream);
    stream.synchronize();
    return inOut.read() == want;
  }
};

TEST_F(CrossedHalves, ProductsAreRightWhereNothingIsPlanted) {
  EXPECT_TRUE(productIsRight(Crossed::kNone));
  EXPECT_TRUE(sumIsRight(Crossed::kNone));
}

TEST_F(CrossedHalves, WrongOperandsOfAsmStringsShowInPtxAlone) {
  for (const Crossed bug :
       {Crossed::kLeftRegisters, Crossed::kRightRegisters, Crossed::kResults, Crossed::kNoTranspose}) {
    EXPECT_EQ(productIsRight(bug), !emulation::runsTranslated()) << "bug " << static_cast<int>(bug);
  }
}

TEST_F(CrossedHalves, WrongCodeForNvccShowsInPtxAlone) {
  for (const Crossed bug : {Crossed::kHalves, Crossed::kRounding}) {
    EXPECT_EQ(sumIsRight(bug), !emulation::runsTranslated()) << "bug " << static_cast<int>(bug);
  }
}

TEST_F(CrossedHalves, ReadOnlyLoadsOfWhatIsWrittenShowInPtxAlone) {
  EXPECT_TRUE(sumIsRight(Crossed::kReadOnly));  // on a card as a rule, too
  const auto found = emulation::takeFindings();
  EXPECT_EQ(!found.empty(), emulation::runsTranslated());
  for (const auto& finding : found) EXPECT_EQ(finding.kind, emulation::Kind::kReadOnly) << finding.text;
}

}  // namespace
}  // namespace mlit::test
