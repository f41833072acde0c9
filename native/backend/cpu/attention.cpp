// Attention of the CPU backend: how documents, heads and blocks become tasks. Every task owns what it writes; where two
// tasks add to the same gradient they are in different rounds, so that sums have one order for any number of threads.
#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/row_tasks.h"
#include "core/error.h"

namespace mlit {
namespace {

void checkShape(const AttentionShape& shape) {
  if (shape.headDim < 1 || shape.headDim > kAttentionMaxDim || shape.kvHeads < 1 || shape.heads % shape.kvHeads != 0) {
    throw Error(ErrorCode::kInvalidArgument, "attention of " + std::to_string(shape.heads) + " heads over " +
                                                 std::to_string(shape.kvHeads) + " kv heads of dimension " +
                                                 std::to_string(shape.headDim) +
                                                 ": heads must be a multiple of kv heads and the dimension at most " +
                                                 std::to_string(kAttentionMaxDim));
  }
}

AttentionStop stopOf(const ThreadPool& pool) {
  return {[](const void* of) { return static_cast<const ThreadPool*>(of)->cancelled(); }, &pool};
}

struct Document {
  int64_t begin;
  int64_t length;
};

std::vector<Document> documentsOf(std::span<const int32_t> cuSeqlens) {
  std::vector<Document> documents;
  for (size_t i = 0; i + 1 < cuSeqlens.size(); ++i) {
    const int64_t length = int64_t{cuSeqlens[i + 1]} - cuSeqlens[i];
    if (length > 0) documents.push_back({cuSeqlens[i], length});
  }
  return documents;
}

struct Inputs {
  const AttentionShape& shape;
  const float* q;
  int64_t ldq;
  const float* k;
  const float* v;
  int64_t ldkv;

  int64_t group() const { return shape.heads / shape.kvHeads; }
  // Columns of q (and out) before the first query head of a kv head.
  int64_t column(int64_t kvHead) const { return kvHead * group() * shape.headDim; }

  AttentionHead head(const Document& document, int64_t kvHead) const {
    AttentionHead h;
    h.length = document.length;
    h.group = group();
    h.dim = shape.headDim;
    h.scale = shape.scale;
    h.window = shape.window;
    h.q = q + document.begin * ldq + column(kvHead);
    h.ldq = ldq;
    h.k = k + document.begin * ldkv + kvHead * shape.headDim;
    h.v = v + document.begin * ldkv + kvHead * shape.headDim;
    h.ldkv = ldkv;
    return h;
  }
};

}  // namespace

void CpuBackend::attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                  int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo,
                                  DevF32 lse) {
  checkShape(shape);
  if (cuSeqlens.empty()) return;
  const Inputs in{shape, q.floats(), ldq, k.floats(), v.floats(), ldkv};
  const int64_t total = cuSeqlens.back(), group = in.group();
  struct Task {
    Document document;
    int32_t kvHead;
    int64_t firstRow, rows;
    int64_t keys;  // the dearest first, so that the last task to end is a short one
  };
  std::vector<Task> tasks;
  for (const Document& document : documentsOf(cuSeqlens)) {
    const int64_t rows = document.length * group;
    for (int32_t kvHead = 0; kvHead < shape.kvHeads; ++kvHead) {
      for (int64_t first = 0; first < rows; first += kAttentionTileRows) {
        const int64_t count = std::min(kAttentionTileRows, rows - first);
        int64_t keys = (first + count - 1) / group + 1;
        if (shape.window > 0) keys = std::min<int64_t>(keys, shape.window + count / group);
        tasks.push_back({document, kvHead, first, count, keys * count});
      }
    }
  }
  const AttentionStop stop = stopOf(pool_);
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) { return a.keys > b.keys; });
  pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int thread) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const Document& document = task.document;
    kernels_.attention->forward(in.head(document, task.kvHead), task.firstRow, task.rows,
                                out.floats() + document.begin * ldo + in.column(task.kvHead), ldo,
                                lse.raw() + task.kvHead * group * total + document.begin, total, scratch(thread), stop);
  });
}

