// The tensors of an exported checkpoint as one table: for each its names in both kinds of file, its shape and which part of
// the model it is. Every reader and writer of this floor walks this table and knows nothing else about families.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"
#include "model/adapter.h"
#include "model/config.h"

namespace mlit {

enum class TensorPart {
  kEmbedding,
  kHead,
  kFinalNorm,
  kAttentionNorm,
  kMlpNorm,
  kPostAttentionNorm,
  kPostMlpNorm,
  kQNorm,
  kKNorm,
  kQ,
  kK,
  kV,
  kO,
  kGate,
  kUp,
  kDown,
  kQBias,
  kKBias,
  kVBias,
};

struct ExportTensor {
  TensorPart part = TensorPart::kEmbedding;
  int32_t layer = -1;       // -1: of the whole model
  std::string name;         // as transformers calls it
  std::string ggufName;     // as llama.cpp does
  Shape shape;              // a matrix [out, in] or a vector [n]
  int32_t rotaryHeads = 0;  // > 0: GGUF keeps the rows of each of so many heads interleaved

  bool isMatrix() const { return shape.size() == 2; }
  bool isNorm() const { return !isMatrix() && part < TensorPart::kQBias; }
  int64_t rows() const { return isMatrix() ? shape[0] : 1; }
  int64_t columns() const { return shape.back(); }
};

// Where GGUF keeps a row of a head of `unit` rows: rows j and j + unit/2 lie at 2j and 2j + 1.
inline int64_t interleavedRow(int64_t row, int64_t unit) {
  const int64_t j = row % unit, half = unit / 2;
  return row - j + (j < half ? 2 * j : 2 * (j - half) + 1);
}

// In the order of the model; the head only where it is a matrix of its own (ownHead).
std::vector<ExportTensor> exportTensors(const ModelConfig& config, bool ownHead);

// Where an adapter has this tensor's factors; null where it leaves the tensor alone.
const AdapterSlot* slotOf(const HostAdapter& adapter, const ExportTensor& tensor);

// The adapter (may be null) changes the head of a model whose head is its embedding: merged, the two must part.
bool untiesHead(const ModelConfig& config, const HostAdapter* adapter);

}  // namespace mlit
