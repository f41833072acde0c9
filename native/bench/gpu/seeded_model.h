// A model of a shape whose weights are a function of a seed: the same numbers on every backend and machine, and no file.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/gpu/shapes.h"
#include "model/adapter.h"
#include "model/model.h"

namespace mlit::bench {

std::shared_ptr<Model> seededModel(const Shape& shape, uint64_t seed, std::shared_ptr<Backend> backend,
                                   WeightFormat format);

// An adapter as if it had been trained: B is not zero.
std::shared_ptr<Adapter> seededAdapter(std::shared_ptr<Model> model, const AdapterSpec& spec, uint64_t seed);

}  // namespace mlit::bench
