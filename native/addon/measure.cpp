// The best of many short products: on a shared machine only the undisturbed ones tell what it can do.
#include "addon/measure.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace mlit::addon {

double measureRate(Backend& backend, WeightFormat format) {
  constexpr int64_t kSize = 1024, kRows = 512;
  constexpr size_t kBytes = static_cast<size_t>(kRows * kSize) * sizeof(float);
  using Clock = std::chrono::steady_clock;

  const std::vector<float> host(static_cast<size_t>(kSize * kSize), 0.5f);
  const WeightId weight = backend.createWeight(kSize, kSize, format);
  backend.setWeightRows(weight, 0, kSize, host.data());
  const DevicePtr<std::byte> x = backend.allocate(kBytes), y = backend.allocate(kBytes);
  backend.upload(x, host.data(), kBytes);

  double best = 0;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(300);
  do {
    const Clock::time_point start = Clock::now();
    backend.linearForward(weight, x.as<const float>(), kSize, kRows, y.as<float>(), kSize, {}, {});
    backend.synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * kRows * kSize * kSize / seconds * 1e-9);
  } while (Clock::now() < end);

  backend.release(x, kBytes);
  backend.release(y, kBytes);
  backend.destroyWeight(weight);
  return best;
}

}  // namespace mlit::addon
