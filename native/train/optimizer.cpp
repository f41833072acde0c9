// One step of AdamW for one adapter, refused as a whole where its gradient is not a number.
#include <cmath>

#include "core/error.h"
#include "train/session_impl.h"

namespace mlit {

TrainSession::OptimResult TrainSession::optimStep(int32_t adapter, AdamWParams params) {
  Impl& s = *impl_;
  s.requireTraining("optimStep");
  const size_t i = s.adapterIndex(adapter);
  const Adapter& target = *s.adapters[i];
  const int64_t n = target.layout().parameterCount();
  Backend& backend = s.model->backend();
  s.activationsKept = false;  // they belong to the parameters that are about to change
  backend.sumSquares(s.buffers.gradients[i], n, s.buffers.sumSquares);
  float sumSquares = 0;
  backend.download(&sumSquares, s.buffers.sumSquares.as<const std::byte>(), sizeof sumSquares);
  backend.synchronize();
  const double norm = std::sqrt(static_cast<double>(sumSquares)) * static_cast<double>(params.gradScale);
  const bool finite = std::isfinite(norm);
  if (finite) {
    params.step = s.steps[i] + 1;
    backend.adamW(target.parameters(), s.buffers.gradients[i], s.buffers.m[i], s.buffers.v[i], n, s.buffers.sumSquares,
                  params);
    s.steps[i] = params.step;
    s.model->weightsChanged();
  }
  backend.zero(s.buffers.gradients[i].as<std::byte>(), static_cast<size_t>(n) * sizeof(float));
  backend.synchronize();
  s.pending[i] = 0;
  if (!finite) {
    throw Error(ErrorCode::kNotFinite,
                "the gradient of adapter " + std::to_string(adapter) + " is not finite at step " +
                    std::to_string(s.steps[i] + 1) +
                    "; its parameters were left as they are and the gradient discarded",
                {{"adapter", std::to_string(adapter)}, {"step", std::to_string(s.steps[i] + 1)}});
  }
  return {norm};
}

int64_t TrainSession::stepCount(int32_t adapter) const { return impl_->steps[impl_->adapterIndex(adapter)]; }

}  // namespace mlit
