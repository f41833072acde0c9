// What a base of integer products keeps in float32 is chosen by letting it read a little text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/model.h"
#include "train/session.h"

namespace mlit {

// Documents laid end to end in which each token but a document's last has the next one as its target.
struct CalibrationText {
  std::vector<int32_t> tokens, positions, cuSeqlens, targets, adapters;
  std::vector<float> weights;
  PackedBatch batch() const { return {tokens, positions, cuSeqlens, targets, weights, adapters, {}}; }
};
// kInvalidArgument where the lengths do not add up.
CalibrationText calibrationText(std::span<const int32_t> tokens, std::span<const int32_t> lengths);

// Runs the model over `text`, chooses the columns of each matrix that
// stay in float32, and reads the matrices again from the model's file. Nothing happens on a backend without integer products. The model
// must not be in use. options: progress and cancel of the second reading.
void calibrate(const std::shared_ptr<Model>& model, const PackedBatch& text, const Model::Options& options);

}  // namespace mlit
