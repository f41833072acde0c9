// Who holds which page of the KV cache. A prompt's whole pages are found by what stands in them and before them, so that
// requests with a common beginning compute and store it once; a page that nobody holds keeps its contents until its place
// is needed, the least recently freed first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"

namespace mlit {

class PagePool {
 public:
  explicit PagePool(int32_t pages);

  // A prefix of whole pages, named without its tokens: kNone where there is none. Names are never used twice.
  using Prefix = int64_t;
  static constexpr Prefix kNone = -1;
  // The empty prefix under one set of weights (an adapter's, at one time).
  Prefix newRoot() { return nextPrefix_++; }

  // The page that continues `prefix` by these kKvPageTokens tokens, stored or about to be; -1 where there is none.
  int32_t find(Prefix prefix, std::span<const int32_t> tokens) const;
  Prefix prefixOf(int32_t page) const { return at(page).prefix; }

  int32_t total() const { return static_cast<int32_t>(pages_.size()); }
  // Pages that take() can give.
  int32_t available() const { return static_cast<int32_t>(empty_.size() + kept_.size()); }
  bool isHeld(int32_t page) const { return at(page).holders > 0; }

  int32_t take();           // held once, nothing stored. There must be one available.
  void hold(int32_t page);  // once more
  void release(int32_t page);

  // Makes a held page findable as what continues `prefix`; its own prefix. Where another page is that already, this one stays
  // private, and the other's prefix is returned.
  Prefix publish(int32_t page, Prefix prefix, std::span<const int32_t> tokens);

  // Tokens of the page whose keys and values are stored, counting those of the pass that is being put together.
  int32_t stored(int32_t page) const { return at(page).stored; }
  void store(int32_t page, int32_t slot);

  // Nothing is held and nothing is stored any more.
  void reset();

 private:
  struct Key {
    Prefix before = kNone;
    std::array<int32_t, kKvPageTokens> tokens = {};
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Page {
    int32_t holders = 0;
    int32_t stored = 0;
    Prefix prefix = kNone;  // where it is published
    Key key;
    std::list<int32_t>::iterator kept;  // its place in kept_, where nobody holds it
  };

  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  const Page& at(int32_t page) const { return pages_[static_cast<size_t>(page)]; }
  static Key keyOf(Prefix prefix, std::span<const int32_t> tokens);
  void withdraw(Page& page);

  std::vector<Page> pages_;
  std::vector<int32_t> empty_;  // nobody holds them, nothing can be found in them
  std::list<int32_t> kept_;     // nobody holds them, published and full; least recently freed first
  std::unordered_map<Key, int32_t, KeyHash> published_;
  Prefix nextPrefix_ = 0;
};

}  // namespace mlit
