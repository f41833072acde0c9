// A LoRA adapter (Hu et al., 2021) as data: one flat float32 vector on the device, laid out so that projections which
// share an input have their A's stacked and every B transposed, as backend.h wants them.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"

namespace mlit {

// The seven projections of a layer, in the order used everywhere, then the output head.
enum class Projection { kQ, kK, kV, kO, kGate, kUp, kDown, kHead };
inline constexpr int kLayerProjections = 7;
inline constexpr int kProjections = 8;
const char* projectionName(Projection projection);  // "q_proj", ..., "lm_head"

// The four stacked weights of a layer, then the head.
enum class LinearGroup { kQkv, kO, kGateUp, kDown, kHead };
inline constexpr int kLayerGroups = 4;

struct AdapterSpec {
  int32_t rank = 16;
  float alpha = 32;
  bool rslora = false;
  double dropout = 0;  // of training, 0 to less than 1
  std::array<bool, kProjections> targets = {true, true, true, true, true, true, true, false};
  float scale() const;  // alpha / rank, or alpha / sqrt(rank)
};

// Where one projection of one layer lies in the flat vector. The head's layer is the number of layers.
struct AdapterSlot {
  Projection projection = Projection::kQ;
  int32_t layer = 0;
  int32_t in = 0;
  int32_t out = 0;
  int32_t outBegin = 0;   // column offset inside the stacked weight
  int32_t rankBegin = 0;  // row offset inside the group's stacked A
  int64_t aOffset = 0;    // floats: A [rank, in]
  int64_t bOffset = 0;    // floats: B transposed [rank, out]

  // One number for each projection of a model, whatever has an adapter.
  uint32_t module() const { return static_cast<uint32_t>(layer * kLayerProjections + static_cast<int>(projection)); }
};

class AdapterLayout {
 public:
  AdapterLayout(const ModelConfig& config, const AdapterSpec& spec);
  const AdapterSpec& spec() const { return spec_; }
  int64_t parameterCount() const { return parameterCount_; }
  const std::vector<AdapterSlot>& slots() const { return slots_; }  // layer by layer, group by group, then the head
  // Slots of one group of one layer (contiguous), possibly empty; their stacked A starts at the first one's aOffset. The
  // head's are the same for every layer.
  std::pair<int32_t, int32_t> groupSlots(int32_t layer, LinearGroup group) const;
  bool onlyHead() const;         // nothing in the layers is trained
  int32_t maxGroupRank() const;  // largest stacked rank of a group

 private:
  void placeGroup(const ModelConfig& config, int32_t layer, LinearGroup group);
  AdapterSpec spec_;
  std::vector<AdapterSlot> slots_;
  std::vector<int32_t> groupBegin_;  // [layers * kLayerGroups + 2]: of each layer's groups, of the head, the end
  int64_t parameterCount_ = 0;
};

// An adapter's numbers without a backend: what export merges and converts.
struct HostAdapter {
  AdapterLayout layout;
  std::vector<float> flat;  // as Adapter::toHost() gives it
};
// folder: PEFT's adapter_config.json + adapter_model.safetensors. Throws kTensorMissing / kTensorMismatch naming the tensor,
// kModelUnsupported naming the option of adapter_config.json that is not supported.
HostAdapter readPeftAdapter(const ModelConfig& config, const std::string& folder);

class Adapter {
 public:
  // A ~ U(±1/sqrt(in)) from Philox(seed), B = 0, as in peft.
  static std::shared_ptr<Adapter> create(std::shared_ptr<Model> model, const AdapterSpec& spec, uint64_t seed);
  // From a PEFT folder; throws what readPeftAdapter does.
  static std::shared_ptr<Adapter> load(std::shared_ptr<Model> model, const std::string& folder);
  ~Adapter();

  const AdapterLayout& layout() const { return layout_; }
  const std::shared_ptr<Model>& model() const { return model_; }
  DevF32 parameters() const { return parameters_; }

  std::vector<float> toHost() const;  // the flat vector
  void fromHost(const std::vector<float>& flat);
  // Writes PEFT's two files (each by temporary name, fsync, rename). baseModel goes into base_model_name_or_path.
  void save(const std::string& folder, const std::string& baseModel) const;

 private:
  Adapter(std::shared_ptr<Model> model, const AdapterSpec& spec);
  std::shared_ptr<Model> model_;
  ModelUse use_;
  AdapterLayout layout_;
  DevF32 parameters_;
};

// base_model_name_or_path and the spec of a PEFT folder, without its tensors.
struct PeftConfig {
  AdapterSpec spec;
  std::string baseModel;
};
PeftConfig readPeftConfig(const std::string& folder);

}  // namespace mlit
