// The order in which a card is asked: what everything else is made of comes first, so that the first failure is the one to look at.
#pragma once

#include <span>
#include <string>

namespace mlit::test::card {

struct Stage {
  const char* name;
  const char* what;
  const char* filter;  // GoogleTest's; a suite that no stage names runs in the last
  bool sanitized;      // also under compute-sanitizer, where that is installed
};

inline constexpr Stage kStages[] = {
    {"layouts", "a warp's instructions, each alone: mma, ldmatrix, cp.async, shuffles", "Layouts.*", true},
    {"rows", "whether the bits of a row of cuBLASLt's products depend on that row alone", "OnCard/ProductRows*", false},
    {"kernels", "every kernel against float64",
     "Norm*:Elementwise*:Rope*:Rows*:Gradients*:Loss*:Optimizer*:Attention*:Lora*:WeightGradient*:Sampling*:Weights*",
     true},
    {"ops", "the table that every backend is held to", "Backends/*", true},
    {"memory", "uploads, downloads, waits and cancels", "OnCard.*", true},
    {"families", "logits, gradients and greedy text of each model family against the CPU backend", "OnCard/Families*",
     false},
    {"training", "20 steps of each family, recompute levels, resume, dropout, several adapters, memory as planned",
     "OnCard/Trainings*:TrainingOnCard.*", false},
};

// All that the stages before it leave: "*-Layouts.*:…".
inline std::string filterOfTheRest() {
  std::string filter = "*-";
  for (const Stage& stage : kStages) filter += std::string(filter.size() > 2 ? ":" : "") + stage.filter;
  return filter;
}

}  // namespace mlit::test::card
