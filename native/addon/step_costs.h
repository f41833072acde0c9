// What a step comes to on a card: the model, without its weights, trained or sampled on a backend that only counts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backend/cuda/costs.h"
#include "model/adapter.h"
#include "train/session.h"

namespace mlit::addon {

struct StepCosts {
  std::map<std::string, cuda::Cost> ops;
  int64_t waits = 0;
};
struct TrainingCosts {
  StepCosts microBatch, optimizer;
};

// Of a micro-batch of documents of these lengths, of which the last `targets` tokens in all are supervised (evenly over documents), and of
// the optimiser's step behind the last one. path: config.json suffices.
TrainingCosts trainingCosts(const std::string& path, const std::vector<AdapterSpec>& adapters,
                            const TrainOptions& options, WeightFormat format, const std::vector<int32_t>& documents,
                            int64_t targets);
// Of one pass that gives each of `rows` sequences its next token, all of them behind `context` tokens. Drawn with top-p.
StepCosts samplingCosts(const std::string& path, const std::vector<AdapterSpec>& adapters, WeightFormat format,
                        int32_t rows, int32_t context);

}  // namespace mlit::addon
