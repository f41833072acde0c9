// Final norm, output head and loss, on supervised rows only and a chunk of logits at a time: no tensor of size tokens x
// vocabulary exists. Internal to train/.
#pragma once

#include <memory>

#include "train/body.h"

namespace mlit {

class Head {
 public:
  Head(std::shared_ptr<Model> model, const std::vector<std::shared_ptr<Adapter>>& adapters,
       const SessionBuffers& buffers)
      : model_(std::move(model)), adapters_(adapters), buffers_(buffers) {}

  enum class Gradients {
    kNone,
    kOfFinal
  };  // kOfFinal: buffers.dx = gradient of -sum weights * logprobs, weights from buffers.weights; the head's adapters' are added

  // Fills buffers.logprobs for `rows`, rows of buffers.final.
  void run(const RowSet& rows, Gradients gradients, const Body& body);
  void setFullGradients(const FullGradients* full) { full_ = full; }
  // The logits themselves, [rows, vocabulary], for tests.
  std::vector<float> logitsToHost(const RowSet& rows);

 private:
  // Rows from `first` on that are taken at once.
  struct Chunk {
    int64_t rows;
    bool logits;  // false: the loss does without
  };
  Chunk chunkAt(const RowSet& rows, int64_t first) const;
  bool onHead(const AdapterRows& range) const;
  void normalise(int64_t first, int64_t count);
  void logitsOf(const RowSet& rows, int64_t first, int64_t count);
  std::span<const LoraGroup> groups(const RowSet& rows, int64_t first, int64_t count, bool withGradients);

  std::shared_ptr<Model> model_;
  const std::vector<std::shared_ptr<Adapter>>& adapters_;
  const SessionBuffers& buffers_;
  LoraGroupBuilder lora_;
  const FullGradients* full_ = nullptr;
};

}  // namespace mlit
