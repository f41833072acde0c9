// Cards that need not be there: what a plan and a roofline have to know of each. From NVIDIA's data sheets (compute and bandwidth,
// of the SXM or HGX board where there are several) and from what the driver's own tools show (memory); none of it was measured here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "backend/backend.h"

namespace mlit::cuda {

struct Card {
  const char* name;           // "h100-80gb"
  int64_t memoryMiB;          // as the driver's tools show it
  double teraflops;           // dense bfloat16 products with float32 sums, 10^12 a second
  double gigabytesPerSecond;  // of its memory
};

std::span<const Card> cards();
// Null where the name is none of these.
const Card* findCard(const std::string& name);

// Of a card's memory, what the driver, its context and the libraries take before anything of ours: an assumption.
inline constexpr int64_t kContextBytes = int64_t{700} << 20;

// What CudaBackend would say on that card: all but the memory that there is does not depend on which.
std::unique_ptr<BackendSizes> createCudaSizes(const Card& card);

}  // namespace mlit::cuda
