// What `format = auto` comes to on a card, there or only named.
#include "backend/cuda/cards.h"
#include "backend/cuda/test/model_on_card.h"

namespace mlit::test {
namespace {

class AutomaticFormat : public OnCardAlone {};

TEST_F(AutomaticFormat, IsBfloat16OnACardAndLosslessElsewhere) {
  const std::string folder = fixture("gemma3-tiny/model");
  EXPECT_EQ(automaticFormat(folder, *cuda::createCudaSizes(*cuda::findCard("h100-80gb"))), WeightFormat::kBF16);
  EXPECT_EQ(automaticFormat(folder, *cardBackend()), WeightFormat::kBF16);
  EXPECT_EQ(automaticFormat(folder, *createCpuBackend(1)), losslessFormat(folder));
}

}  // namespace
}  // namespace mlit::test