void CpuBackend::attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                   int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                                   DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq,
                                   int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv) {
  checkShape(shape);
  if (cuSeqlens.empty()) return;
  const Inputs in{shape, q.floats(), ldq, k.floats(), v.floats(), ldkv};
  const int64_t total = cuSeqlens.back(), group = in.group();
  forRanges(pool_, total, int64_t{shape.heads} * shape.headDim, [&](int64_t first, int64_t count) {
    kernels_.attention->delta(out.floats(), dout.floats(), ldo, first, count, shape.heads, shape.headDim, delta.raw(),
                              total);
  });

  // Round s pairs every key block b with the query block b + s: within a round no two tasks share a block of queries or
  // of keys, so each gradient is written by one task, and from round to round in one order.
  struct Task {
    Document document;
    int32_t kvHead;
    int32_t keyBlock;
  };
  const std::vector<Document> documents = documentsOf(cuSeqlens);
  std::vector<Task> tasks;
  for (int64_t round = 0;; ++round) {
    // Nearest pair of the two blocks: the first query of the one, the last key of the other.
    if (round > 0 && shape.window > 0 && (round - 1) * kAttentionBlock + 1 >= shape.window) break;
    tasks.clear();
    for (const Document& document : documents) {
      const int64_t blocks = (document.length + kAttentionBlock - 1) / kAttentionBlock;
      for (int32_t kvHead = 0; kvHead < shape.kvHeads; ++kvHead) {
        for (int64_t b = 0; b + round < blocks; ++b) tasks.push_back({document, kvHead, static_cast<int32_t>(b)});
      }
    }
    if (tasks.empty()) break;
    pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int thread) {
      const Task& task = tasks[static_cast<size_t>(index)];
      const Document& document = task.document;
      const int64_t column = in.column(task.kvHead), kvColumn = int64_t{task.kvHead} * shape.headDim;
      const int64_t statistics = task.kvHead * group * total + document.begin;
      kernels_.attention->backward(in.head(document, task.kvHead), task.keyBlock + round, task.keyBlock,
                                   dout.floats() + document.begin * ldo + column, ldo, lse.raw() + statistics,
                                   delta.raw() + statistics, total, dq.floats() + document.begin * lddq + column, lddq,
                                   round == 0, dk.floats() + document.begin * lddkv + kvColumn,
                                   dv.floats() + document.begin * lddkv + kvColumn, lddkv, round == 0, scratch(thread));
    });
  }
}

void CpuBackend::kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
                         DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool) {
  const int64_t width = int64_t{shape.kvHeads} * shape.headDim;
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  forRanges(pool_, rows, 2 * width, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      float* page = pool.floats() + int64_t{rowPages.raw()[r]} * 2 * kKvPageTokens * width;
      float* slot = page + int64_t{rowSlots.raw()[r]} * width;
      std::memcpy(slot, k.floats() + r * ldkv, bytes);
      std::memcpy(slot + kKvPageTokens * width, v.floats() + r * ldkv, bytes);
    }
  });
}

void CpuBackend::attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows,
                                 DevConstI32 positions, DevConstI32 rowTables, DevConstI32 pageTables, int32_t,
                                 DevConstReal pool, DevReal out, int64_t ldo) {
  checkShape(shape);
  // Consecutive rows of one sequence share its keys; how many of them come together does not touch their bits.
  struct Run {
    int64_t firstRow;
    int64_t rows;
    int64_t keys;
    int32_t kvHead;
  };
  const int64_t group = shape.heads / shape.kvHeads;
  const int64_t longest = std::max<int64_t>(1, kAttentionTileRows / group);
  std::vector<Run> runs;
  for (int64_t r = 0; r < rows;) {
    int64_t count = 1;
    while (r + count < rows && count < longest && rowTables.raw()[r + count] == rowTables.raw()[r] &&
           positions.raw()[r + count] == positions.raw()[r] + count) {
      ++count;
    }
    for (int32_t kvHead = 0; kvHead < shape.kvHeads; ++kvHead) {
      runs.push_back({r, count, count * (int64_t{positions.raw()[r]} + count), kvHead});
    }
    r += count;
  }
  const AttentionStop stop = stopOf(pool_);
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.keys > b.keys; });
  const int64_t width = int64_t{shape.kvHeads} * shape.headDim;
  pool_.run(static_cast<int64_t>(runs.size()), [&](int64_t index, int thread) {
    const Run& run = runs[static_cast<size_t>(index)];
    CachedHead head;
    head.group = group;
    head.dim = shape.headDim;
    head.scale = shape.scale;
    head.window = shape.window;
    head.pool = pool.floats() + int64_t{run.kvHead} * shape.headDim;
    head.pageFloats = 2 * kKvPageTokens * width;
    head.valuesOffset = kKvPageTokens * width;
    head.ldkv = width;
    head.pageTable = pageTables.raw() + rowTables.raw()[run.firstRow];
    const int64_t column = run.kvHead * group * shape.headDim;
    kernels_.attention->cached(head, positions.raw()[run.firstRow], run.rows, q.floats() + run.firstRow * ldq + column,
                               ldq, out.floats() + run.firstRow * ldo + column, ldo, scratch(thread), stop);
  });
}

}  // namespace mlit
