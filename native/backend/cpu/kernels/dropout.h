// Masks of LoRA dropout applied on the fly: a mask costs less to compute than to read back.
#pragma once

#include <cstdint>

namespace mlit {

// to[r, j] = from[r, j] * scale where element first + j of row r is kept, else 0; added to `to` where `add` is set.
struct DropoutRows {
  int64_t rows;
  int64_t first;  // a multiple of 4
  int64_t columns;
  uint64_t key;
  uint32_t module;
  uint32_t threshold;  // core/dropout.h
  float scale;
  const int32_t* records;    // [rows]
  const int32_t* positions;  // [rows]
  const float* from;
  int64_t ldFrom;
  float* to;
  int64_t ldTo;
  bool add;
};

struct DropoutKernels {
  void (*apply)(const DropoutRows& rows);
};

}  // namespace mlit
