// Turns "these rows use that adapter" into the descriptors that backend.h's linear ops take, for training (with gradient
// buffers) and sampling (without) alike.
#pragma once

#include <span>
#include <vector>

#include "model/adapter.h"

namespace mlit {

// Rows [begin, end) of a batch use adapters[adapter]; adapter < 0 = bare base. Ranges are sorted and disjoint.
struct AdapterRows {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t adapter = -1;
};

// Merges neighbours with the same adapter and drops empty ranges and those of the bare base.
std::vector<AdapterRows> mergeAdapterRows(std::span<const AdapterRows> rows);

// The parts of ranges that lie in rows [begin, end), counted from begin.
std::vector<AdapterRows> adapterRowsWithin(std::span<const AdapterRows> ranges, int32_t begin, int32_t end);
// The ranges of chosen rows laid end to end: row i of the result is rows[i].
std::vector<AdapterRows> adapterRowsOf(std::span<const AdapterRows> ranges, std::span<const int32_t> rows);

// Dropout in one call of a training forward or backward; off without keys.
struct RowDropout {
  std::span<const uint64_t> keys;  // by adapter: core/dropout.h's, of its step
  DevConstI32 records, positions;  // [rows]
};

// Reusable storage for the groups of one linear op; the result of build() points into it and is valid until the next build().
class LoraGroupBuilder {
 public:
  // No adapters, no groups, whatever numbers the rows have (in full tuning, the model's). layer is not read for LinearGroup::kHead. gradients: one flat vector per adapter in its layout (same order as adapters), or empty for none.
  std::span<const LoraGroup> build(std::span<const std::shared_ptr<Adapter>> adapters,
                                   std::span<const AdapterRows> rows, int32_t layer, LinearGroup group,
                                   std::span<const DevF32> gradients = {}, const RowDropout& dropout = {});

 private:
  std::vector<LoraGroup> groups_;
  std::vector<LoraSegment> segments_;
};

}  // namespace mlit
