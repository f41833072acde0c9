// Attention on one thread: a tile of query rows against the keys they see (forward), one pair of key block and query
// block (backward), or a few rows of one sequence against a paged cache. Rows of a tile are (query, head) pairs of
// one kv head, query-major, so that grouped heads share every key that is loaded.
#pragma once

#include <cstdint>

namespace mlit {

// One kv head of one document; pointers at its first token and at the group's first head.
struct AttentionHead {
  int64_t length;  // tokens of the document
  int64_t group;   // query heads of this kv head
  int64_t dim;
  float scale;
  int64_t window;  // 0 = none
  const float* q;
  int64_t ldq;
  const float* k;
  const float* v;
  int64_t ldkv;
};

// One kv head of one sequence in a paged cache.
struct CachedHead {
  int64_t group;
  int64_t dim;
  float scale;
  int64_t window;
  const float* pool;  // at the kv head's first column of page 0's keys
  int64_t pageFloats;
  int64_t valuesOffset;  // from a page's keys to its values
  int64_t ldkv;          // from one token of a page to the next
  const int32_t* pageTable;
};

// Asked every kAttentionStopKeys keys; where it says yes, what is computed is not wanted any more.
struct AttentionStop {
  bool (*asked)(const void* of);
  const void* of;
};

struct AttentionKernels {
  // Rows [firstRow, firstRow + rows) of the length * group rows; out like q; lse[head * ldLse + token].
  void (*forward)(const AttentionHead& head, int64_t firstRow, int64_t rows, float* out, int64_t ldo, float* lse,
                  int64_t ldLse, float* scratch, const AttentionStop& stop);
  // delta = sum of out * dout for each (token, head) of the group, for tokens [first, first + count).
  void (*delta)(const float* out, const float* dout, int64_t ldo, int64_t first, int64_t count, int64_t group,
                int64_t dim, float* delta, int64_t ldDelta);
  // Contribution of (query block, key block) to dq, dk, dv: stored where the flag says so, else added.
  void (*backward)(const AttentionHead& head, int64_t queryBlock, int64_t keyBlock, const float* dout, int64_t ldo,
                   const float* lse, const float* delta, int64_t ldLse, float* dq, int64_t lddq, bool storeDq,
                   float* dk, float* dv, int64_t lddkv, bool storeDkv, float* scratch);
  // tokens consecutive tokens of one sequence from position on; q and out at the first of them.
  void (*cached)(const CachedHead& head, int64_t position, int64_t tokens, const float* q, int64_t ldq, float* out,
                 int64_t ldo, float* scratch, const AttentionStop& stop);
};

inline constexpr int64_t kAttentionTileRows = 96;  // (query, head) rows of a forward tile
inline constexpr int64_t kAttentionBlock = 64;     // queries and keys of a backward pair, keys of a forward step
inline constexpr int64_t kAttentionStopKeys = 1024;
inline constexpr int64_t kAttentionMaxDim = 512;  // what fits into a thread's scratch

}  // namespace mlit
