// Where every factor of an adapter lies: layer by layer, group by group, the group's A's first (stacked), then its B's.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "model/adapter.h"

namespace mlit {

namespace {

struct GroupShape {
  Projection first;
  int32_t count;
  int32_t in;
};

GroupShape groupShape(const ModelConfig& c, int group) {
  switch (static_cast<LinearGroup>(group)) {
    case LinearGroup::kQkv:
      return {Projection::kQ, 3, c.hidden};
    case LinearGroup::kO:
      return {Projection::kO, 1, c.queryDim()};
    case LinearGroup::kGateUp:
      return {Projection::kGate, 2, c.hidden};
    case LinearGroup::kDown:
      return {Projection::kDown, 1, c.feedForward};
  }
  throw Error(ErrorCode::kInternal, "unknown linear group");
}

int32_t outOf(const ModelConfig& c, Projection projection) {
  switch (projection) {
    case Projection::kQ:
      return c.queryDim();
    case Projection::kK:
    case Projection::kV:
      return c.kvDim();
    case Projection::kGate:
    case Projection::kUp:
      return c.feedForward;
    case Projection::kO:
    case Projection::kDown:
      return c.hidden;
  }
  throw Error(ErrorCode::kInternal, "unknown projection");
}

}  // namespace

const char* projectionName(Projection projection) {
  constexpr std::array<const char*, kProjections> kNames = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                            "gate_proj", "up_proj", "down_proj"};
  return kNames[static_cast<size_t>(projection)];
}

float AdapterSpec::scale() const {
  return alpha / (rslora ? std::sqrt(static_cast<float>(rank)) : static_cast<float>(rank));
}

AdapterLayout::AdapterLayout(const ModelConfig& config, const AdapterSpec& spec) : spec_(spec) {
  const bool any = std::any_of(spec.targets.begin(), spec.targets.end(), [](bool target) { return target; });
  if (!any)
    throw Error(ErrorCode::kInvalidArgument, "an adapter needs at least one target projection", {{"field", "targets"}});
  if (spec.rank < 1 || spec.rank > 65536) {
    throw Error(ErrorCode::kInvalidArgument, "an adapter's rank must be 1 to 65536, not " + std::to_string(spec.rank),
                {{"field", "rank"}, {"value", std::to_string(spec.rank)}});
  }
  if (!std::isfinite(spec.alpha))
    throw Error(ErrorCode::kInvalidArgument, "an adapter's alpha must be a finite number", {{"field", "alpha"}});
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    std::array<int32_t, kLinearGroups + 1> begins{};
    for (int group = 0; group < kLinearGroups; ++group) {
      const GroupShape shape = groupShape(config, group);
      begins[static_cast<size_t>(group)] = static_cast<int32_t>(slots_.size());
      int32_t outBegin = 0, rankBegin = 0;
      for (int32_t i = 0; i < shape.count; ++i) {
        const auto projection = static_cast<Projection>(static_cast<int>(shape.first) + i);
        const int32_t out = outOf(config, projection);
        if (spec.targets[static_cast<size_t>(projection)]) {
          slots_.push_back({projection, layer, shape.in, out, outBegin, rankBegin, parameterCount_, 0});
          rankBegin += spec.rank;
          parameterCount_ += int64_t{spec.rank} * shape.in;
        }
        outBegin += out;
      }
      for (size_t i = static_cast<size_t>(begins[static_cast<size_t>(group)]); i < slots_.size(); ++i) {
        slots_[i].bOffset = parameterCount_;
        parameterCount_ += int64_t{spec.rank} * slots_[i].out;
      }
    }
    begins[kLinearGroups] = static_cast<int32_t>(slots_.size());
    groupBegin_.push_back(begins);
  }
}

std::pair<int32_t, int32_t> AdapterLayout::groupSlots(int32_t layer, LinearGroup group) const {
  const auto& begins = groupBegin_[static_cast<size_t>(layer)];
  return {begins[static_cast<size_t>(group)], begins[static_cast<size_t>(group) + 1]};
}

int32_t AdapterLayout::maxGroupRank() const {
  int32_t largest = 0;
  for (int group = 0; group < kLinearGroups; ++group) {
    const auto [first, last] = groupSlots(0, static_cast<LinearGroup>(group));
    largest = std::max(largest, (last - first) * spec_.rank);
  }
  return largest;
}

}  // namespace mlit
