// The scheduler: which sequences run, which rows of which prompts are computed next, and where their keys and values lie.
// Pages for a whole request are reserved when it is admitted, so a running sequence never has to be thrown out; those of a
// beginning that is there already, or that another request is about to compute, are shared. Where prompts part inside a page,
// what they have in common there is copied.
#include "sample/engine.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "sample/page_pool.h"

namespace mlit {

namespace {

int32_t pagesFor(int64_t tokens) { return static_cast<int32_t>((tokens + kKvPageTokens - 1) / kKvPageTokens); }

int64_t cacheTokensOf(const SampleOptions& options) {
  return options.cacheTokens > 0 ? options.cacheTokens : int64_t{options.maxRows} * 1024;
}

Decoder::Limits limitsOf(const SampleOptions& options) {
  if (options.maxRows < 1 || options.prefillTokens < 1 || options.cacheTokens < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "sampler options: maxRows and prefillTokens must be at least 1, cacheTokens at least 0",
                {{"maxRows", std::to_string(options.maxRows)},
                 {"prefillTokens", std::to_string(options.prefillTokens)},
                 {"cacheTokens", std::to_string(options.cacheTokens)}});
  }
  return {options.maxRows + options.prefillTokens, options.maxRows, pagesFor(cacheTokensOf(options)),
          options.usableTokens};
}

// Fewer tokens than these are computed anew sooner than a donor is waited for.
constexpr int32_t kLeastDonated = 8;

struct Sequence {
  SampleRequest request;
  std::vector<int32_t> tokens;  // prompt, then what was drawn
  std::vector<int32_t> pages;
  PagePool::Prefix root = PagePool::kNone;  // the empty prefix that it was admitted under
  int32_t shared = 0;         // leading pages that were there when it was admitted: others may store them as well
  int32_t donated = -1;       // a page of the donor, held until its beginning is copied to behind the shared ones
  int32_t donatedTokens = 0;  // so many tokens of it
  int64_t donor = 0;          // the request that stores them
  int32_t published = 0;      // leading pages that others can find
  PagePool::Prefix prefix = PagePool::kNone;  // of the published pages
  int32_t computed = 0;                       // tokens whose keys and values are stored
  int32_t generated = 0;
  std::vector<RowScores> promptScores;  // of what was computed, until the first token takes them along

  // Tokens whose keys and values are wanted: all that there are, but for the last one of a prompt that nothing is to follow.
  int32_t wanted() const { return static_cast<int32_t>(tokens.size()) - (request.maxNewTokens == 0 ? 1 : 0); }
  int32_t pending() const { return wanted() - computed; }
  // Leading tokens whose logits nobody asks for: only those need not be computed anew. The last one's are always asked for.
  int32_t sharable() const {
    const auto prompt = static_cast<int32_t>(request.prompt.size());
    return (request.scoreFrom > 0 ? std::min(request.scoreFrom, prompt) : prompt) - 1;
  }
  std::span<const int32_t> page(int32_t index) const {
    return std::span(tokens).subspan(static_cast<size_t>(index) * kKvPageTokens, kKvPageTokens);
  }
};

}  // namespace

struct SampleEngine::Impl {
  std::shared_ptr<Model> model;
  size_t adapterCount;
  SampleOptions options;
  Decoder decoder;
  const std::atomic<bool>* cancelFlag = nullptr;

  // submit() and cancel() may come from another thread than step(): they meet here.
  mutable std::mutex inboxMutex;
  std::vector<SampleRequest> inbox;
  std::unordered_set<int64_t> cancelled;
  int64_t unfinished = 0;  // submitted and neither finished nor cancelled

  std::deque<Sequence> waiting;
  std::vector<Sequence> running;
  PagePool pages;
  std::vector<PagePool::Prefix> roots;  // [adapters + 1]: the empty prefix of the base (0) and of each adapter
  uint64_t weightsVersion = 0;          // of the weights that the roots are of
  SampleStats stats;                    // heldPages is counted when asked for

  DecodeBatch batch;
  std::vector<size_t> outputOwners;  // index into running of each output row
  std::vector<int32_t> drawn;
  std::vector<float> logprobs;
  std::vector<RowScores> scores;
  std::vector<size_t> targetOwners;  // index into running of each target row
  std::vector<float> targetLogprobs;
  std::vector<size_t> scoredOnly;  // indices into running: their prompts are through, and nothing is drawn

