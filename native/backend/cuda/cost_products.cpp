// What products move and do: the base's, those of adapters (kernels/lora.cu's slices) and attention's, tile by tile as the kernels walk.
#include <algorithm>
#include <map>

#include "backend/cuda/costs.h"
#include "backend/cuda/kernels/slice_products.h"
#include "backend/cuda/sizes.h"

namespace mlit::cuda {

namespace {

double product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }
double size(DevConstReal reals) { return static_cast<double>(mlit::elementBytes(reals.type())); }
// Parts of `step` that n comes to.
double ceiling(int64_t n, int64_t step) {
  const int64_t parts = (n + step - 1) / step;
  return static_cast<double>(parts);
}
constexpr int64_t roundUp16(int64_t n) { return (n + 15) / 16 * 16; }

constexpr double kThin = 2;               // bytes of an element of p and u
constexpr int32_t kFewTiles = 64;         // of into_rank.cu
constexpr int32_t kChunkRows = 256;       // of over_rows.cu
constexpr double kProduct = 2 * 16 * 16;  // operations of 16 rows, 16 columns and one of what is summed over

// One launch of slices and, where it leaves partial sums, the one that adds them.
struct SliceLaunch {
  double slots = 0;  // bytes of all partial sums
  int32_t tiles = 0, chunks = 1;

  int64_t launches() const { return tiles == 0 ? 0 : chunks > 1 ? 2 : 1; }
  double partial() const { return chunks > 1 ? slots : 0; }
};

double intoRankFlops(int64_t rows, int64_t width, int64_t rank) {
  return kProduct / 256 * product(roundUp16(rows), roundUp16(rank)) * static_cast<double>(roundUp16(width));
}

void addIntoRank(SliceLaunch& launch, int64_t rows, int32_t width, int32_t rank) {
  launch.tiles += tilesOf(static_cast<int32_t>(rows)) * tilesOf(rank);
  launch.chunks = std::max(launch.chunks, chunksOf(width));
  launch.slots += 4 * product(roundUp16(rows), roundUp16(rank)) * chunksOf(width);
}

struct Gradient {
  int64_t rows = 0, width = 0, rank = 0;
};

// The gradients that one launch adds to: their own traffic and the partial sums'.
Cost overRowsCost(const std::map<const float*, Gradient>& gradients) {
  Cost cost;
  int64_t tiles = 0, rows = 0;
  for (const auto& [matrix, g] : gradients) {
    tiles += int64_t{tilesOf(static_cast<int32_t>(g.rank))} * tilesOf(static_cast<int32_t>(g.width));
    rows = std::max(rows, g.rows);
  }
  if (tiles == 0) return cost;
  const int64_t chunks = std::max<int64_t>(1, std::min<int64_t>(kSlots / tiles, (rows + kChunkRows - 1) / kChunkRows));
  for (const auto& [matrix, g] : gradients) {
    const double bytes = 4 * product(g.rank, g.width);
    cost += {bytes, bytes, intoRankFlops(g.rank, g.rows, g.width), 0};
    if (chunks == 1) continue;
    const int64_t of = int64_t{tilesOf(static_cast<int32_t>((g.rows + chunks - 1) / chunks))} * 64;
    const double slots = 4 * product(roundUp16(g.rank), roundUp16(g.width)) * ceiling(g.rows, of);
    cost += {slots, slots, 0, 0};
  }
  cost.launches = chunks > 1 ? 2 : 1;
  return cost;
}

// --- attention -------------------------------------------------------------------------------------------------------------------

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

// attention_cached.cu's parts of what a row at this position sees; one part leaves nothing to be put together.
double cachedParts(int64_t position, int64_t window) {
  constexpr int64_t kPartTokens = 512, kParts = 8;
  const int64_t first = window > 0 && position >= window ? position - window + 1 : 0;
  int64_t tokens = kPartTokens;
  while (tokens * kParts < position - first + 1) tokens *= 2;
  const int64_t firstPart = first / tokens, lastPart = position / tokens;
  return static_cast<double>(lastPart - firstPart + 1);
}

double documentBytes(std::span<const int32_t> cuSeqlens) { return 4 * static_cast<double>(cuSeqlens.size()); }

}  // namespace

