// What products move and do: the base's and those of adapters (kernels/lora.cu's slices), tile by tile as the kernels walk.
#include <algorithm>
#include <bit>
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
constexpr int64_t roundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
constexpr int64_t roundUp16(int64_t n) { return roundUp(n, 16); }

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

}  // namespace

// The base's product: rows of `depth` times a weight, to rows of `width`. What is not of the product's types is brought to them and back, as
// many rows as there is room for at a time, and the weight is read for each such turn. A quantised weight is widened a slice of its rows at
// a time: forward a slice gives columns of y, backward a part of y's sums.
Cost CostBackend::baseProduct(WeightId weight, DevConstReal x, DevReal y, int64_t rows, bool forward,
                              bool accumulate) const {
  const Weight& w = weightAt(weight);
  const int64_t depth = forward ? w.in : w.out, width = forward ? w.out : w.in;
  const bool floats = w.format == WeightFormat::kF32, widened = isQuantised(w.format);
  const int64_t wideRow = 2 * roundUp(w.in, 8);
  const int64_t sliceRows = widened ? static_cast<int64_t>(WeightWorkspace{}.slice) / wideRow / 8 * 8 : w.out;
  const int64_t slices = (w.out + sliceRows - 1) / sliceRows;
  const bool summed = !forward && slices > 1;  // by the product, in float32
  const bool convertsIn = (x.type() == ElementType::kF32) != floats;
  const bool convertsOut = (floats || summed) && y.type() != ElementType::kF32;
  const int64_t inBytes = floats ? 4 : 2;
  const auto outBytes = convertsOut ? 4.0 : size(y);
  int64_t most = rows;
  if (convertsIn) most = std::min(most, static_cast<int64_t>(WeightWorkspace{}.in) / (depth * inBytes));
  if (convertsOut) most = std::min(most, static_cast<int64_t>(WeightWorkspace{}.out) / (width * 4));
  const int64_t turns = most < 1 ? 1 : (rows + most - 1) / most;
  const double in = product(rows, depth), out = product(rows, width), wide = product(w.out, wideRow);
  const double readIn = (forward ? static_cast<double>(slices) : 1) * in * static_cast<double>(inBytes);
  const auto written = summed ? static_cast<double>(slices) : 1.0;  // times
  Cost cost{(widened ? 2 * elementsOf(weight) : bytesOf(weight)) * static_cast<double>(turns) + readIn +
                (written - (accumulate ? 0 : 1)) * out * outBytes,
            written * out * outBytes, 2 * elementsOf(weight) * static_cast<double>(rows), turns * slices};
  if (widened) {
    cost += {bytesOf(weight) * static_cast<double>(turns), wide * static_cast<double>(turns), 0, turns * slices};
  }
  if (convertsIn) cost += {in * size(x), in * static_cast<double>(inBytes), 0, turns};
  if (convertsOut) cost += {out * outBytes, out * size(y), 0, turns};
  if (convertsOut && accumulate) cost += {out * size(y), out * outBytes, 0, turns};
  return cost;
}

void CostBackend::linearForward(WeightId weight, DevConstReal x, int64_t, int64_t rows, DevReal y, int64_t,
                                std::span<const LoraGroup> groups, DevReal) {
  if (rows == 0) return;
  note(weightAt(weight).format == WeightFormat::kF32 ? "linearForwardFloat32" : "linearForward",
       baseProduct(weight, x, y, rows, true, false));
  addAdapters(weight, x, y, groups);
}

// few_rows.cu: a block's outputs and rows, and the columns of a step, are padded to what one takes.
void CostBackend::linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                               std::span<const LoraGroup> groups, DevReal p) {
  const Weight& w = weightAt(weight);
  if (w.format == WeightFormat::kF32) return linearForward(weight, x, ldx, rows, y, ldy, groups, p);
  if (rows == 0) return;
  const bool bf16 = w.format == WeightFormat::kBF16, converts = x.type() == ElementType::kF32;
  const int64_t ofRows = std::clamp<int64_t>(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))), 8, 64);
  const int64_t ofOut = ofRows < 64 ? 16 : bf16 ? 64 : 32;
  const int64_t columns = bf16 ? 32 : w.format == WeightFormat::kI8Channel ? 64 : 128;
  const int64_t most = converts ? static_cast<int64_t>(WeightWorkspace{}.in) / (2 * roundUp(w.in, 8)) : rows;
  const int64_t turns = (rows + most - 1) / most;
  const double in = product(rows, w.in);
  Cost cost{bytesOf(weight) * static_cast<double>(turns) + 2 * in, product(rows, w.out) * size(y),
            2 * product(roundUp(w.out, ofOut), roundUp(rows, ofRows)) * static_cast<double>(roundUp(w.in, columns)),
            turns};
  if (converts) cost += {4 * in, 2 * in, 0, turns};
  note("linearSample", cost);
  addAdapters(weight, x, y, groups);
}

void CostBackend::addAdapters(WeightId weight, DevConstReal x, DevReal y, std::span<const LoraGroup> groups) {
  const Weight& w = weightAt(weight);
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
         baseProduct(weight, dy, dx, rows, false, accumulate));
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

}  // namespace mlit::cuda
