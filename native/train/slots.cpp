// Adapters that come and go in a session that stays: what is in a slot brings the memory of its gradients and moments and
// takes it along, so that a session of many short runs is as large as those that are in it.
#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/host_memory.h"
#include "train/session_impl.h"

namespace mlit {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "setAdapter: " + what, {{"field", "adapter"}});
}

// Scratch was planned for the slots' specs: a row's p and u, and who each row is where something is dropped.
void refuseWider(const ModelConfig& config, const std::vector<AdapterSpec>& slots, const AdapterLayout& layout) {
  int32_t widest = 0;
  bool dropout = false;
  for (const AdapterSpec& spec : slots) {
    widest = std::max(widest, AdapterLayout(config, spec).maxGroupRank());
    dropout = dropout || spec.dropout > 0;
  }
  if (layout.maxGroupRank() > widest) {
    refuse("the ranks of projections that share an input come to " + std::to_string(layout.maxGroupRank()) +
           ", but the slots were planned for " + std::to_string(widest));
  }
  if (layout.spec().dropout > 0 && !dropout) refuse("it has dropout, and no slot was planned for an adapter that has");
}

}  // namespace

size_t TrainSession::Impl::filledIndex(int32_t adapter) const {
  const size_t i = trainedIndex(adapter);
  if (trained[i].count > 0) return i;
  throw Error(ErrorCode::kInvalidArgument,
              "slot " + std::to_string(adapter) + " is empty: put an adapter into it first", {{"field", "adapter"}});
}

void TrainSession::setAdapter(int32_t slot, std::shared_ptr<Adapter> adapter, uint64_t seed) {
  Impl& s = *impl_;
  if (!s.hasSlots()) refuse("this session was made without slots");
  const size_t i = s.trainedIndex(slot);
  Backend& backend = s.model->backend();
  if (adapter) {
    if (adapter->model() != s.model) refuse("the adapter belongs to another model");
    if (std::find(s.adapters.begin(), s.adapters.end(), adapter) != s.adapters.end())
      refuse("the adapter is in a slot already");
    refuseWider(s.model->config(), s.options.slots, adapter->layout());
  }
  backend.synchronize();  // nothing that is under way reads what goes
  s.activationsKept = s.isAhead = false;
  s.pending[i] = s.dirty[i] = 0;
  s.steps[i] = 0;
  s.seeds[i] = seed;
  s.trained[i] = {};
  s.adapters[i] = nullptr;
  s.buffers.gradients[i] = s.buffers.m[i] = s.buffers.v[i] = {};
  s.slotMemory[i] = nullptr;
  returnFreedMemory();
  if (adapter) {
    const int64_t n = adapter->layout().parameterCount();
    const ElementType activation = backend.activationType();
    const auto place = [&](Arena& arena) {
      s.buffers.gradients[i] = arena.floats("optimizer", n);
      s.buffers.m[i] = arena.floats("optimizer", n);
      s.buffers.v[i] = arena.floats("optimizer", n);
    };
    Arena counting(activation);
    place(counting);
    auto memory = std::make_unique<DeviceBlock>(backend, counting.bytes());
    backend.zero(memory->at(), counting.bytes());
    backend.synchronize();
    Arena arena(activation, memory->at());
    place(arena);
    s.slotMemory[i] = std::move(memory);
    s.trained[i] = trainedAdapter(*s.model, *adapter, 0);  // a state file knows of no other
    s.adapters[i] = std::move(adapter);
  }
  s.body.adaptersChanged();
}

}  // namespace mlit
