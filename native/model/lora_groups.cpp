// The layout's offsets become pointers here and nowhere else.
#include "model/lora_groups.h"

#include <algorithm>

namespace mlit {

std::vector<AdapterRows> mergeAdapterRows(std::span<const AdapterRows> rows) {
  std::vector<AdapterRows> merged;
  for (const AdapterRows& range : rows) {
    if (range.adapter < 0 || range.end <= range.begin) continue;
    if (!merged.empty() && merged.back().adapter == range.adapter && merged.back().end == range.begin) {
      merged.back().end = range.end;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<AdapterRows> adapterRowsWithin(std::span<const AdapterRows> ranges, int32_t begin, int32_t end) {
  std::vector<AdapterRows> within;
  for (const AdapterRows& range : ranges)
    within.push_back({std::max(range.begin, begin) - begin, std::min(range.end, end) - begin, range.adapter});
  return mergeAdapterRows(within);
}

std::vector<AdapterRows> adapterRowsOf(std::span<const AdapterRows> ranges, std::span<const int32_t> rows) {
  std::vector<AdapterRows> chosen;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const AdapterRows& range : ranges) {
      if (rows[i] < range.begin || rows[i] >= range.end) continue;
      chosen.push_back({static_cast<int32_t>(i), static_cast<int32_t>(i) + 1, range.adapter});
    }
  }
  return mergeAdapterRows(chosen);
}

std::span<const LoraGroup> LoraGroupBuilder::build(std::span<const std::shared_ptr<Adapter>> adapters,
                                                   std::span<const AdapterRows> rows, int32_t layer, LinearGroup group,
                                                   std::span<const DevF32> gradients, const RowDropout& dropout) {
  groups_.clear();
  segments_.clear();
  if (adapters.empty()) return {};
  segments_.reserve(rows.size() * 3);  // at most q, k, v: pointers into it must stay
  for (const AdapterRows& range : rows) {
    if (range.adapter < 0) continue;
    const Adapter& adapter = *adapters[static_cast<size_t>(range.adapter)];
    const AdapterLayout& layout = adapter.layout();
    const auto [first, last] = layout.groupSlots(layer, group);
    if (first == last) continue;
    const int32_t rank = layout.spec().rank;
    const DevF32 parameters = adapter.parameters();
    const DevF32 gradient = gradients.empty() ? DevF32() : gradients[static_cast<size_t>(range.adapter)];
    const size_t segmentBegin = segments_.size();
    for (int32_t i = first; i < last; ++i) {
      const AdapterSlot& slot = layout.slots()[static_cast<size_t>(i)];
      LoraSegment segment;
      segment.outBegin = slot.outBegin;
      segment.outEnd = slot.outBegin + slot.out;
      segment.rank = rank;
      segment.rankBegin = slot.rankBegin;
      segment.bT = parameters + slot.bOffset;
      if (gradient) segment.dbT = gradient + slot.bOffset;
      segment.module = slot.module();
      segments_.push_back(segment);
    }
    LoraGroup lora;
    lora.rowBegin = range.begin;
    lora.rowEnd = range.end;
    lora.scale = layout.spec().scale();
    lora.rankTotal = rank * (last - first);
    const int64_t aOffset = layout.slots()[static_cast<size_t>(first)].aOffset;
    lora.a = parameters + aOffset;
    if (gradient) lora.dA = gradient + aOffset;
    lora.segments = std::span(segments_).subspan(segmentBegin);
    if (!dropout.keys.empty() && layout.spec().dropout > 0) {
      lora.dropout = {layout.spec().dropout, dropout.keys[static_cast<size_t>(range.adapter)], dropout.records,
                      dropout.positions};
    }
    groups_.push_back(lora);
  }
  return groups_;
}

}  // namespace mlit
