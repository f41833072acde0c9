// A packed batch after its checks: which rows carry a target, and which rows belong to which adapter, for all rows and for
// the supervised ones alone. Host side only; internal to train/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/lora_groups.h"
#include "train/session.h"

namespace mlit {

// Rows that a layer's second half and the head work on: all rows of a batch, or its supervised rows laid end to end.
struct RowSet {
  int64_t rows = 0;
  std::vector<AdapterRows> adapters;  // merged, without the bare base
  RowDropout dropout;
};

struct Batch {
  RowSet all;
  RowSet supervised;
  std::vector<int32_t> tokens, positions, cuSeqlens;       // as given
  std::vector<int32_t> rows;                               // [supervised] ascending
  std::vector<int32_t> targets;                            // [supervised]
  std::vector<float> weights;                              // [supervised]
  std::vector<int32_t> records, rowRecords, rowPositions;  // [T], [supervised] twice; empty where records are not given
  std::vector<int32_t> owners;  // [supervised] adapter index, or the number of adapters for the bare base
};

// Which rows count as supervised.
enum class Supervision { kWeighted, kTargets };  // weight other than 0; any target

// What a batch is checked against.
struct BatchLimits {
  int64_t maxTokens = 0;
  int64_t maxTargets = 0;  // rows that count as supervised
  int64_t positions = 0;   // smaller of the context and the rotary tables
  int32_t vocabulary = 0;
  int32_t adapters = 0;  // or 1: the model itself, under training
  bool bareBase = true;  // -1 may be given for it
};

// kInvalidArgument naming field, index, value and what was expected. Reuses the vectors of `batch`.
void readBatch(const PackedBatch& packed, const BatchLimits& limits, Supervision supervision, Batch& batch);

}  // namespace mlit
