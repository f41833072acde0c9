// Cross-entropy on the device: backend.h's function of the same name. The gradient is written as bfloat16.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                  DevF32 logprobs, Stream& stream);

}  // namespace mlit::cuda
