#include "bench/gpu/bench.h"

#include <chrono>
#include <cmath>
#include <vector>

#include "backend/cuda/runtime.h"
#include "backend/cuda/test/device_under_test.h"
#include "backend/profiled/profiled_backend.h"
#include "bench/gpu/documents.h"
#include "bench/gpu/flops.h"
#include "bench/gpu/nvtx.h"
#include "bench/gpu/peak.h"
#include "bench/gpu/seeded_model.h"
#include "core/error.h"
#include "core/philox.h"
#include "sample/engine.h"

namespace mlit::bench {

namespace {

using nlohmann::json;
using Mode = ProfiledBackend::Mode;
namespace device = test::device;

class Watch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr size_t kBatches = 4;  // that steps take in turn

const char* shownFormat(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return "float32";
    case WeightFormat::kBF16:
      return "bfloat16";
    case WeightFormat::kI8Channel:
      return "int8";
    case WeightFormat::kNF4:
      return "nf4";
  }
  return "";
}

// What the session planned, what the runtime was asked for, and what the driver has less than before.
json memoryJson(const MemoryPlan& plan, size_t freeBefore) {
  size_t planned = 0;
  json items = json::object();
  for (const PlanItem& item : plan) {
    items[item.name] = item.bytes;
    planned += item.bytes;
  }
  const auto free = cuda::memoryInfo().freeBytes;
  return {{"plan", items},
          {"plannedBytes", planned},
          {"runtimePeakBytes", device::hostCounts().peakBytes},
          {"driverBytes", freeBefore > free ? freeBefore - free : 0}};
}

class Bench {
 public:
  Bench(const Options& options, const std::function<std::unique_ptr<Backend>()>& makeBackend)
      : o_(options),
        shape_(findShape(options.shape)),
        freeBefore_(cuda::memoryInfo().freeBytes),
        backend_(std::make_shared<ProfiledBackend>(makeBackend())) {
    const Watch watch;
    model_ = seededModel(shape_, o_.seed, backend_, o_.format);
    backend_->watchHead(model_->head(), model_->finalNorm());
    backend_->watchRanges(openRange, closeRange);
    loadSeconds_ = watch.seconds();
    AdapterSpec spec;
    spec.rank = o_.rank;
    spec.alpha = 2 * static_cast<float>(o_.rank);
    adapter_ = Adapter::create(model_, spec, o_.seed);
  }

  json shape() const {
    return {{"name", shape_.name},
            {"config", configJson(shape_)},
            {"parameters", parameterCount(model_->config())},
            {"format", shownFormat(o_.format)},
            {"rank", o_.rank},
            {"loadSeconds", loadSeconds_}};
  }

  json train(double peakFlops) {
    std::vector<Documents> batches;
    for (size_t i = 0; i < kBatches; ++i) {
      batches.emplace_back(o_.tokens, o_.maxLength, shape_.vocabulary, o_.seed + i);
    }
    const Watch untilFirst;
    TrainOptions options;
    options.maxTokens = o_.tokens;
    options.logitsBytes = backend_->logitsBytes();
    options.recompute = o_.recompute;
    TrainSession session(model_, {adapter_}, options);
    std::vector<double> losses;
    const auto step = [&](size_t number) {
      const Documents& batch = batches[number % kBatches];
      backend_->phase("forward");
      const StepSums sums = session.forwardBackward(batch.view());
      backend_->phase("optimiser");
      AdamWParams params;
      params.learningRate = 1e-4f;
      params.gradScale = static_cast<float>(1 / sums.weight[0]);
      session.optimStep(0, params);
      backend_->phase(nullptr);
      losses.push_back(sums.loss[0] / sums.weight[0]);
    };
    step(0);
    const double firstStepSeconds = untilFirst.seconds();
    size_t number = 1;
    for (int64_t i = 1; i < o_.warmUp; ++i) step(number++);

    const device::HostCounts before = device::hostCounts();
    const auto kernelsBefore = device::kernelCounts();
    double flops = 0;
    int64_t tokens = 0, supervised = 0;
    json stepSeconds = json::array();
    const Watch watch;
    for (int64_t i = 0; i < o_.steps; ++i) {
      const Documents& batch = batches[number % kBatches];
      const Watch one;
      step(number++);
      stepSeconds.push_back(one.seconds());
      flops += trainingFlops(model_->config(), o_.rank, batch.lengths);
      tokens += static_cast<int64_t>(batch.tokens.size());
      supervised += batch.supervised();
    }
    const double seconds = watch.seconds();
    const device::HostCounts after = device::hostCounts();
    json result{{"steps", o_.steps},
                {"tokens", tokens},
                {"supervisedTokens", supervised},
                {"seconds", seconds},
                {"stepSeconds", stepSeconds},
                {"tokensPerSecond", static_cast<double>(tokens) / seconds},
                {"flops", flops},
                {"flopsPerSecond", flops / seconds},
                {"modelFlopsUtilisation", peakFlops > 0 ? json(flops / seconds / peakFlops) : json()},
                {"firstStepSeconds", firstStepSeconds},
                {"waitsPerStep", static_cast<double>(after.waits - before.waits) / static_cast<double>(o_.steps)},
                {"allocationsInSteps", after.allocations - before.allocations},
                {"losses", losses},
                {"recompute", static_cast<int>(o_.recompute)},
                {"documents", lengthsJson(batches)},
                {"memory", memoryJson(session.memory(), freeBefore_)}};
    if (const auto kernels = device::kernelCounts()) {
      result["launchesPerStep"] =
          static_cast<double>(kernels->total() - kernelsBefore->total()) / static_cast<double>(o_.steps);
    }
    if (o_.profile) result["profile"] = profiled([&] { step(number++); });
    return result;
  }

