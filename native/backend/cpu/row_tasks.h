// How row-wise ops are cut into tasks: big enough that handing one out costs nothing beside it, small enough that two
// threads end together. Rows do not know each other, so any cut gives the same bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/thread_pool.h"

namespace mlit {

// Runs body(first, count) over [0, items); costPerItem in elements touched.
template <class Body>
void forRanges(ThreadPool& pool, int64_t items, int64_t costPerItem, const Body& body) {
  constexpr int64_t kTaskElements = 32768;
  if (items <= 0) return;
  const int64_t each = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, costPerItem));
  const int64_t tasks = (items + each - 1) / each;
  pool.run(tasks, [&](int64_t task, int) { body(task * each, std::min(each, items - task * each)); });
}

}  // namespace mlit
