// From rows of logits to tokens on the device: backend.h's sampleRows, with the requests uploaded beforehand.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// SampleParams as the device reads them: what depends on the request alone is worked out on the host.
struct SampleRow {
  float inverseTemperature = 0;  // 0: the largest logit is taken
  float topP = 1;                // 1: off
  float leastExp = 0;            // the least exp((logit - largest) * inverseTemperature) that is kept
  int32_t topK = 0;              // 0: off
  uint64_t draw = 0;             // as a fraction of 2^64
};
SampleRow sampleRow(const SampleParams& params);

inline constexpr int64_t kMostSampledVocabulary = int64_t{1} << 20;

size_t sampleWorkspaceBytes(int64_t n, int64_t vocabulary);
// rows: [n]; workspace: sampleWorkspaceBytes(n, vocabulary), 8-byte aligned. Logits are left as they are. Three launches, whatever
// the rows ask for. Masses are integers, so that a token does not depend on the order of sums; the CPU backend's token differs
// only where its rounded sums fall on the other side of the draw or of topP.
void sampleRows(DevConstF32 logits, int64_t n, int64_t vocabulary, int64_t usable, DevicePtr<const SampleRow> rows,
                DevI32 tokens, DevF32 logprobs, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream);

}  // namespace mlit::cuda