  json sample() {
    SampleOptions options;
    options.maxRows = o_.rows;
    options.cacheTokens = int64_t{o_.rows} * (o_.promptTokens + o_.newTokens + kKvPageTokens);
    SampleEngine engine(model_, {adapter_}, options);
    const auto generate = [&](uint64_t seed) {
      submit(engine, seed);
      json result;
      int64_t tokens = 0, first = 0;
      double firstSeconds = 0, allStartedSeconds = 0;
      std::vector<bool> started(static_cast<size_t>(o_.rows));
      const Watch watch;
      backend_->phase("sampling");
      while (!engine.idle()) {
        for (const SampleEvent& event : engine.step()) {
          ++tokens;
          if (tokens == 1) firstSeconds = watch.seconds();
          if (started[static_cast<size_t>(event.id)]) continue;
          started[static_cast<size_t>(event.id)] = true;
          if (++first == o_.rows) allStartedSeconds = watch.seconds();
        }
      }
      backend_->phase(nullptr);
      const double seconds = watch.seconds();
      return json{{"rows", o_.rows},
                  {"promptTokens", int64_t{o_.rows} * o_.promptTokens},
                  {"newTokens", tokens},
                  {"seconds", seconds},
                  {"firstTokenSeconds", firstSeconds},
                  {"promptSeconds", allStartedSeconds},
                  {"promptTokensPerSecond", o_.rows * o_.promptTokens / allStartedSeconds},
                  {"newTokensPerSecond", static_cast<double>(tokens) / seconds}};
    };
    generate(o_.seed);  // the first of everything: algorithms, graphs
    json result = generate(o_.seed + 1);
    result["memory"] = memoryJson(engine.memory(), freeBefore_);
    if (o_.profile) result["profile"] = profiled([&] { generate(o_.seed + 2); });
    return result;
  }

 private:
  // Once with ranges alone, for a profiler that looks on, and once with each op waited for: times that add up to more than a
  // step's, of which the shares are what counts.
  template <class Step>
  json profiled(const Step& step) {
    for (const Mode mode : {Mode::kRanges, Mode::kTimes}) {
      backend_->profile(mode);
      step();
      if (mode == Mode::kRanges) backend_->forget();
    }
    backend_->profile(Mode::kOff);
    json ops = json::object(), phases = json::object();
    for (const OpSpent& spent : backend_->ops()) {
      const json op = ops.value(spent.op, json::object());
      ops[spent.op] = {{"calls", op.value("calls", int64_t{0}) + spent.calls},
                       {"seconds", op.value("seconds", 0.0) + spent.seconds}};
    }
    for (const auto& [name, spent] : backend_->phases()) phases[name] = {{"seconds", spent.seconds}};
    backend_->forget();
    return {{"ranges", kHasRanges}, {"phases", phases}, {"ops", ops}};
  }

  void submit(SampleEngine& engine, uint64_t seed) const {
    for (int32_t row = 0; row < o_.rows; ++row) {
      SampleRequest request;
      request.id = row;
      request.adapter = 0;
      request.maxNewTokens = o_.newTokens;
      request.params.temperature = 1;
      request.params.seed = seed + static_cast<uint64_t>(row);
      for (int32_t i = 0; i < o_.promptTokens; ++i) {
        const uint32_t draw = philox(seed, static_cast<uint64_t>(row), static_cast<uint64_t>(i))[0];
        request.prompt.push_back(static_cast<int32_t>(2 + draw % static_cast<uint32_t>(shape_.vocabulary - 2)));
      }
      engine.submit(request);
    }
  }

  // So that another library can be given documents of the same lengths.
  static json lengthsJson(const std::vector<Documents>& batches) {
    json all = json::array();
    for (const Documents& batch : batches) {
      json one = json::array();
      for (const Lengths& document : batch.lengths) one.push_back({document.tokens, document.supervised});
      all.push_back(std::move(one));
    }
    return all;
  }

  Options o_;
  const Shape& shape_;
  size_t freeBefore_;
  std::shared_ptr<ProfiledBackend> backend_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<Adapter> adapter_;
  double loadSeconds_ = 0;
};

}  // namespace

json run(const Options& options, const std::function<std::unique_ptr<Backend>()>& makeBackend) {
  const cuda::DeviceProperties there = cuda::deviceProperties(0);
  const cuda::Card* card = cardOfName(there.name, there.totalBytes);
  const double teraflops = options.teraflops ? *options.teraflops : card != nullptr ? card->teraflops : 0;
  Bench bench(options, makeBackend);
  json report{{"shape", bench.shape()},
              {"peak",
               {{"teraflops", teraflops > 0 ? json(teraflops) : json()},
                {"source", options.teraflops ? json("the command line")
                           : card != nullptr ? json(std::string("NVIDIA's data sheet, dense bfloat16: ") + card->name)
                                             : json()}}}};
  report["train"] = bench.train(teraflops * 1e12);
  report["sample"] = bench.sample();
  return report;
}

}  // namespace mlit::bench
