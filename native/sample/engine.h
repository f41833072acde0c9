// Batched generation with continuous batching: every call of step() advances all running sequences by one token (or a
// chunk of prompt), and a finished one's place is taken by the next waiting request at once. What prompts of one adapter
// have in common at their beginning is computed once: whole pages of the cache are shared, and the beginning of one more is
// copied where that is most of what is left.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/plan.h"
#include "sample/decoder.h"

namespace mlit {

struct SampleRequest {
  int64_t id = 0;
  std::vector<int32_t> prompt;   // at least one token
  int32_t maxNewTokens = 256;    // 0: none, the prompt alone is scored, which is two tokens or more then
  SampleParams params;           // position is filled in by the engine
  std::vector<int32_t> stopIds;  // generation ends when one is drawn; it is reported, with finish kStop
  int32_t adapter = -1;          // index into the engine's adapters, -1 = bare base
  int32_t top = 0;               // likeliest ids reported beside each token, at most kMaxTop
  int32_t scoreFrom = 0;         // the prompt's tokens from this place on are reported as well, 1 or more; 0: none.
                                 // What stands before them can be shared, they themselves are computed
};

inline constexpr int32_t kMaxTop = 20;

// kNotFinite: the logits are no numbers, as those of a training that has diverged; the token means nothing.
enum class Finish { kNone, kStop, kLength, kContext, kNotFinite };

// One new token of one sequence. The last one of a sequence carries its finish reason. Of a request for no token there is one,
// with token -1.
struct SampleEvent {
  int64_t id = 0;
  int32_t token = 0;
  float logprob = 0;
  Finish finish = Finish::kNone;
  std::vector<TokenLogprob> top;
  std::vector<RowScores> prompt;  // with the first one, where asked for: of the prompt's tokens from scoreFrom on
};

struct SampleOptions {
  int32_t maxRows = 32;         // sequences at once
  int64_t cacheTokens = 0;      // KV capacity in tokens, all sequences together; 0 = maxRows * 1024
  int32_t prefillTokens = 512;  // prompt tokens computed in one step at most
  int32_t usableTokens =
      0;  // ids below this may be drawn (a padded vocabulary is larger than its tokenizer's); 0 = all
};

// What an engine did since it was made, and what its cache holds now.
struct SampleStats {
  int64_t computedTokens = 0;  // prompt tokens that were computed
  int64_t sharedTokens = 0;    // prompt tokens whose keys and values were there already
  int32_t pages = 0;           // of the cache
  int32_t heldPages = 0;       // of requests that run
};

class SampleEngine {
 public:
  SampleEngine(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters,
               const SampleOptions& options);
  ~SampleEngine();

  // Queued in order. kInvalidArgument: empty prompt, ids out of range, prompt + maxNewTokens over the cache or the context.
  void submit(const SampleRequest& request);
  // Drops a request, running or waiting; no further events. Unknown ids are ignored.
  void cancel(int64_t id);
  bool idle() const;
  // Admits what fits, computes, returns this step's tokens. Where it throws every sequence is dropped.
  std::vector<SampleEvent> step();
  const MemoryPlan& memory() const;
  SampleStats stats() const;  // not while a step runs
  static MemoryPlan plan(const ModelConfig& config, const BackendSizes& backend, const SampleOptions& options,
                         int32_t maxAdapterRank);
  // Read every few milliseconds of step(): once it is true, that throws kCancelled and every sequence is dropped.
  void setCancelFlag(const std::atomic<bool>* cancel);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlit
