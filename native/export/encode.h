// From rows in normal form to the bytes of a file: a LoRA is added in float64 and the sum rounded once, to the type that is
// stored; then the order of rows and the norms become those of the container.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "export/weight_rows.h"

namespace mlit {

// A PEFT adapter's product for one matrix: W += scale · B·A.
struct LoraTerm {
  int32_t rank = 0;
  double scale = 0;
  const float* a = nullptr;   // [rank, in]
  const float* bT = nullptr;  // [rank, out]
  int64_t out = 0;
};

// rows: [count, in], rows first … of the matrix; term may be null. to: count · in values of dtype (F32, F16 or BF16), each
// the nearest to W or to W + scale·B·A as summed in float64, ties to even. first: matters for the term only.
void encodeRows(const float* rows, int64_t first, int64_t count, int64_t in, const LoraTerm* term, DType dtype,
                uint8_t* to);

enum class Container { kSafetensors, kGguf };

struct ExportWatch {
  std::function<void(double fraction)> progress;  // may be empty
  const std::atomic<bool>* cancel = nullptr;      // read between blocks: kCancelled
};

class TensorEncoder {
 public:
  using Sink = std::function<void(const void* data, size_t bytes)>;

  // adapter may be null and must outlive the encoder, as must rows. total: elements of everything that will be encoded.
  TensorEncoder(WeightRows& rows, const HostAdapter* adapter, ThreadPool& pool, const ExportWatch& watch,
                int64_t totalElements);

  // Hands the tensor's bytes to sink, block by block. Vectors get no LoRA.
  void encode(const ExportTensor& tensor, DType dtype, Container container, const Sink& sink);

 private:
  WeightRows& rows_;
  const HostAdapter* adapter_;
  ThreadPool& pool_;
  const ExportWatch& watch_;
  int64_t total_;
  int64_t doneElements_ = 0;
  std::vector<float> buffer_;
  std::vector<uint8_t> encoded_, ordered_;
};

}  // namespace mlit
