// A memory plan is a list of named byte counts, known before anything is allocated and shown to the user.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mlit {

struct PlanItem {
  std::string name;  // "base", "adapter", "optimizer", "activations", "scratch", "logits", "cache", "backend"
  size_t bytes = 0;
};
using MemoryPlan = std::vector<PlanItem>;

inline size_t totalBytes(const MemoryPlan& plan) {
  size_t total = 0;
  for (const PlanItem& item : plan) total += item.bytes;
  return total;
}

}  // namespace mlit