  Impl(std::shared_ptr<Model> m, std::vector<std::shared_ptr<Adapter>> adapters, const SampleOptions& o)
      : model(m),
        adapterCount(adapters.size()),
        options(o),
        decoder(std::move(m), std::move(adapters), limitsOf(o)),
        pages(limitsOf(o).pages) {
    stats.pages = pages.total();
    renewRoots();
    const auto rows = static_cast<size_t>(limitsOf(o).rows);
    drawn.resize(rows);
    logprobs.resize(rows);
    scores.resize(rows);
    targetLogprobs.resize(rows);
  }

  void validate(const SampleRequest& r) const;
  void drainInbox();
  void renewRoots();
  void admit();
  bool reservePages(Sequence& sequence);
  void findDonor(Sequence& sequence);
  bool waitsForDonor(Sequence& sequence);
  void catchUp(Sequence& sequence);
  void publishPages(Sequence& sequence, int32_t tokens);
  void buildBatch();
  void addRows(size_t index, int32_t count);
  void addTarget(size_t index, int32_t row, int32_t target);
  void addOutput(size_t index, int32_t row, const SampleParams& params, const ScoreWish& wish);
  std::vector<SampleEvent> collect();
  void retire(Sequence& sequence);
  void dropEverything();
};

void SampleEngine::Impl::validate(const SampleRequest& r) const {
  const ModelConfig& config = model->config();
  const auto refuse = [&](const std::string& what, const std::string& value, const std::string& expected) {
    throw Error(ErrorCode::kInvalidArgument,
                "sample request " + std::to_string(r.id) + ": " + what + " is " + value + ", expected " + expected,
                {{"field", what}, {"value", value}, {"expected", expected}});
  };
  if (r.prompt.empty()) refuse("prompt", "empty", "at least one token");
  for (const int32_t token : r.prompt) {
    if (token < 0 || token >= config.vocabulary) {
      refuse("prompt token", std::to_string(token), "0 to " + std::to_string(config.vocabulary - 1));
    }
  }
  const auto prompt = static_cast<int64_t>(r.prompt.size());
  if (r.scoreFrom < 0 || r.scoreFrom > prompt) {
    refuse("scoreFrom", std::to_string(r.scoreFrom), "0 to the prompt's length, " + std::to_string(prompt));
  }
  const bool scored = r.scoreFrom > 0 && r.scoreFrom < prompt;
  if (r.maxNewTokens < (scored ? 0 : 1)) {
    refuse("maxNewTokens", std::to_string(r.maxNewTokens), "at least 1, or 0 for a prompt that is scored");
  }
  if (r.adapter < -1 || r.adapter >= static_cast<int32_t>(adapterCount)) {
    refuse("adapter", std::to_string(r.adapter), "-1 to " + std::to_string(static_cast<int64_t>(adapterCount) - 1));
  }
  if (r.top < 0 || r.top > kMaxTop) refuse("top", std::to_string(r.top), "0 to " + std::to_string(kMaxTop));
  const int64_t total = prompt + r.maxNewTokens;
  if (config.contextLength > 0 && prompt + std::min(r.maxNewTokens, 1) > config.contextLength) {
    refuse(
        "prompt length", std::to_string(prompt),
        "within the model's context of " + std::to_string(config.contextLength) + " tokens, with room for a new one");
  }
  if (pagesFor(total) > limitsOf(options).pages) {
    refuse("prompt length + maxNewTokens", std::to_string(total),
           "at most cacheTokens = " + std::to_string(cacheTokensOf(options)));
  }
}

void SampleEngine::Impl::drainInbox() {
  const std::lock_guard lock(inboxMutex);
  for (SampleRequest& request : inbox) {
    Sequence sequence;
    sequence.tokens = request.prompt;
    sequence.request = std::move(request);
    waiting.push_back(std::move(sequence));
  }
  inbox.clear();
  if (cancelled.empty()) return;
  const auto isCancelled = [&](const Sequence& s) { return cancelled.contains(s.request.id); };
  for (Sequence& sequence : running) {
    if (isCancelled(sequence)) retire(sequence);
  }
  std::erase_if(running, isCancelled);
  std::erase_if(waiting, isCancelled);
  cancelled.clear();
  unfinished = static_cast<int64_t>(running.size() + waiting.size());
}

// What was stored under other weights is not found any more; its places are taken in their turn.
void SampleEngine::Impl::renewRoots() {
  weightsVersion = model->weightsVersion();
  roots.resize(adapterCount + 1);
  for (PagePool::Prefix& root : roots) root = pages.newRoot();
}

