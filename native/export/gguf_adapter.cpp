// The factors are small: each is put right in memory and written.
#include <cmath>

#include "checkpoint/dequant.h"
#include "core/error.h"
#include "export/gguf_model.h"

namespace mlit {

namespace {

// B [out, rank] of one matrix, rows in GGUF's order.
std::vector<float> outputFactor(const HostAdapter& adapter, const ExportTensor& tensor, const AdapterSlot& slot) {
  const int64_t rank = adapter.layout.spec().rank;
  std::vector<float> b(static_cast<size_t>(slot.out * rank));
  for (int64_t row = 0; row < slot.out; ++row) {
    const int64_t to = tensor.rotaryHeads > 0 ? interleavedRow(row, slot.out / tensor.rotaryHeads) : row;
    for (int64_t r = 0; r < rank; ++r)
      b[static_cast<size_t>(to * rank + r)] = adapter.flat[static_cast<size_t>(slot.bOffset + r * slot.out + row)];
  }
  return b;
}

}  // namespace

ExportResult exportGgufAdapter(const ModelConfig& config, const HostAdapter& adapter, const std::string& path,
                               DType dtype, const std::vector<GgufEntry>& entries) {
  const AdapterSpec& spec = adapter.layout.spec();
  const auto refuse = [&](const std::string& what, const std::string& option) {
    return Error(ErrorCode::kModelUnsupported,
                 "a GGUF adapter can't hold " + what + "; merge it instead (--format gguf or safetensors)",
                 {{"file", path}, {"option", option}});
  };
  if (spec.alpha == 0) throw refuse("an alpha of 0, which its readers take for no scaling at all", "lora_alpha");
  if (untiesHead(config, &adapter))
    throw refuse("a LoRA on the head of a model whose head is its embedding", "lm_head");
  const float alpha =
      spec.rslora ? static_cast<float>(static_cast<double>(spec.alpha) * std::sqrt(spec.rank)) : spec.alpha;
  std::vector<GgufEntry> all = {
      ggufText("general.architecture", architectureName(config.architecture)),
      ggufText("general.type", "adapter"),
      ggufText("adapter.type", "lora"),
      ggufF32("adapter.lora.alpha", alpha),
  };
  all.insert(all.end(), entries.begin(), entries.end());

  ExportResult result{{path}, 0, false};
  std::vector<TensorLayout> layout;
  std::vector<std::pair<const AdapterSlot*, ExportTensor>> parts;
  for (ExportTensor& tensor : exportTensors(config, !config.tiedHead)) {
    const AdapterSlot* slot = slotOf(adapter, tensor);
    if (slot == nullptr) continue;
    layout.push_back({tensor.ggufName + ".lora_a", dtype, {spec.rank, slot->in}});
    layout.push_back({tensor.ggufName + ".lora_b", dtype, {slot->out, spec.rank}});
    result.bytes += static_cast<uint64_t>(int64_t{spec.rank} * (slot->in + slot->out) * blockShape(dtype).bytes);
    parts.emplace_back(slot, std::move(tensor));
  }
  GgufStream file(path, all, layout);
  std::vector<uint8_t> bytes;
  const auto write = [&](const float* values, int64_t rows, int64_t columns) {
    bytes.resize(static_cast<size_t>(rows * columns * blockShape(dtype).bytes));
    encodeRows(values, 0, rows, columns, nullptr, dtype, bytes.data());
    file.write(bytes.data(), bytes.size());
  };
  for (const auto& [slot, tensor] : parts) {
    write(adapter.flat.data() + slot->aOffset, spec.rank, slot->in);
    write(outputFactor(adapter, tensor, *slot).data(), slot->out, spec.rank);
  }
  file.commit();
  return result;
}

}  // namespace mlit
