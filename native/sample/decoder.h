// The transformer as generation needs it: rows of many sequences at once, keys and values in a paged cache, no activations
// kept. It knows rows and pages; which request a row belongs to is the engine's business.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/adapter.h"
#include "model/lora_groups.h"
#include "model/plan.h"

namespace mlit {

// Host description of one forward pass; arrays are read before run() returns.
struct DecodeBatch {
  std::vector<int32_t> tokens, positions;   // [rows]
  std::vector<int32_t> rowPages, rowSlots;  // [rows]: where the row's own key and value go
  std::vector<int32_t> rowTables;           // [rows]: start of its sequence's page table inside pageTables
  std::vector<int32_t> pageTables;          // concatenated page tables
  std::vector<AdapterRows> adapterRows;     // merged, sorted
  std::vector<int32_t> outputRows;          // rows whose next token is drawn
  std::vector<SampleParams> params;         // one for each of outputRows
  int32_t maxPosition = 0;
  void clear();
};

class Decoder {
 public:
  struct Limits {
    int32_t rows = 0;     // of one pass
    int32_t outputs = 0;  // of one pass
    int32_t pages = 0;    // of the cache
    int32_t usable = 0;   // ids below this may be drawn; 0 = all
  };

  Decoder(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters, const Limits& limits);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // tokens, logprobs: [outputRows]. kCancelled once the flag, read every few milliseconds, is true.
  void run(const DecodeBatch& batch, std::span<int32_t> tokens, std::span<float> logprobs,
           const std::atomic<bool>* cancel);

  static MemoryPlan plan(const ModelConfig& config, const BackendSizes& backend, const Limits& limits,
                         int32_t maxGroupRank);
  const MemoryPlan& memory() const { return memory_; }

 private:
  struct Buffers;
  void layers(const DecodeBatch& batch);
  void draw(const DecodeBatch& batch);
  void layer(int32_t index, int32_t rows, const DecodeBatch& batch);
  std::span<const LoraGroup> groups(int32_t layer, LinearGroup group, const DecodeBatch& batch);

  std::shared_ptr<Model> model_;
  std::vector<std::shared_ptr<Adapter>> adapters_;
  Limits limits_;
  MemoryPlan memory_;
  std::unique_ptr<Buffers> buffers_;
  LoraGroupBuilder lora_;
};

}  // namespace mlit
