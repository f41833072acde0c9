// cuBLASLt on the emulator: the functions of cublaslt_api.h, which refuse what the library refuses, report what it would be silent
// about or crash of, and compute in the stream's turn.
//
// Its algorithms are made to be unlike each other: each sums its blocks of k in an order of its own, drawn from the seed, the
// problem and the number of rows that the heuristic was asked for; some refuse few or many rows; each wants all the alignment
// that it was promised. Where sums may be split, the fastest algorithm splits them by the number of rows.
#pragma once

#include <cstddef>

#include "backend/cuda/cublaslt_api.h"

namespace mlit::emulation {

const cuda::CublasLtApi& cublasLt();

// Handles, descriptors, layouts and preferences that were made since reset() and not destroyed.
size_t cublasLtObjects();

}  // namespace mlit::emulation
