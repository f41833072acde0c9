// Where every factor of an adapter lies: layer by layer, group by group, the group's A's first (stacked), then its B's;
// the head's last.
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

GroupShape groupShape(const ModelConfig& c, LinearGroup group) {
  switch (group) {
    case LinearGroup::kQkv:
      return {Projection::kQ, 3, c.hidden};
    case LinearGroup::kO:
      return {Projection::kO, 1, c.queryDim()};
    case LinearGroup::kGateUp:
      return {Projection::kGate, 2, c.hidden};
    case LinearGroup::kDown:
      return {Projection::kDown, 1, c.feedForward};
    case LinearGroup::kHead:
      return {Projection::kHead, 1, c.hidden};
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
    case Projection::kHead:
      return c.vocabulary;
  }
  throw Error(ErrorCode::kInternal, "unknown projection");
}

}  // namespace

const char* projectionName(Projection projection) {
  constexpr std::array<const char*, kProjections> kNames = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                                            "gate_proj", "up_proj", "down_proj", "lm_head"};
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
  if (!(spec.dropout >= 0 && spec.dropout < 1)) {
    throw Error(ErrorCode::kInvalidArgument,
                "an adapter's dropout must be 0 to less than 1, not " + std::to_string(spec.dropout),
                {{"field", "dropout"}, {"value", std::to_string(spec.dropout)}});
  }
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    for (int group = 0; group < kLayerGroups; ++group) placeGroup(config, layer, static_cast<LinearGroup>(group));
  }
  placeGroup(config, config.layers, LinearGroup::kHead);
  groupBegin_.push_back(static_cast<int32_t>(slots_.size()));
}

void AdapterLayout::placeGroup(const ModelConfig& config, int32_t layer, LinearGroup group) {
  const GroupShape shape = groupShape(config, group);
  const size_t begin = slots_.size();
  groupBegin_.push_back(static_cast<int32_t>(begin));
  int32_t outBegin = 0, rankBegin = 0;
  for (int32_t i = 0; i < shape.count; ++i) {
    const auto projection = static_cast<Projection>(static_cast<int>(shape.first) + i);
    const int32_t out = outOf(config, projection);
    if (spec_.targets[static_cast<size_t>(projection)]) {
      slots_.push_back({projection, layer, shape.in, out, outBegin, rankBegin, parameterCount_, 0});
      rankBegin += spec_.rank;
      parameterCount_ += int64_t{spec_.rank} * shape.in;
    }
    outBegin += out;
  }
  for (size_t i = begin; i < slots_.size(); ++i) {
    slots_[i].bOffset = parameterCount_;
    parameterCount_ += int64_t{spec_.rank} * slots_[i].out;
  }
}

std::pair<int32_t, int32_t> AdapterLayout::groupSlots(int32_t layer, LinearGroup group) const {
  const size_t head = groupBegin_.size() - 2;
  const size_t i =
      group == LinearGroup::kHead ? head : static_cast<size_t>(layer) * kLayerGroups + static_cast<size_t>(group);
  return {groupBegin_[i], groupBegin_[i + 1]};
}

bool AdapterLayout::onlyHead() const { return groupSlots(0, LinearGroup::kHead).first == 0; }

int32_t AdapterLayout::maxGroupRank() const {
  int32_t largest = 0;
  for (const LinearGroup group :
       {LinearGroup::kQkv, LinearGroup::kO, LinearGroup::kGateUp, LinearGroup::kDown, LinearGroup::kHead}) {
    const auto [first, last] = groupSlots(0, group);
    largest = std::max(largest, (last - first) * spec_.rank);
  }
  return largest;
}

}  // namespace mlit