// The base's product: rows of `depth` times a weight, to rows of `width`. What is not of the product's types is brought to them and back, as
// many rows as there is room for at a time, and the weight is read for each such turn.
Cost CostBackend::baseProduct(WeightId weight, DevConstReal x, int64_t depth, DevReal y, int64_t width, int64_t rows,
                              bool accumulate) const {
  const bool floats = weightAt(weight).format == WeightFormat::kF32;
  const bool convertsIn = (x.type() == ElementType::kF32) != floats;
  const bool convertsOut = floats && y.type() != ElementType::kF32;  // sums of bfloat16 are written as float32 as well
  const int64_t inBytes = floats ? 4 : 2;
  const auto outBytes = convertsOut ? 4.0 : size(y);
  int64_t most = rows;
  if (convertsIn) most = std::min(most, static_cast<int64_t>(WeightWorkspace{}.in) / (depth * inBytes));
  if (convertsOut) most = std::min(most, static_cast<int64_t>(WeightWorkspace{}.out) / (width * 4));
  const int64_t turns = most < 1 ? 1 : (rows + most - 1) / most;
  const double in = product(rows, depth), out = product(rows, width);
  Cost cost{bytesOf(weight) * static_cast<double>(turns) + in * static_cast<double>(inBytes) +
                (accumulate ? out * outBytes : 0),
            out * outBytes, 2 * elementsOf(weight) * static_cast<double>(rows), turns};
  if (convertsIn) cost += {in * size(x), in * static_cast<double>(inBytes), 0, turns};
  if (convertsOut) cost += {out * outBytes, out * size(y), 0, turns};
  if (convertsOut && accumulate) cost += {out * size(y), out * outBytes, 0, turns};
  return cost;
}

void CostBackend::linearForward(WeightId weight, DevConstReal x, int64_t, int64_t rows, DevReal y, int64_t,
                                std::span<const LoraGroup> groups, DevReal) {
  if (rows == 0) return;
  const Weight& w = weightAt(weight);
  note(w.format == WeightFormat::kF32 ? "linearForwardFloat32" : "linearForward",
       baseProduct(weight, x, w.in, y, w.out, rows, false));
  Cost cost;
  SliceLaunch into;
  bool out = false;
  for (const LoraGroup& group : groups) {
    const int64_t n = group.rowEnd - group.rowBegin, rank = group.rankTotal;
    if (n <= 0 || rank <= 0) continue;
    addIntoRank(into, n, static_cast<int32_t>(w.in), group.rankTotal);
    cost += {product(n, w.in) * size(x) + 4 * product(rank, w.in), product(n, rank) * kThin,
             intoRankFlops(n, w.in, rank), 0};
    for (const LoraSegment& segment : group.segments) {
      const int64_t width = segment.outEnd - segment.outBegin;
      if (segment.rank <= 0 || width <= 0) continue;
      out = true;
      const double wide = product(n, width) * size(y);
      cost += {product(n, segment.rank) * kThin + 4 * product(segment.rank, width) + wide, wide,
               intoRankFlops(n, segment.rank, width), 0};
    }
  }
  if (into.tiles > kFewTiles) into.chunks = 1;
  cost += {into.partial(), into.partial(), 0, into.launches() + (out ? 1 : 0)};
  if (!groups.empty()) note("loraForward", cost);
}

void CostBackend::linearBackward(WeightId weight, DevConstReal x, int64_t, int64_t rows, DevConstReal dy, int64_t,
                                 DevReal dx, int64_t, bool accumulate, std::span<const LoraGroup> groups, DevReal,
                                 DevReal) {
  if (rows == 0) return;
  const Weight& w = weightAt(weight);
  if (dx) {
    note(w.format == WeightFormat::kF32 ? "linearBackwardFloat32" : "linearBackward",
         baseProduct(weight, dy, w.out, dx, w.in, rows, accumulate));
  }
  if (groups.empty()) return;
  // Slices by the type of what is wide, as the launches are: 0 for x's, 1 for dy's where that is another.
  const size_t ofDy = x.type() == dy.type() ? 0 : 1;
  SliceLaunch into[2];
  std::map<const float*, Gradient> gradients[2];
  Cost cost;
  bool out = false;
  const auto addGradient = [&](size_t kind, const float* matrix, int64_t n, int64_t width, int64_t rank) {
    Gradient& g = gradients[kind][matrix];
    g = {g.rows + n, width, rank};
  };
  for (const LoraGroup& group : groups) {
    const int64_t n = group.rowEnd - group.rowBegin, rank = group.rankTotal;
    if (n <= 0 || rank <= 0) continue;
    bool needsP = false;
    for (const LoraSegment& segment : group.segments) {
      const int64_t width = segment.outEnd - segment.outBegin;
      if (segment.rank <= 0 || width <= 0) continue;
      const double wide = product(n, width) * size(dy), thin = product(n, segment.rank) * kThin;
      if (dx || group.dA) {
        addIntoRank(into[ofDy], n, static_cast<int32_t>(width), segment.rank);
        cost += {wide + 4 * product(segment.rank, width), thin, intoRankFlops(n, width, segment.rank), 0};
      }
      if (!segment.dbT) continue;
      needsP = true;
      addGradient(ofDy, segment.dbT.raw(), n, width, segment.rank);
      cost += {wide + thin, 0, 0, 0};
    }
    const double wide = product(n, w.in) * size(x), thin = product(n, rank) * kThin, matrix = 4 * product(rank, w.in);
    if (needsP) {
      addIntoRank(into[0], n, static_cast<int32_t>(w.in), group.rankTotal);
      cost += {wide + matrix, thin, intoRankFlops(n, w.in, rank), 0};
    }
    if (group.dA) {
      addGradient(0, group.dA.raw(), n, w.in, rank);
      cost += {wide + thin, 0, 0, 0};
    }
    if (dx) {
      out = true;
      const double gradient = product(n, w.in) * size(dx);
      cost += {thin + matrix + gradient, gradient, intoRankFlops(n, rank, w.in), 0};
    }
  }
  for (SliceLaunch& launch : into) {
    if (launch.tiles > kFewTiles) launch.chunks = 1;
    cost += {launch.partial(), launch.partial(), 0, launch.launches()};
  }
  for (const auto& each : gradients) cost += overRowsCost(each);
  cost.launches += out ? 1 : 0;
  note("loraBackward", cost);
}