void SampleEngine::Impl::admit() {
  if (model->weightsVersion() != weightsVersion) renewRoots();
  while (!waiting.empty() && running.size() < static_cast<size_t>(options.maxRows)) {
    if (!reservePages(waiting.front())) return;
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

// All pages of a request, or none.
bool SampleEngine::Impl::reservePages(Sequence& s) {
  const auto prompt = static_cast<int32_t>(s.tokens.size());
  s.root = roots[static_cast<size_t>(int64_t{s.request.adapter} + 1)];
  PagePool::Prefix prefix = s.root;
  std::vector<int32_t> found;
  int32_t revived = 0;
  const int32_t sharable = s.sharable() / kKvPageTokens;
  while (static_cast<int32_t>(found.size()) < sharable) {
    const int32_t page = pages.find(prefix, s.page(static_cast<int32_t>(found.size())));
    if (page < 0) break;
    prefix = pages.prefixOf(page);
    if (!pages.isHeld(page)) ++revived;
    found.push_back(page);
  }
  const int32_t all = pagesFor(int64_t{prompt} + s.request.maxNewTokens);
  const int32_t taken = all - static_cast<int32_t>(found.size());
  if (taken > pages.available() - revived) return false;
  for (const int32_t page : found) pages.hold(page);
  s.pages = std::move(found);
  s.shared = s.published = static_cast<int32_t>(s.pages.size());
  s.prefix = prefix;
  for (int32_t i = 0; i < taken; ++i) s.pages.push_back(pages.take());
  findDonor(s);
  publishPages(s, s.wanted());
  return true;
}

// Whoever runs under the same weights and has the most in common behind the shared pages, the first of equals; nobody where little
// would come of it, or less than half of what is left to compute, since a copy may have to wait for a pass.
void SampleEngine::Impl::findDonor(Sequence& s) {
  const int32_t begin = s.shared * kKvPageTokens;
  const Sequence* best = nullptr;
  for (const Sequence& other : running) {
    if (other.root != s.root || static_cast<int32_t>(other.pages.size()) <= s.shared) continue;
    const int32_t most = std::min({s.sharable(), other.wanted(), begin + kKvPageTokens});
    int32_t common = 0;
    while (common < most && s.tokens[static_cast<size_t>(common)] == other.tokens[static_cast<size_t>(common)])
      ++common;
    if (common - begin > s.donatedTokens) s.donatedTokens = common - begin, best = &other;
  }
  if (s.donatedTokens < std::max(kLeastDonated, (s.wanted() - begin + 1) / 2)) {
    s.donatedTokens = 0;
    return;
  }
  s.donor = best->request.id;
  s.donated = best->pages[static_cast<size_t>(s.shared)];
  pages.hold(s.donated);
}

// Copies what earlier passes have stored for it; true while the donor has yet to store the rest. Where the donor is gone, what it
// left is taken. To be called before a pass has any rows, whose keys and values are not there yet.
bool SampleEngine::Impl::waitsForDonor(Sequence& s) {
  if (s.donated < 0) return false;
  const int32_t stored = std::min(pages.stored(s.donated), s.donatedTokens);
  if (stored < s.donatedTokens) {
    const bool lives =
        std::any_of(running.begin(), running.end(), [&](const Sequence& other) { return other.request.id == s.donor; });
    if (lives) return true;
  }
  catchUp(s);
  // Whoever shares the page behind may have begun it meanwhile: what is there then is not overwritten.
  const int32_t own = s.pages[static_cast<size_t>(s.shared)];
  if (stored > 0 && s.computed == s.shared * kKvPageTokens && pages.stored(own) == 0) {
    batch.copies.push_back({s.donated, own, stored});
    pages.store(own, stored - 1);
    s.computed += stored;
    stats.sharedTokens += stored;
  }
  pages.release(s.donated);
  s.donated = -1;
  return false;
}

// Pages of a prompt are published before they are stored, so that requests that come together share them too.
void SampleEngine::Impl::publishPages(Sequence& s, int32_t tokens) {
  for (; (s.published + 1) * kKvPageTokens <= tokens; ++s.published) {
    s.prefix = pages.publish(s.pages[static_cast<size_t>(s.published)], s.prefix, s.page(s.published));
  }
}

// Passes over what others have stored of the shared pages by now.
void SampleEngine::Impl::catchUp(Sequence& s) {
  while (s.computed < s.shared * kKvPageTokens) {
    const int32_t index = s.computed / kKvPageTokens;
    const int32_t stored = pages.stored(s.pages[static_cast<size_t>(index)]);
    const int32_t reached = std::max(s.computed, index * kKvPageTokens + stored);
    stats.sharedTokens += reached - s.computed;
    s.computed = reached;
    if (stored < kKvPageTokens) return;
  }
}

// From the last page to the first: a prefix outlives what continues it.
void SampleEngine::Impl::retire(Sequence& sequence) {
  if (sequence.donated >= 0) pages.release(sequence.donated);
  for (size_t i = sequence.pages.size(); i-- > 0;) pages.release(sequence.pages[i]);
  sequence.pages.clear();
}

void SampleEngine::Impl::dropEverything() {
  running.clear();
  waiting.clear();
  pages.reset();  // the pass that failed may not have stored what it was to store
  const std::lock_guard lock(inboxMutex);
  inbox.clear();
  cancelled.clear();
  unfinished = 0;
}

void SampleEngine::Impl::addRows(size_t index, int32_t count) {
  Sequence& s = running[index];
  const auto begin = static_cast<int32_t>(batch.tokens.size());
  const auto table = static_cast<int32_t>(batch.pageTables.size());
  batch.pageTables.insert(batch.pageTables.end(), s.pages.begin(), s.pages.begin() + pagesFor(s.computed + count));
  for (int32_t i = 0; i < count; ++i) {
    const int32_t position = s.computed + i;
    const int32_t page = s.pages[static_cast<size_t>(position / kKvPageTokens)];
    batch.tokens.push_back(s.tokens[static_cast<size_t>(position)]);
    batch.positions.push_back(position);
    batch.rowPages.push_back(page);
    batch.rowSlots.push_back(position % kKvPageTokens);
    batch.rowTables.push_back(table);
    pages.store(page, position % kKvPageTokens);
    if (position < static_cast<int32_t>(s.request.prompt.size())) ++stats.computedTokens;
  }
  s.computed += count;
  publishPages(s, s.computed);
  batch.maxPosition = std::max(batch.maxPosition, s.computed - 1);
  batch.adapterRows.push_back({begin, begin + count, s.request.adapter});
  if (s.request.scoreFrom > 0) {
    const auto prompt = static_cast<int32_t>(s.request.prompt.size());
    for (int32_t i = 0; i < count; ++i) {
      const int32_t next = s.computed - count + i + 1;
      if (next < s.request.scoreFrom || next >= prompt) continue;
      const int32_t target = s.request.prompt[static_cast<size_t>(next)];
      if (s.request.top > 0) {
        addOutput(index, begin + i, {}, {target, s.request.top});
      } else {
        addTarget(index, begin + i, target);
      }
    }
  }
  if (s.pending() > 0) return;  // more of the prompt in the next step
  if (s.request.maxNewTokens == 0) {
    scoredOnly.push_back(index);
    return;
  }
  SampleParams params = s.request.params;
  params.position = static_cast<uint64_t>(s.generated);
  addOutput(index, begin + count - 1, params, {-1, s.request.top});
}

void SampleEngine::Impl::addTarget(size_t index, int32_t row, int32_t target) {
  batch.targetRows.push_back(row);
  batch.targets.push_back(target);
  targetOwners.push_back(index);
}

void SampleEngine::Impl::addOutput(size_t index, int32_t row, const SampleParams& params, const ScoreWish& wish) {
  batch.outputRows.push_back(row);
  batch.params.push_back(params);
  batch.wishes.push_back(wish);
  outputOwners.push_back(index);
}

void SampleEngine::Impl::buildBatch() {
  batch.clear();
  outputOwners.clear();
  targetOwners.clear();
  scoredOnly.clear();
  // Sequences of one adapter stand together, so that its rows are one group of every linear op.
  std::stable_sort(running.begin(), running.end(),
                   [](const Sequence& a, const Sequence& b) { return a.request.adapter < b.request.adapter; });
  // Sequences that are already generating cost nothing of the budget: a long prompt must not stop the others. A pass stores
  // the keys and values of all its rows before any row reads them, so a shared page that an earlier sequence of this pass
  // stores can be read by a later one; and while an earlier one still has prompt to compute, no budget is left for the later.
  std::vector<bool> waits(running.size());
  for (size_t i = 0; i < running.size(); ++i) waits[i] = waitsForDonor(running[i]);
  int32_t budget = options.prefillTokens;
  for (size_t i = 0; i < running.size(); ++i) {
    if (waits[i]) continue;
    catchUp(running[i]);
    const int32_t pending = running[i].pending();
    const bool generating = pending == 1;
    const int32_t count = generating ? 1 : std::min(pending, budget);
    if (count == 0) continue;
    if (!generating) budget -= count;
    addRows(i, count);
  }
  batch.adapterRows = mergeAdapterRows(batch.adapterRows);
  const bool wanted = std::any_of(batch.wishes.begin(), batch.wishes.end(),
                                  [](const ScoreWish& wish) { return wish.target >= 0 || wish.top > 0; });
  if (!wanted) batch.wishes.clear();
}

std::vector<SampleEvent> SampleEngine::Impl::collect() {
  std::vector<SampleEvent> events;
  std::vector<size_t> finished;
  const int32_t context = model->config().contextLength;
  for (size_t i = 0; i < targetOwners.size(); ++i)
    running[targetOwners[i]].promptScores.push_back({targetLogprobs[i], {}});
  for (const size_t index : scoredOnly) {
    Sequence& s = running[index];
    events.push_back({s.request.id, -1, 0, Finish::kLength, {}, std::exchange(s.promptScores, {})});
    finished.push_back(index);
  }
  for (size_t i = 0; i < outputOwners.size(); ++i) {
    Sequence& s = running[outputOwners[i]];
    if (!batch.wishes.empty() && batch.wishes[i].target >= 0) {
      s.promptScores.push_back(std::move(scores[i]));
      continue;
    }
    const int32_t token = drawn[i];
    s.tokens.push_back(token);
    ++s.generated;
    SampleEvent event{s.request.id, token, logprobs[i], Finish::kNone, {}, std::exchange(s.promptScores, {})};
    if (s.request.top > 0) {
      event.top = std::move(scores[i].top);
      for (TokenLogprob& each : event.top) {
        if (each.token == token) each.logprob = logprobs[i];  // the same number, computed once more
      }
    }
    if (!std::isfinite(event.logprob)) {
      event.finish = Finish::kNotFinite;  // a token was drawn all the same
      renewRoots();                       // what it stored is of no use to anyone
    } else if (std::find(s.request.stopIds.begin(), s.request.stopIds.end(), token) != s.request.stopIds.end()) {
      event.finish = Finish::kStop;
    } else if (s.generated >= s.request.maxNewTokens) {
      event.finish = Finish::kLength;
    } else if (context > 0 && static_cast<int64_t>(s.tokens.size()) >= context) {
      event.finish = Finish::kContext;
    }
    events.push_back(event);
    if (event.finish != Finish::kNone) finished.push_back(outputOwners[i]);
  }
  std::sort(finished.rbegin(), finished.rend());
  for (const size_t index : finished) {
    retire(running[index]);
    running.erase(running.begin() + static_cast<int64_t>(index));
  }
  const std::lock_guard lock(inboxMutex);
  unfinished -= static_cast<int64_t>(finished.size());
  return events;
}

SampleEngine::SampleEngine(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters,
                           const SampleOptions& options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(adapters), options)) {}

SampleEngine::~SampleEngine() = default;

void SampleEngine::submit(const SampleRequest& request) {
  impl_->validate(request);
  const std::lock_guard lock(impl_->inboxMutex);
  impl_->inbox.push_back(request);
  ++impl_->unfinished;
}

void SampleEngine::cancel(int64_t id) {
  const std::lock_guard lock(impl_->inboxMutex);
  impl_->cancelled.insert(id);
}

bool SampleEngine::idle() const {
  const std::lock_guard lock(impl_->inboxMutex);
  return impl_->unfinished == 0;
}

std::vector<SampleEvent> SampleEngine::step() {
  Impl& impl = *impl_;
  impl.drainInbox();
  impl.admit();
  if (impl.running.empty()) return {};
  impl.buildBatch();
  try {
    impl.decoder.run(impl.batch, {impl.drawn, impl.logprobs, impl.scores, impl.targetLogprobs}, impl.cancelFlag);
  } catch (...) {
    impl.dropEverything();
    throw;
  }
  return impl.collect();
}

SampleStats SampleEngine::stats() const {
  SampleStats now = impl_->stats;
  now.heldPages = impl_->pages.total() - impl_->pages.available();
  return now;
}

const MemoryPlan& SampleEngine::memory() const { return impl_->decoder.memory(); }

MemoryPlan SampleEngine::plan(const ModelConfig& config, const BackendSizes& backend, const SampleOptions& options,
                              int32_t maxAdapterRank) {
  return Decoder::plan(config, backend, limitsOf(options), 3 * maxAdapterRank);
}

void SampleEngine::setCancelFlag(const std::atomic<bool>* cancel) { impl_->cancelFlag = cancel; }

}  // namespace mlit
