// One step of AdamW for one adapter or the model itself, refused as a whole where its gradient is not a number.
#include <cmath>

#include "core/error.h"
#include "ranks/ranks.h"
#include "train/session_impl.h"

namespace mlit {

TrainSession::OptimResult TrainSession::optimStep(int32_t adapter, AdamWParams params) {
  Impl& s = *impl_;
  s.requireTraining("optimStep");
  const size_t i = s.filledIndex(adapter);
  const TrainedVector& target = s.trained[i];
  const int64_t n = target.count;
  Backend& backend = s.model->backend();
  s.cleanGradients();
  if (s.ranks) {
    s.pending[i] = 1;  // also where this rank had no document
    s.guarded([&] {
      s.ranks->setCancelFlag(s.cancelFlag);
      s.ranks->sum(backend, s.buffers.gradients[i], n);
    });
  }
  backend.sumSquares(s.buffers.gradients[i], n, s.buffers.sumSquares);
  float sumSquares = 0;
  backend.download(&sumSquares, s.buffers.sumSquares.as<const std::byte>(), sizeof sumSquares);
  backend.synchronize();
  const double norm = std::sqrt(static_cast<double>(sumSquares)) * static_cast<double>(params.gradScale);
  const bool finite = std::isfinite(norm);
  if (finite) {
    params.step = s.steps[i] + 1;
    const auto update = [&](int64_t first, int64_t count) {
      if (count == 0) return;
      backend.adamW(target.parameters + first, s.buffers.gradients[i] + first, s.buffers.m[i] + first,
                    s.buffers.v[i] + first, count, s.buffers.sumSquares, params);
    };
    update(0, target.decayed);
    params.weightDecay = 0;
    update(target.decayed, n - target.decayed);
    s.steps[i] = params.step;
    s.parametersChanged();
  }
  backend.zero(s.buffers.gradients[i].as<std::byte>(), static_cast<size_t>(n) * sizeof(float));
  s.pending[i] = 0;
  s.activationsKept = false;
  if (!finite) {
    throw Error(ErrorCode::kNotFinite,
                "the gradient of " + (s.full ? std::string("the model") : "adapter " + std::to_string(adapter)) +
                    " is not finite at step " + std::to_string(s.steps[i] + 1) +
                    "; its parameters were left as they are and the gradient discarded",
                {{"adapter", std::to_string(adapter)}, {"step", std::to_string(s.steps[i] + 1)}});
  }
  return {norm};
}

int64_t TrainSession::stepCount(int32_t adapter) const { return impl_->steps[impl_->trainedIndex(adapter)]; }

}  // namespace mlit
