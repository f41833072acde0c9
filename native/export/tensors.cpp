// Names come from the loader's tables, so that what is written is what is read.
#include "export/tensors.h"

#include "model/loader.h"

namespace mlit {

std::vector<ExportTensor> exportTensors(const ModelConfig& c, bool ownHead) {
  const TensorNames names = tensorNames(c, false), gguf = tensorNames(c, true);
  const int64_t d = c.hidden, f = c.feedForward;
  std::vector<ExportTensor> tensors;
  const auto whole = [&](TensorPart part, std::string TensorNames::*name, Shape shape) {
    tensors.push_back({part, -1, names.*name, gguf.*name, std::move(shape), 0});
  };
  whole(TensorPart::kEmbedding, &TensorNames::embedding, {c.vocabulary, d});
  for (int32_t layer = 0; layer < c.layers; ++layer) {
    const std::string number = std::to_string(layer) + ".";
    const auto add = [&](TensorPart part, std::string TensorNames::*name, Shape shape, int32_t heads = 0) {
      tensors.push_back({part, layer, names.layerPrefix + number + names.*name, gguf.layerPrefix + number + gguf.*name,
                         std::move(shape), gguf.rotaryPairsInterleaved ? heads : 0});
    };
    add(TensorPart::kAttentionNorm, &TensorNames::attentionNorm, {d});
    add(TensorPart::kQ, &TensorNames::q, {c.queryDim(), d}, c.heads);
    add(TensorPart::kK, &TensorNames::k, {c.kvDim(), d}, c.kvHeads);
    add(TensorPart::kV, &TensorNames::v, {c.kvDim(), d});
    if (c.qkvBias) {
      add(TensorPart::kQBias, &TensorNames::qBias, {c.queryDim()});
      add(TensorPart::kKBias, &TensorNames::kBias, {c.kvDim()});
      add(TensorPart::kVBias, &TensorNames::vBias, {c.kvDim()});
    }
    if (c.qkNorm) {
      add(TensorPart::kQNorm, &TensorNames::qNorm, {c.headDim});
      add(TensorPart::kKNorm, &TensorNames::kNorm, {c.headDim});
    }
    add(TensorPart::kO, &TensorNames::o, {d, c.queryDim()});
    if (c.postNorms) add(TensorPart::kPostAttentionNorm, &TensorNames::postAttentionNorm, {d});
    add(TensorPart::kMlpNorm, &TensorNames::mlpNorm, {d});
    add(TensorPart::kGate, &TensorNames::gate, {f, d});
    add(TensorPart::kUp, &TensorNames::up, {f, d});
    add(TensorPart::kDown, &TensorNames::down, {d, f});
    if (c.postNorms) add(TensorPart::kPostMlpNorm, &TensorNames::postMlpNorm, {d});
  }
  whole(TensorPart::kFinalNorm, &TensorNames::finalNorm, {d});
  if (ownHead) whole(TensorPart::kHead, &TensorNames::head, {c.vocabulary, d});
  return tensors;
}

const AdapterSlot* slotOf(const HostAdapter& adapter, const ExportTensor& tensor) {
  const bool head = tensor.part == TensorPart::kHead;
  if (!tensor.isMatrix() || tensor.part == TensorPart::kEmbedding) return nullptr;
  for (const AdapterSlot& slot : adapter.layout.slots()) {
    if (head ? slot.projection == Projection::kHead
             : slot.layer == tensor.layer &&
                   tensor.name.ends_with("." + std::string(projectionName(slot.projection)) + ".weight"))
      return &slot;
  }
  return nullptr;
}

bool untiesHead(const ModelConfig& config, const HostAdapter* adapter) {
  return adapter != nullptr && config.tiedHead &&
         adapter->layout.spec().targets[static_cast<size_t>(Projection::kHead)];
}

}  // namespace mlit
