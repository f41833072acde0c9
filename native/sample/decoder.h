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

// An id and its natural log-probability, before temperature and filters.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  bool operator==(const TokenLogprob&) const = default;
};

// What is wanted of an output row beside its new token.
struct ScoreWish {
  int32_t target = -1;  // the log-probability of this id, -1: of none
  int32_t top = 0;      // the likeliest ids, so many
};
struct RowScores {
  float target = 0;
  std::vector<TokenLogprob> top;  // best first, ties to the smaller id
  bool operator==(const RowScores&) const = default;
};

// The first tokens of a page, into another.
struct PageCopy {
  int32_t from = 0, to = 0, tokens = 0;
};

// Host description of one forward pass; arrays are read before run() returns.
struct DecodeBatch {
  std::vector<int32_t> tokens, positions;   // [rows]
  std::vector<int32_t> rowPages, rowSlots;  // [rows]: where the row's own key and value go
  std::vector<int32_t> rowTables;           // [rows]: start of its sequence's page table inside pageTables
  std::vector<int32_t> pageTables;          // concatenated page tables
  std::vector<AdapterRows> adapterRows;     // merged, sorted
  std::vector<int32_t> outputRows;          // rows whose next token is drawn
  std::vector<SampleParams> params;         // one for each of outputRows
  std::vector<ScoreWish> wishes;            // one for each of outputRows, or none at all
  std::vector<int32_t> targetRows;          // rows that draw nothing, of whose logits one number is wanted:
  std::vector<int32_t> targets;             // the log-probability of this id
  std::vector<PageCopy> copies;             // made before anything is computed, in their order
  int32_t maxPosition = 0;
  void clear();
};

class Decoder {
 public:
  struct Limits {
    int32_t rows = 0;       // of one pass
    int32_t sequences = 0;  // of one pass
    int32_t pages = 0;      // of the cache
    int32_t usable = 0;     // ids below this may be drawn; 0 = all
  };

  Decoder(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters, const Limits& limits);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // What comes of a pass; spans as long as its rows, of which the beginning is written.
  struct Results {
    std::span<int32_t> tokens;        // [outputRows]
    std::span<float> logprobs;        // [outputRows]
    std::span<RowScores> scores;      // [outputRows] where there are wishes
    std::span<float> targetLogprobs;  // [targetRows]
  };
  // kCancelled once the flag, read every few milliseconds, is true.
  void run(const DecodeBatch& batch, const Results& results, const std::atomic<bool>* cancel);

  static MemoryPlan plan(const ModelConfig& config, const BackendSizes& backend, const Limits& limits,
                         int32_t maxGroupRank);
  const MemoryPlan& memory() const { return memory_; }

 private:
  struct Buffers;
  void copyPages(const DecodeBatch& batch);
  void layers(const DecodeBatch& batch);
  void draw(const DecodeBatch& batch, std::span<RowScores> scores);
  void score(const DecodeBatch& batch, int64_t first, int64_t count, std::span<RowScores> scores);
  void scoreTargets(const DecodeBatch& batch);
  void layer(int32_t index, int32_t rows, const DecodeBatch& batch);
  std::span<const LoraGroup> groups(int32_t layer, LinearGroup group, const DecodeBatch& batch);

  std::shared_ptr<Model> model_;
  std::vector<std::shared_ptr<Adapter>> adapters_;
  Limits limits_;
  MemoryPlan memory_;
  std::unique_ptr<Buffers> buffers_;
  LoraGroupBuilder lora_;
  int64_t lossRows_ = 0;          // rows whose targets are scored in one go, without logits; 0: by their logits
  std::vector<float> rowLogits_;  // one row, on the host, for what wishes ask; allocated by the first of them
};

}  // namespace mlit
