// Pages of the cache by themselves: found while they are held and until their place is needed, never lost, never twice.
#include "sample/page_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace mlit::test {
namespace {

using Tokens = std::array<int32_t, kKvPageTokens>;

Tokens tokens(int32_t salt) {
  Tokens t = {};
  t[5] = salt;
  return t;
}

void fill(PagePool& pool, int32_t page) {
  for (int32_t slot = 0; slot < kKvPageTokens; ++slot) pool.store(page, slot);
}

TEST(PagePool, APageIsFoundByItsTokensAndByAllBefore) {
  PagePool pool(4);
  const PagePool::Prefix root = pool.newRoot(), other = pool.newRoot();
  const int32_t first = pool.take(), second = pool.take();
  const PagePool::Prefix one = pool.publish(first, root, tokens(1));
  pool.publish(second, one, tokens(2));
  EXPECT_EQ(pool.find(root, tokens(1)), first);
  EXPECT_EQ(pool.find(one, tokens(2)), second);
  EXPECT_EQ(pool.find(root, tokens(2)), -1) << "the same tokens elsewhere are something else";
  EXPECT_EQ(pool.find(other, tokens(1)), -1) << "and so they are under another adapter";
}

TEST(PagePool, WhatIsPublishedTwiceHasOnePage) {
  PagePool pool(2);
  const PagePool::Prefix root = pool.newRoot();
  const int32_t first = pool.take(), second = pool.take();
  const PagePool::Prefix name = pool.publish(first, root, tokens(1));
  EXPECT_EQ(pool.publish(second, root, tokens(1)), name);
  fill(pool, second);
  pool.release(second);
  EXPECT_EQ(pool.find(root, tokens(1)), first);
  EXPECT_EQ(pool.available(), 1);
}

TEST(PagePool, AFullPageStaysUntilItsPlaceIsNeededTheLeastRecentlyFreedFirst) {
  PagePool pool(3);
  const PagePool::Prefix root = pool.newRoot();
  for (int32_t salt = 0; salt < 3; ++salt) {
    const int32_t page = pool.take();
    pool.publish(page, root, tokens(salt));
    fill(pool, page);
  }
  for (const int32_t salt : {1, 0, 2}) pool.release(pool.find(root, tokens(salt)));
  EXPECT_EQ(pool.available(), 3);
  const int32_t revived = pool.find(root, tokens(1));
  pool.hold(revived);
  EXPECT_EQ(pool.available(), 2);
  pool.release(revived);  // now the most recently freed
  pool.take();
  EXPECT_EQ(pool.find(root, tokens(0)), -1);
  EXPECT_GE(pool.find(root, tokens(2)), 0);
  pool.take();
  EXPECT_EQ(pool.find(root, tokens(2)), -1);
  EXPECT_EQ(pool.find(root, tokens(1)), revived);
}

TEST(PagePool, APageThatIsNotFullIsForgottenWhenNobodyHoldsIt) {
  PagePool pool(1);
  const PagePool::Prefix root = pool.newRoot();
  const int32_t page = pool.take();
  pool.publish(page, root, tokens(1));
  pool.hold(page);
  pool.store(page, kKvPageTokens - 2);
  pool.release(page);
  EXPECT_EQ(pool.find(root, tokens(1)), page) << "it is held still";
  pool.release(page);
  EXPECT_EQ(pool.find(root, tokens(1)), -1);
  EXPECT_EQ(pool.stored(pool.take()), 0);
}

TEST(PagePool, PagesAreNeitherLostNorGivenTwiceWhateverIsDone) {
  std::mt19937 random(7);
  PagePool pool(12);
  const PagePool::Prefix root = pool.newRoot();
  std::vector<int32_t> held;  // one entry a holder
  for (int round = 0; round < 20000; ++round) {
    const auto salt = static_cast<int32_t>(random() % 30);
    if (const int32_t found = pool.find(root, tokens(salt)); found >= 0 && random() % 2 == 0) {
      pool.hold(found);
      held.push_back(found);
    } else if (random() % 2 == 0 && pool.available() > 0) {
      const int32_t page = pool.take();
      ASSERT_EQ(std::count(held.begin(), held.end(), page), 0) << "a held page was given away";
      held.push_back(page);
      if (random() % 3 > 0) pool.publish(page, root, tokens(salt));
      if (random() % 3 > 0) fill(pool, page);
    } else if (!held.empty()) {
      const size_t at = random() % held.size();
      pool.release(held[at]);
      held.erase(held.begin() + static_cast<int64_t>(at));
    }
    const std::set<int32_t> distinct(held.begin(), held.end());
    ASSERT_EQ(pool.available(), 12 - static_cast<int32_t>(distinct.size()));
  }
  for (const int32_t page : held) pool.release(page);
  EXPECT_EQ(pool.available(), 12);
}

}  // namespace
}  // namespace mlit::test