// Blocks of 128 x 128; few of them share the rows and leave partial sums.
void CostBackend::weightGradient(DevConstReal x, int64_t, int64_t rows, DevConstReal dy, int64_t, int64_t out,
                                 int64_t in, DevF32) {
  constexpr int64_t kBlock = 128;
  if (rows <= 0) return;
  const int64_t m = (out + kBlock - 1) / kBlock * kBlock, n = (in + kBlock - 1) / kBlock * kBlock;
  const double sums = 4 * product(out, in);
  note("weightGradient", {product(rows, in) * size(x) + product(rows, out) * size(dy) + sums, sums,
                          2 * product(m, n) * static_cast<double>(roundUp16(rows)), 1});
}

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

// Rows of one sequence read its tokens together, 16 rows and heads at a time.
void CostBackend::attentionCached(const AttentionShape& shape, DevConstReal q, int64_t, int64_t rows,
                                  DevConstI32 positions, DevConstI32 rowTables, DevConstI32, int32_t maxPosition,
                                  DevConstReal pool, DevReal out, int64_t) {
  constexpr int64_t kRows = 16;
  if (rows == 0) return;
  const std::span<const int32_t> at = integersAt(positions, rows), tables = integersAt(rowTables, rows);
  const int64_t perKv = shape.heads / shape.kvHeads, together = kRows / std::min(kRows, perKv);
  const auto position = [&](int64_t row) { return at.empty() ? maxPosition : at[static_cast<size_t>(row)]; };
  const auto table = [&](int64_t row) { return tables.empty() ? row : int64_t{tables[static_cast<size_t>(row)]}; };
  const auto seenFrom = [&](int64_t row) {
    return shape.window > 0 ? std::max<int64_t>(0, int64_t{position(row)} - shape.window + 1) : 0;
  };
  double tokens = 0, tiles = 0, parts = 0;
  for (int64_t row = 0; row < rows;) {
    int64_t end = row + 1;  // of the sequence's rows
    while (end < rows && table(end) == table(row)) ++end;
    const int64_t firstTile = seenFrom(row) / kRows;
    tokens += static_cast<double>(position(end - 1) + 1 - firstTile * kRows);
    for (; row < end; ++row) {
      if (const double of = cachedParts(position(row), shape.window); of > 1) parts += of;
      const bool taken = row % together != 0 && row > 0 && table(row) == table(row - 1);
      if (taken) continue;
      const int64_t last = std::min(end, row / together * together + together) - 1;
      const int64_t lastTile = position(last) / kRows;
      const int64_t startTile = seenFrom(row) / kRows;
      tiles += static_cast<double>(lastTile - startTile + 1);
    }
  }
  const double queries = product(rows, shape.heads) * shape.headDim;
  const double partial = parts * shape.heads * (shape.headDim + 2) * 4;
  const double flops =
      shape.kvHeads * ceiling(perKv, kRows) * tiles * 2 * 2 * product(kRows * kRows, compiledHead(shape.headDim));
  note("attentionCached", {queries * size(q) + 2 * tokens * shape.kvHeads * shape.headDim * size(pool) + partial,
                           queries * size(out) + partial, flops, parts > 0 ? 2 : 1});  // the second puts parts together
}

}  // namespace mlit::cuda
