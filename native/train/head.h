// Final norm, output head and loss, on supervised rows only and a chunk of logits at a time: no tensor of size tokens x
// vocabulary exists. Internal to train/.
#pragma once

#include <memory>

#include "train/body.h"

namespace mlit {

class Head {
 public:
  Head(std::shared_ptr<Model> model, const SessionBuffers& buffers) : model_(std::move(model)), buffers_(buffers) {}

  enum class Gradients {
    kNone,
    kOfFinal
  };  // kOfFinal: buffers.dx = gradient of -sum weights * logprobs, weights from buffers.weights

  // Fills buffers.logprobs for `rows` rows of buffers.final. body is asked between chunks whether to go on.
  void run(int64_t rows, Gradients gradients, const Body& body);
  // The logits themselves, [rows, vocabulary], for tests.
  std::vector<float> logitsToHost(int64_t rows);

 private:
  void logitsOf(int64_t first, int64_t count);

  std::shared_ptr<Model> model_;
  const SessionBuffers& buffers_;
};

}  // namespace mlit
