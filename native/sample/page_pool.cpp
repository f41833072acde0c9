// Reference counts, the index of published pages and the order in which their places are taken.
#include "sample/page_pool.h"

#include <algorithm>

namespace mlit {

PagePool::PagePool(int32_t pages) : pages_(static_cast<size_t>(pages)) { reset(); }

void PagePool::reset() {
  published_.clear();
  kept_.clear();
  empty_.clear();
  for (int32_t page = total(); page-- > 0;) {
    at(page) = {};
    empty_.push_back(page);
  }
}

size_t PagePool::KeyHash::operator()(const Key& key) const {
  uint64_t hash = 0xcbf29ce484222325u ^ static_cast<uint64_t>(key.before);
  for (const int32_t token : key.tokens) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return static_cast<size_t>(hash);
}

PagePool::Key PagePool::keyOf(Prefix prefix, std::span<const int32_t> tokens) {
  Key key{prefix, {}};
  std::copy_n(tokens.begin(), key.tokens.size(), key.tokens.begin());
  return key;
}

int32_t PagePool::find(Prefix prefix, std::span<const int32_t> tokens) const {
  const auto found = published_.find(keyOf(prefix, tokens));
  return found == published_.end() ? -1 : found->second;
}

void PagePool::withdraw(Page& page) {
  if (page.prefix == kNone) return;
  published_.erase(page.key);
  page.prefix = kNone;
}

int32_t PagePool::take() {
  int32_t page = 0;
  if (!empty_.empty()) {
    page = empty_.back();
    empty_.pop_back();
  } else {
    page = kept_.front();
    kept_.pop_front();
    withdraw(at(page));
  }
  at(page).stored = 0;
  at(page).holders = 1;
  return page;
}

void PagePool::hold(int32_t page) {
  Page& p = at(page);
  if (p.holders++ == 0) kept_.erase(p.kept);
}

void PagePool::release(int32_t page) {
  Page& p = at(page);
  if (--p.holders > 0) return;
  if (p.prefix != kNone && p.stored == kKvPageTokens) {
    p.kept = kept_.insert(kept_.end(), page);
  } else {
    withdraw(p);
    empty_.push_back(page);
  }
}

PagePool::Prefix PagePool::publish(int32_t page, Prefix prefix, std::span<const int32_t> tokens) {
  Page& p = at(page);
  const Key key = keyOf(prefix, tokens);
  const auto [entry, isNew] = published_.try_emplace(key, page);
  if (!isNew) return prefixOf(entry->second);
  p.key = key;
  p.prefix = nextPrefix_++;
  return p.prefix;
}

void PagePool::store(int32_t page, int32_t slot) { at(page).stored = std::max(at(page).stored, slot + 1); }

}  // namespace mlit
