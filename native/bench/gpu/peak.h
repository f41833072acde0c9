// The card of cards.h that a driver's name for it means, so that its data sheet's rate can be told.
#pragma once

#include <cstdint>
#include <string>

#include "backend/cuda/cards.h"

namespace mlit::bench {

// "NVIDIA A100-SXM4-80GB" with its memory. Null for what the table has not: other boards of a model run at other rates.
const cuda::Card* cardOfName(const std::string& driversName, uint64_t memoryBytes);

}  // namespace mlit::bench
