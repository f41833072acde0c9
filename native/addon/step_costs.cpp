#include "addon/step_costs.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "model/loader.h"
#include "sample/engine.h"

namespace mlit::addon {
namespace {

struct Counted {
  std::shared_ptr<cuda::CostBackend> books = std::make_shared<cuda::CostBackend>();
  std::shared_ptr<Model> model;
  std::vector<std::shared_ptr<Adapter>> adapters;

  Counted(const std::string& path, const std::vector<AdapterSpec>& specs, WeightFormat format)
      : model(ModelLoader::outline(readModelConfig(path), books, format)) {
    for (const AdapterSpec& spec : specs) adapters.push_back(Adapter::create(model, spec, 1));
  }
  StepCosts taken() {
    StepCosts costs{books->costs(), books->waits()};
    books->forget();
    return costs;
  }
};

}  // namespace

TrainingCosts trainingCosts(const std::string& path, const std::vector<AdapterSpec>& specs, const TrainOptions& options,
                            WeightFormat format, const std::vector<int32_t>& documents, int64_t targets) {
  Counted counted(path, specs, format);
  std::vector<int32_t> tokens, positions, cuSeqlens = {0}, wanted, adapters, records;
  std::vector<float> weights;
  const int64_t all = std::accumulate(documents.begin(), documents.end(), int64_t{0});
  for (const int32_t length : documents) {
    const int64_t supervised = std::min<int64_t>(length - 1, targets * length / std::max<int64_t>(all, 1));
    for (int32_t i = 0; i < length; ++i) {
      const bool target = i + 1 < length && i + 1 >= length - supervised;
      tokens.push_back(0);
      positions.push_back(i);
      wanted.push_back(target ? 0 : -1);
      weights.push_back(target ? 1.0f : 0.0f);
    }
    cuSeqlens.push_back(static_cast<int32_t>(tokens.size()));
    adapters.push_back(0);
    records.push_back(static_cast<int32_t>(records.size()));
  }
  TrainSession session(counted.model, counted.adapters, options);
  counted.books->forget();
  session.forwardBackward({tokens, positions, cuSeqlens, wanted, weights, adapters, records});
  TrainingCosts costs;
  costs.microBatch = counted.taken();
  AdamWParams params;
  session.optimStep(0, params);
  costs.optimizer = counted.taken();
  return costs;
}

StepCosts samplingCosts(const std::string& path, const std::vector<AdapterSpec>& specs, WeightFormat format,
                        int32_t rows, int32_t context) {
  constexpr int32_t kNewTokens = 4;
  Counted counted(path, specs, format);
  SampleOptions options;
  options.maxRows = rows;
  options.prefillTokens = rows * context;
  options.cacheTokens = int64_t{rows} * (context + kNewTokens + kKvPageTokens);
  SampleEngine engine(counted.model, counted.adapters, options);
  for (int32_t row = 0; row < rows; ++row) {
    SampleRequest request;
    request.id = row;
    request.prompt.assign(static_cast<size_t>(context), row);  // nothing in common
    request.maxNewTokens = kNewTokens;
    request.params.temperature = 1;
    request.params.topP = 0.95f;
    request.adapter = counted.adapters.empty() ? -1 : 0;
    engine.submit(request);
  }
  engine.step();  // the prompts
  counted.books->forget();
  engine.step();
  return counted.taken();
}

}  // namespace mlit::addon
