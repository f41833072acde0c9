// What attention and its cache move and do, tile by tile as the kernels walk.
#include <algorithm>

#include "backend/cuda/costs.h"

namespace mlit::cuda {

namespace {

double product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }
double size(DevConstReal reals) { return static_cast<double>(mlit::elementBytes(reals.type())); }

int64_t compiledHead(int32_t headDim) { return headDim <= 32 ? 32 : headDim <= 64 ? 64 : headDim <= 128 ? 128 : 256; }

// run(length) for each document.
template <class Run>
void eachDocument(std::span<const int32_t> cuSeqlens, Run run) {
  for (size_t i = 1; i < cuSeqlens.size(); ++i) run(int64_t{cuSeqlens[i]} - cuSeqlens[i - 1]);
}

// 16 rows of queries by a tile of keys: how often the kernels that own queries form such a product for one head.
double queryTiles(std::span<const int32_t> cuSeqlens, int64_t window, int64_t tile) {
  constexpr int64_t kQueries = 64;
  double seen = 0;
  eachDocument(cuSeqlens, [&](int64_t length) {
    for (int64_t first = 0; first < length; first += kQueries) {
      const int64_t lastKey = std::min(first + kQueries, length) - 1;
      const int64_t firstKey = window > 0 ? std::max<int64_t>(0, first - window + 1) / tile * tile : 0;
      for (int64_t row = first; row < first + kQueries; row += 16) {
        for (int64_t key = firstKey; key <= lastKey; key += tile) {
          seen += key <= row + 15 && (window <= 0 || key + tile - 1 > row - window);
        }
      }
    }
  });
  return seen;
}

// 16 keys by a tile of queries, of the kernel that owns keys.
double keyTiles(std::span<const int32_t> cuSeqlens, int64_t window, int64_t keys, int64_t tile) {
  double seen = 0;
  eachDocument(cuSeqlens, [&](int64_t length) {
    for (int64_t first = 0; first < length; first += keys) {
      const int64_t end = window > 0 ? std::min(length, first + keys + window - 1) : length;
      for (int64_t row = first; row < first + keys; row += 16) {
        for (int64_t query = first; query < end; query += tile) {
          seen += query + tile - 1 >= row && (window <= 0 || query < row + 15 + window);
        }
      }
    }
  });
  return seen;
}

// attention_parts.cuh's parts of what a row sees.
struct Parts {
  int64_t tokens, first, last;
  bool operator==(const Parts&) const = default;
};
int64_t seenFrom(int64_t position, int64_t window) {
  return window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
}
Parts partsOf(int64_t position, int64_t window) {
  constexpr int64_t kPartTokens = 512, kParts = 8;
  const int64_t first = seenFrom(position, window);
  int64_t tokens = kPartTokens;
  while (tokens * kParts < position - first + 1) tokens *= 2;
  return {tokens, first / tokens, position / tokens};
}

// What one of the two kernels over the cache reads and multiplies. Runs come in order, so that what one sees begins no earlier than
// what the run before it saw.
struct CachedReads {
  double tokens = 0, tiles = 0;  // tiles: of 16 pairs of row and head by 16 tokens
  int64_t table = -1, covered = 0;

  void read(int64_t ofTable, int64_t begin, int64_t end) {
    if (ofTable != table) table = ofTable, covered = 0;
    tokens += static_cast<double>(std::max<int64_t>(0, end - std::max(begin, covered)));
    covered = std::max(covered, end);
  }
};

double documentBytes(std::span<const int32_t> cuSeqlens) { return 4 * static_cast<double>(cuSeqlens.size()); }

}  // namespace

void CostBackend::attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                   int64_t, DevConstReal k, DevConstReal, int64_t, DevReal out, int64_t, DevF32) {
  const int64_t rows = cuSeqlens.back(), head = compiledHead(shape.headDim), tile = head > 128 ? 32 : 64;
  if (rows == 0) return;
  const double queries = product(rows, shape.heads), keys = product(rows, shape.kvHeads);
  note("attentionForward",
       {shape.headDim * (queries * size(q) + 2 * keys * size(k)) + documentBytes(cuSeqlens),
        shape.headDim * queries * size(out) + 4 * queries,
        shape.heads * queryTiles(cuSeqlens, shape.window, tile) * 2 * 2 * 16 * product(tile, head), 1});
}

