// The rate of large frozen products here and now: what a plan's time and a step's efficiency are measured against.
#pragma once

#include "backend/backend.h"

namespace mlit::addon {

// GFLOP/s (multiply-adds × 2) of x·Wᵀ, 512 rows through a [1024, 1024] weight in a format; the best of several, about 0.3 s.
double measureRate(Backend& backend, WeightFormat format = WeightFormat::kF32);

}  // namespace mlit::addon
