// A model is read, watched at work and read again: what is kept of a matrix has to be known before its rows are rounded, and nothing but
// the model itself tells it.
#include "train/calibrate.h"

#include <string>
#include <vector>

#include "core/error.h"
#include "model/loader.h"

namespace mlit {
namespace {

// Loading must not take more memory than what the model is loaded for.
constexpr size_t kLogitsBytes = size_t{16} << 20;

// Watches for as long as it lives, however that ends.
class Watch {
 public:
  explicit Watch(Backend& backend) : backend_(backend) { backend.watchColumns(true); }
  ~Watch() { backend_.watchColumns(false); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Backend& backend_;
};

}  // namespace

CalibrationText calibrationText(std::span<const int32_t> tokens, std::span<const int32_t> lengths) {
  CalibrationText text;
  text.tokens.assign(tokens.begin(), tokens.end());
  text.cuSeqlens = {0};
  for (const int32_t length : lengths) {
    const auto begin = static_cast<size_t>(text.cuSeqlens.back());
    if (length < 1 || static_cast<size_t>(length) > tokens.size() - begin) {
      throw Error(
          ErrorCode::kInvalidArgument,
          "calibration lengths must be at least 1 and add up to the number of tokens, " + std::to_string(tokens.size()),
          {{"field", "calibrationLengths"}, {"value", std::to_string(length)}});
    }
    for (int32_t i = 0; i < length; ++i) {
      const bool last = i + 1 == length;
      text.positions.push_back(i);
      text.targets.push_back(last ? -1 : tokens[begin + static_cast<size_t>(i) + 1]);
      text.weights.push_back(last ? 0.0f : 1.0f);
    }
    text.cuSeqlens.push_back(text.cuSeqlens.back() + length);
    text.adapters.push_back(-1);
  }
  if (text.positions.size() != tokens.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "calibration lengths add up to " + std::to_string(text.positions.size()) +
                    ", expected one token each of " + std::to_string(tokens.size()),
                {{"field", "calibrationLengths"}});
  }
  return text;
}

void calibrate(const std::shared_ptr<Model>& model, const PackedBatch& text, const Model::Options& options) {
  Backend& backend = model->backend();
  if (!backend.integerProducts()) return;
  {
    const Watch watch(backend);
    TrainOptions scoring;
    scoring.maxTokens = static_cast<int32_t>(text.tokens.size());
    scoring.training = false;
    scoring.logitsBytes = kLogitsBytes;
    TrainSession session(model, {}, scoring);
    session.setCancelFlag(options.cancel);
    std::vector<float> logprobs(text.tokens.size());
    session.score(text, logprobs);
  }
  bool any = false;
  const auto choose = [&](WeightId weight) { any = backend.chooseColumns(weight) || any; };
  for (const LayerWeights& layer : model->layers()) {
    for (const WeightId weight : {layer.qkv, layer.o, layer.gateUp, layer.down}) choose(weight);
  }
  choose(model->head());
  if (any) ModelLoader::refill(*model, options);
}

}  // namespace mlit