void CostBackend::attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                    int64_t, DevConstReal k, DevConstReal, int64_t, DevConstReal out, DevConstReal dout,
                                    int64_t, DevConstF32, DevF32, DevReal dq, int64_t, DevReal dk, DevReal, int64_t) {
  const int64_t rows = cuSeqlens.back(), head = compiledHead(shape.headDim);
  if (rows == 0) return;
  const double queries = product(rows, shape.heads), keys = product(rows, shape.kvHeads), dim = shape.headDim;
  const double both = dim * (queries * (size(q) + size(dout)) + 2 * keys * size(k)) + 8 * queries;
  Cost cost{dim * queries * (size(out) + size(dout)), 4 * queries, 0, 1};  // delta
  const int64_t ownKeys = head > 128 ? 32 : 64, queryTile = head > 128 ? 16 : 32, keyTile = head > 64 ? 32 : 64;
  cost +=
      {both + documentBytes(cuSeqlens), 2 * dim * keys * size(dk),
       shape.heads * keyTiles(cuSeqlens, shape.window, ownKeys, queryTile) * 4 * 2 * 16 * product(queryTile, head), 1};
  cost += {both + documentBytes(cuSeqlens), dim * queries * size(dq),
           shape.heads * queryTiles(cuSeqlens, shape.window, keyTile) * 3 * 2 * 16 * product(keyTile, head), 1};
  note("attentionBackward", cost);
}

void CostBackend::kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal, int64_t, int64_t rows, DevConstI32,
                          DevConstI32, DevReal) {
  const double n = 2 * product(rows, shape.kvHeads) * shape.headDim * size(k);
  note("kvStore", {n + 8 * static_cast<double>(rows), n, 0, rows > 0});
}

// Runs of rows of one sequence read its tokens together: those of 16 pairs of row and head and fewer in attention_cached.cu, larger
// ones, which a call of many rows may have, in attention_prompt.cu.
void CostBackend::attentionCached(const AttentionShape& shape, DevConstReal q, int64_t, int64_t rows,
                                  DevConstI32 positions, DevConstI32 rowTables, DevConstI32, int32_t maxPosition,
                                  DevConstReal pool, DevReal out, int64_t) {
  constexpr int64_t kPairs = 16, kTokens = 16, kStride = 64, kManyRows = 64;
  if (rows == 0) return;
  const std::span<const int32_t> at = integersAt(positions, rows), tables = integersAt(rowTables, rows);
  const auto position = [&](int64_t row) { return at.empty() ? maxPosition : at[static_cast<size_t>(row)]; };
  const auto table = [&](int64_t row) { return tables.empty() ? row : int64_t{tables[static_cast<size_t>(row)]}; };
  const auto follows = [&](int64_t row) {
    return table(row) == table(row - 1) && position(row) == position(row - 1) + 1 &&
           partsOf(position(row), shape.window) == partsOf(position(row - 1), shape.window);
  };
  const int64_t perKv = shape.heads / shape.kvHeads, head = compiledHead(shape.headDim);
  const bool many = rows >= kManyRows;
  const int64_t together = (many ? (head > 64 ? 2 : 4) : 1) * kPairs / std::min(kPairs, perKv);
  CachedReads single, prompt;
  double parts = 0;
  for (int64_t row = 0, end = 0; row < rows; row = end) {
    end = row + 1;
    while (end < rows && end % together != 0 && follows(end)) ++end;
    const int64_t first = position(row), last = first + end - row - 1, from = seenFrom(first, shape.window);
    const auto tilesOf = [&](int64_t a, int64_t b) {
      return static_cast<double>(b / kTokens - seenFrom(a, shape.window) / kTokens + 1);
    };
    for (int64_t firstHead = 0; firstHead < perKv; firstHead += kPairs) {
      const int64_t heads = std::min(kPairs, perKv - firstHead), pairs = (end - row) * heads;
      if (pairs <= kPairs) {
        single.read(table(row), from / kTokens * kTokens, last + 1);
        single.tiles += tilesOf(first, last);
        continue;
      }
      prompt.read(table(row), from / kStride * kStride, last + 1);
      for (int64_t m = 0; m < pairs; m += kPairs) {
        prompt.tiles += tilesOf(first + m / heads, first + (std::min(m + kPairs, pairs) - 1) / heads);
      }
    }
    const Parts its = partsOf(first, shape.window);
    if (its.last > its.first) parts += static_cast<double>((its.last - its.first + 1) * (end - row));
  }
  const double queries = product(rows, shape.heads) * shape.headDim, integers = 8 * static_cast<double>(rows);
  const double partial = parts * shape.heads * (shape.headDim + 2) * 4, token = 2.0 * shape.kvHeads * shape.headDim;
  note("attentionCached",
       {queries * size(q) + (single.tokens + prompt.tokens) * token * size(pool) + partial + integers * (many ? 2 : 1),
        queries * size(out) + partial,
        shape.kvHeads * (single.tiles + prompt.tiles) * 2 * 2 * product(kPairs * kTokens, head),
        1 + (many ? 1 : 0) + (parts > 0 ? 1 : 0)});  // the last puts parts together
}

}  // namespace mlit::cuda
