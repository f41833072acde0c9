// LoRA training and sampling of a model of a known shape on a card, measured: what mlit_gpu_bench does, as a function that tests call, too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "train/session.h"

namespace mlit::bench {

struct Options {
  std::string shape = "gemma-3-270m";
  WeightFormat format = WeightFormat::kBF16;
  Recompute recompute = Recompute::kNone;
  int64_t tokens = 8192;     // of a step
  int64_t maxLength = 2048;  // of a document
  int64_t steps = 10;        // that are timed, behind as many as `warmUp`
  int64_t warmUp = 3;
  int32_t rank = 16;
  int32_t rows = 64;  // sequences that are sampled at once
  int32_t promptTokens = 128;
  int32_t newTokens = 128;
  uint64_t seed = 1;
  bool profile = false;
  std::optional<double> teraflops;  // the card's dense bf16 rate, where the table has none
};

// makeBackend gives the card's; memory and waits are those that the device under test counts. Every time is in seconds, every size in
// bytes, of tokens those that are there: nothing is padded.
nlohmann::json run(const Options& options, const std::function<std::unique_ptr<Backend>()>& makeBackend);

}  // namespace mlit::bench
