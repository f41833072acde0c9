#include "backend/cuda/cards.h"

namespace mlit::cuda {

namespace {

constexpr Card kCards[] = {
    {"a10-24gb", 23028, 125, 600},       {"a100-40gb", 40960, 312, 1555},     {"a100-80gb", 81920, 312, 2039},
    {"b200-180gb", 183359, 2250, 8000},  {"h100-80gb", 81559, 989, 3350},     {"h200-141gb", 143771, 989, 4800},
    {"l4-24gb", 23034, 121, 300},        {"l40s-48gb", 46068, 362, 864},      {"rtx-3090-24gb", 24576, 71, 936},
    {"rtx-4090-24gb", 24564, 165, 1008}, {"rtx-5090-32gb", 32607, 209, 1792}, {"rtx-a6000-48gb", 49140, 155, 768},
};

}  // namespace

std::span<const Card> cards() { return kCards; }

const Card* findCard(const std::string& name) {
  for (const Card& card : kCards) {
    if (name == card.name) return &card;
  }
  return nullptr;
}

}  // namespace mlit::cuda
