// A vocabulary is never sorted. A row is cut into chunks: one launch finds each chunk's maximum and its share of the softmax, one
// each chunk's probability mass where the row wants it, and the last, a block a row, does what is left: top-k and top-p by
// histograms over ever finer bins, for which most chunks are skipped by their maxima, then the draw, for which it reads the chunks'
// masses and one chunk. Masses are counted in units of 2^-40 of the largest, so that their sums are exact in any order.
#include "backend/cuda/kernels/sampling.h"

#include <cmath>
#include <limits>
#include <string>

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/alignment.h"
#include "core/draw.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

constexpr int kChunk = 512, kPerLane = kChunk / 32;
constexpr int kChunkThreads = 256, kChunksPerBlock = kChunkThreads / 32;
constexpr int kRowThreads = 512, kItems = 4, kBins = kRowThreads * kItems;
constexpr int kMostChunks = static_cast<int>(kMostSampledVocabulary / kChunk);
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kUnits = 0x1p40f;
constexpr float kFarthest = 29;  // e^-29 is less than half a unit
constexpr int kAnyId = std::numeric_limits<int>::max();
static_assert(kMostChunks <= kBins, "search() looks at chunks, too");

// What the launches leave for each other: one of each a chunk, rows one after the other.
struct Chunks {
  uint64_t* masses;
  float* maxima;     // of ids < usable; -inf where there is no number
  float* allMaxima;  // of all ids, at least the lowest float
  float* sums;       // of exp(logit - allMaxima), all ids
};

// exp of x in (-kFarthest, 0] in the CPU kernels' very steps (backend/cpu/kernels/math.h): minP asks the same question of the same bits.
DEVICE float expAsOnTheCpu(float x) {
  const float magic = 12582912.0f;
  const float shifted = __fmaf_rn(x, 1.44269504088896341f, magic);
  const float n = __fsub_rn(shifted, magic);
  float r = __fmaf_rn(-n, 0.693359375f, x);
  r = __fmaf_rn(-n, -2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = __fmaf_rn(p, r, 1.3981999507e-3f);
  p = __fmaf_rn(p, r, 8.3334519073e-3f);
  p = __fmaf_rn(p, r, 4.1665795894e-2f);
  p = __fmaf_rn(p, r, 1.6666665459e-1f);
  p = __fmaf_rn(p, r, 5.0000001201e-1f);
  p = __fmaf_rn(p, __fmul_rn(r, r), __fadd_rn(r, 1.0f));
  return __fmul_rn(p, __uint_as_float((__float_as_uint(shifted) << 23) + 0x3F800000u));
}

struct Row {
  const float* logits;
  const float* maxima;  // of its chunks
  int usable, chunks;
  float max, inverseTemperature;

  DEVICE uint64_t mass(float logit, float leastExp) const {
    const float distance = __fmul_rn(__fsub_rn(logit, max), inverseTemperature);
    if (!(distance > -kFarthest)) return 0;  // NaN, too
    const float e = expAsOnTheCpu(distance);
    return e >= leastExp ? __float2ull_rn(e * kUnits) : 0;
  }
};

// A lane's part of a chunk, of which ids below end count. A vector that begins below end may be read.
template <int N>
struct Part {
  float values[kPerLane / N][N];
  int first, end;

  DEVICE Part(const float* logits, int chunk, int idEnd)
      : first(chunk * kChunk + static_cast<int>(threadIdx.x) % 32 * N), end(idEnd) {
    UNROLL
    for (int j = 0; j < kPerLane / N; ++j) {
      if (first + j * 32 * N < end) loadFloats(values[j], logits + first + j * 32 * N);
    }
  }
  // f(logit, id)
  template <class F>
  DEVICE void forEach(F f) const {
    UNROLL
    for (int j = 0; j < kPerLane / N; ++j) {
      UNROLL
      for (int i = 0; i < N; ++i) {
        const int id = first + j * 32 * N + i;
        if (id < end) f(values[j][i], id);
      }
    }
  }
};

DEVICE uint64_t warpTotal(uint64_t value) {
  UNROLL
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

template <int Threads>
DEVICE float blockMaximum(float value, float* room) {
  const int thread = static_cast<int>(threadIdx.x);
  value = warpMax(value);
  if (thread % 32 == 0) room[thread / 32] = value;
  __syncthreads();
  value = room[0];
  UNROLL
  for (int warp = 1; warp < Threads / 32; ++warp) value = fmaxf(value, room[warp]);
  return value;
}

template <int Threads>
DEVICE float maximumOf(const float* maxima, int chunks, float* room) {
  float most = -kInfinity;
  for (int c = static_cast<int>(threadIdx.x); c < chunks; c += Threads) most = fmaxf(most, maxima[c]);
  return blockMaximum<Threads>(most, room);
}

DEVICE bool asksTopK(const SampleRow& asked, int usable) { return asked.topK > 0 && asked.topK < usable; }

// A warp a chunk.
template <int N>
__global__ void __launch_bounds__(kChunkThreads)
    sampleStatisticsKernel(const float* logits, int64_t vocabulary, int usable, int chunks, int blocksPerRow,
                           Chunks out) {
  const int64_t row = blockIdx.x / static_cast<unsigned>(blocksPerRow);
  const int chunk = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocksPerRow)) * kChunksPerBlock +
                    static_cast<int>(threadIdx.x) / 32;
  if (chunk >= chunks) return;  // whole warps
  float all = kLowest, most = -kInfinity;
  const Part<N> part(logits + row * vocabulary, chunk, static_cast<int>(vocabulary));
  part.forEach([&](float logit, int id) {
    all = fmaxf(all, logit);
    if (id < usable) most = fmaxf(most, logit);
  });
  all = warpMax(all);
  most = warpMax(most);
  float sum = 0;
  part.forEach([&](float logit, int) { sum += exp2Approximate((logit - all) * 1.44269504088896341f); });
  sum = warpSum(sum);
  if (threadIdx.x % 32 == 0) {
    const int64_t at = row * chunks + chunk;
    out.maxima[at] = most;
    out.allMaxima[at] = all;
    out.sums[at] = sum;
  }
}

// The masses that the last launch begins with: after minP for rows that ask for no more than that, before it where topP comes first.
template <int N>
__global__ void __launch_bounds__(kChunkThreads)
    sampleMassKernel(const float* logits, int64_t vocabulary, int usable, int chunks, int blocksPerRow,
                     const SampleRow* rows, Chunks out) {
  using Room = float[kChunksPerBlock];
  SHARED(Room, room);
  const int64_t index = blockIdx.x / static_cast<unsigned>(blocksPerRow);
  const SampleRow asked = rows[index];
  if (!(asked.inverseTemperature > 0) || asksTopK(asked, usable)) return;  // the whole block
  const float* maxima = out.maxima + index * chunks;
  const float max = maximumOf<kChunkThreads>(maxima, chunks, room);
  const int chunk = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocksPerRow)) * kChunksPerBlock +
                    static_cast<int>(threadIdx.x) / 32;
  if (chunk >= chunks) return;
  const Row row{logits + index * vocabulary, maxima, usable, chunks, max, asked.inverseTemperature};
  const float leastExp = asked.topP < 1 ? 0 : asked.leastExp;
  uint64_t sum = 0;
  if (row.mass(maxima[chunk], 0) > 0) {
    Part<N>(row.logits, chunk, usable).forEach([&](float logit, int) { sum += row.mass(logit, leastExp); });
  }
  sum = warpTotal(sum);
  if (threadIdx.x % 32 == 0) out.masses[index * chunks + chunk] = sum;
}

struct Found {
  int64_t index;          // -1: the sum does not pass the aim
  uint64_t before, here;  // sums of the items before it, and of it alone
  uint64_t rest;          // of the aim, behind those before it
};
struct RowRoom {
  unsigned low[kBins], high[kBins];
  uint64_t warps[kRowThreads / 32];
  Found found;
  float floats[3][kRowThreads / 32];
};

// The first of count items, each at least 0, with which their running sum is more than aim(sum of all).
template <class Item, class Aim>
DEVICE Found search(RowRoom& room, int count, Item item, Aim aim) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  uint64_t own[kItems], sum = 0;
  UNROLL
  for (int i = 0; i < kItems; ++i) {
    own[i] = thread * kItems + i < count ? item(thread * kItems + i) : 0;
    sum += own[i];
  }
  uint64_t upTo = sum;
  UNROLL
  for (int distance = 1; distance < 32; distance *= 2) {
    const uint64_t other = __shfl_up_sync(kAllLanes, upTo, distance);
    if (lane >= distance) upTo += other;
  }
  if (lane == 31) room.warps[thread / 32] = upTo;
  if (thread == 0) room.found = Found{-1, 0, 0, 0};
  __syncthreads();
  uint64_t before = upTo - sum, total = 0;
  for (int warp = 0; warp < kRowThreads / 32; ++warp) {
    const uint64_t mass = room.warps[warp];
    if (warp < thread / 32) before += mass;
    total += mass;
  }
  const uint64_t goal = aim(total);
  if (before <= goal && goal < before + sum) {  // one thread at most
    bool passed = false;
    UNROLL
    for (int i = 0; i < kItems; ++i) {
      if (passed) continue;
      passed = goal < before + own[i];
      if (passed) {
        room.found = Found{thread * kItems + i, before, own[i], goal - before};
      } else {
        before += own[i];
      }
    }
  }
  __syncthreads();
  const Found found = room.found;
  __syncthreads();
  return found;
}

DEVICE void clearBins(RowRoom& room) {
  for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kRowThreads) room.low[i] = room.high[i] = 0;
  __syncthreads();
}

DEVICE void addToBin(RowRoom& room, int bin, uint64_t weight) {
  const unsigned low = static_cast<unsigned>(weight);
  const unsigned high = static_cast<unsigned>(weight >> 32) + (atomicAdd(&room.low[bin], low) + low < low ? 1 : 0);
  if (high != 0) atomicAdd(&room.high[bin], high);
}

template <class Aim>
DEVICE Found searchBins(RowRoom& room, Aim aim) {
  __syncthreads();
  return search(
      room, kBins, [&](int i) { return uint64_t{room.high[i]} << 32 | room.low[i]; }, aim);
}

// Distances from the largest logit in kBins steps of one width, the last for all that is farther.
struct Scale {
  float max, perUnit;
  DEVICE Scale(float largest, float low) : max(largest), perUnit(0) {
    if (low < max) perUnit = static_cast<float>(kBins - 1) / (max - low);
  }
  DEVICE int bin(float logit) const {
    const float at = (max - logit) * perUnit;
    return at < static_cast<float>(kBins - 1) ? static_cast<int>(at) : kBins - 1;
  }
};

// Integers in the opposite order of the floats.
DEVICE unsigned descendingKey(float x) {
  const unsigned bits = __float_as_uint(x == 0 ? 0.0f : x);
  return bits >> 31 != 0 ? bits : ~bits & 0x7FFFFFFFu;
}
DEVICE float floatOfKey(unsigned key) { return __uint_as_float(key >> 31 != 0 ? key : ~key & 0x7FFFFFFFu); }

struct Threshold {
  bool found;  // else the weights of all logits from low on come to no more than aim
  float value;
  uint64_t above, here;  // weights of the logits above value, and of those equal to it
};

// The largest of the logits from low on such that the weights of those not below it come to more than aim. The first pass
// spreads the logits evenly, which suits most; three more go by the bits of what shares its bin, and end it whatever they are.
template <int N, class Weight>
DEVICE Threshold select(const Row& row, RowRoom& room, float low, uint64_t aim, Weight weight) {
  const Scale scale(row.max, low);
  Found bin{};
  uint64_t above = 0;
  int coarse = kBins;
  unsigned prefix = 0;
  for (int pass = 0; pass < 4; ++pass) {
    const int shift = pass <= 1 ? 21 : pass == 2 ? 10 : 0, bits = pass == 3 ? 10 : 11;
    clearBins(room);
    for (int c = static_cast<int>(threadIdx.x) / 32; c < row.chunks; c += kRowThreads / 32) {
      const float most = row.maxima[c];
      if (!(most >= low) || scale.bin(most) > coarse) continue;
      Part<N>(row.logits, c, row.usable).forEach([&](float logit, int) {
        if (!(logit >= low)) return;
        int to = scale.bin(logit);
        if (pass > 0) {
          if (to != coarse) return;
          const unsigned key = descendingKey(logit);
          if (pass > 1 && key >> (shift + bits) != prefix) return;
          to = static_cast<int>(key >> shift & ((1u << bits) - 1));
        }
        addToBin(room, to, weight(logit));
      });
    }
    bin = searchBins(room, [&](uint64_t) { return aim - above; });
    if (bin.index < 0) return {};  // in the first pass
    above += bin.before;
    if (pass == 0) {
      coarse = bin.index;
    } else {
      prefix = prefix << bits | static_cast<unsigned>(bin.index);
    }
  }
  return {true, floatOfKey(prefix), above, bin.here};
}

// masses[c] = the sum of weight(logit, id) over chunk c; weights are 0 for logits below low.
template <int N, class Weight>
DEVICE void weigh(const Row& row, float low, uint64_t* masses, Weight weight) {
  for (int c = static_cast<int>(threadIdx.x) / 32; c < row.chunks; c += kRowThreads / 32) {
    uint64_t sum = 0;
    if (row.maxima[c] >= low) {
      Part<N>(row.logits, c, row.usable).forEach([&](float logit, int id) { sum += weight(logit, id); });
    }
    sum = warpTotal(sum);
    if (threadIdx.x % 32 == 0) masses[c] = sum;
  }
  __syncthreads();
}

// The first id with which the running sum of weight(logit, id) is more than aim(sum of all), or -1; masses are the chunks' sums.
template <class Weight, class Aim>
DEVICE int locate(const Row& row, RowRoom& room, const uint64_t* masses, Weight weight, Aim aim) {
  const Found chunk = search(
      room, row.chunks, [&](int c) { return masses[c]; }, aim);
  if (chunk.index < 0) return -1;
  const int first = chunk.index * kChunk, count = min(kChunk, row.usable - first);
  const auto item = [&](int i) { return weight(row.logits[first + i], first + i); };
  return first + search(room, count, item, [&](uint64_t) { return chunk.rest; }).index;
}

// The smallest id of the largest logit, or -1 where there is no number.
DEVICE int firstLargest(const Row& row, RowRoom& room) {
  const auto isLargest = [&](float x) { return x == row.max && x > -kInfinity ? uint64_t{1} : 0; };
  const auto none = [](uint64_t) { return uint64_t{0}; };
  const Found chunk = search(
      room, row.chunks, [&](int c) { return isLargest(row.maxima[c]); }, none);
  if (chunk.index < 0) return -1;
  const int first = chunk.index * kChunk, count = min(kChunk, row.usable - first);
  return first + search(
                     room, count, [&](int i) { return isLargest(row.logits[first + i]); }, none)
                     .index;
}

// The k-th largest logit. The k-th largest of the chunks' maxima has k logits at or above it, give or take a bin.
template <int N>
DEVICE Threshold selectTopK(const Row& row, RowRoom& room, float lowest, int k) {
  const Scale scale(row.max, lowest);
  const uint64_t aim = static_cast<uint64_t>(k - 1);
  const auto one = [](float) { return uint64_t{1}; };
  clearBins(room);
  for (int c = static_cast<int>(threadIdx.x); c < row.chunks; c += kRowThreads) {
    if (row.maxima[c] >= lowest) addToBin(room, scale.bin(row.maxima[c]), 1);
  }
  const Found bin = searchBins(room, [&](uint64_t) { return aim; });
  if (bin.index >= 0) {
    const float guess = row.max - static_cast<float>(bin.index + 1) / scale.perUnit;
    const Threshold kth = select<N>(row, room, fmaxf(guess, lowest), aim, one);
    if (kth.found) return kth;
  }
  return select<N>(row, room, lowest, aim, one);
}

template <int N>
DEVICE int drawToken(const Row& row, RowRoom& room, const SampleRow& asked, uint64_t* masses) {
  // What lies farther away has no mass: it is neither drawn nor missed by topK.
  const float lowest = fmaxf(row.max - kFarthest / row.inverseTemperature, kLowest);
  float value = lowest;  // kept: logits above value, and those equal to it up to lastId
  int lastId = kAnyId;
  const bool topK = asksTopK(asked, row.usable), topP = asked.topP < 1;
  const auto massOf = [&](float logit) { return row.mass(logit, 0); };
  if (topK) {
    const Threshold kth = selectTopK<N>(row, room, lowest, asked.topK);
    if (kth.found) value = kth.value;
  }
  if (topP) {
    if (topK) weigh<N>(row, value, masses, [&](float x, int) { return x >= value ? massOf(x) : 0; });
    uint64_t sum = 0;
    for (int c = static_cast<int>(threadIdx.x) % 32; c < row.chunks; c += 32) sum += masses[c];
    const uint64_t total = warpTotal(sum);
    const uint64_t target = static_cast<uint64_t>(ceil(static_cast<double>(asked.topP) * static_cast<double>(total)));
    const uint64_t aim = target > 0 ? target - 1 : 0;
    Threshold edge{};
    if (!topK) {  // all ids below this come to less than 1 - topP
      const float mean = (1 - asked.topP) * (static_cast<float>(total) / kUnits) / static_cast<float>(row.usable);
      const float guess = row.max + (logf(mean) - 0.01f) / row.inverseTemperature;
      if (guess > lowest) edge = select<N>(row, room, guess, aim, massOf);
    }
    if (!edge.found) edge = select<N>(row, room, value, aim, massOf);
    if (edge.found) {
      value = edge.value;
      const uint64_t each = massOf(value), wanted = (aim - edge.above) / each + 1;
      if (wanted * each < edge.here) {
        const auto tie = [&](float x, int) { return x == value ? uint64_t{1} : 0; };
        weigh<N>(row, value, masses, tie);
        lastId = locate(row, room, masses, tie, [&](uint64_t) { return wanted - 1; });
      }
    }
  }
  const auto kept = [&](float x, int id) {
    return x > value || (x == value && id <= lastId) ? row.mass(x, asked.leastExp) : 0;
  };
  if (topK || topP) weigh<N>(row, value, masses, kept);
  return locate(row, room, masses, kept, [&](uint64_t total) { return __umul64hi(asked.draw, total); });
}

template <int N>
__global__ void __launch_bounds__(kRowThreads)
    sampleDrawKernel(const float* logits, int64_t vocabulary, int usable, int chunks, const SampleRow* rows,
                     Chunks parts, int* tokens, float* logprobs) {
  SHARED(RowRoom, room);
  const int64_t index = blockIdx.x;
  const SampleRow asked = rows[index];
  Row row{logits + index * vocabulary, parts.maxima + index * chunks, usable, chunks, 0, asked.inverseTemperature};
  row.max = maximumOf<kRowThreads>(row.maxima, chunks, room.floats[0]);
  const float* allMaxima = parts.allMaxima + index * chunks;
  const float all = maximumOf<kRowThreads>(allMaxima, chunks, room.floats[1]);
  float sum = 0;
  for (int c = static_cast<int>(threadIdx.x); c < chunks; c += kRowThreads) {
    sum += parts.sums[index * chunks + c] * expf(allMaxima[c] - all);
  }
  sum = blockSum<kRowThreads>(sum, room.floats[2]);

  int token = -1;
  if (asked.inverseTemperature > 0 && fabsf(row.max) < kInfinity) {
    token = drawToken<N>(row, room, asked, parts.masses + index * chunks);
  }
  if (token < 0) token = firstLargest(row, room);
  if (token < 0) token = 0;  // no number in the row: the log-probability says so
  if (threadIdx.x == 0) {
    tokens[index] = token;
    logprobs[index] = row.logits[token] - all - logf(sum);
  }
}

int64_t chunksOf(int64_t vocabulary) { return (vocabulary + kChunk - 1) / kChunk; }

[[noreturn]] void refuse(const std::string& what, int64_t value, const std::string& expected) {
  throw Error(ErrorCode::kInternal, "sampleRows: " + what + " is " + std::to_string(value) + "; expected " + expected);
}

}  // namespace

SampleRow sampleRow(const SampleParams& params) {
  SampleRow row;
  const float inverse = 1.0f / params.temperature;
  // topP of nothing leaves the largest logit, as no temperature does.
  if (!(params.temperature > 0) || !std::isfinite(inverse) || !(params.topP > 0)) return row;
  row.inverseTemperature = inverse;
  row.topP = params.topP < 1 ? params.topP : 1;
  row.leastExp = params.minP > 1 ? 1 : params.minP;
  row.topK = params.topK > 0 ? params.topK : 0;
  row.draw = drawBits(params.seed, params.position) << 11;
  return row;
}

size_t sampleWorkspaceBytes(int64_t n, int64_t vocabulary) {
  return static_cast<size_t>(n * chunksOf(vocabulary)) * (sizeof(uint64_t) + 3 * sizeof(float));
}

void sampleRows(DevConstF32 logits, int64_t n, int64_t vocabulary, int64_t usable, DevicePtr<const SampleRow> rows,
                DevI32 tokens, DevF32 logprobs, DevicePtr<std::byte> workspace, size_t workspaceBytes, Stream& stream) {
  if (n == 0) return;
  if (vocabulary < 1 || vocabulary > kMostSampledVocabulary) {
    refuse("vocabulary", vocabulary, "1 to " + std::to_string(kMostSampledVocabulary));
  }
  if (usable < 1) refuse("usable", usable, "at least 1");
  if (workspaceBytes < sampleWorkspaceBytes(n, vocabulary)) {
    refuse("workspaceBytes", static_cast<int64_t>(workspaceBytes),
           "at least " + std::to_string(sampleWorkspaceBytes(n, vocabulary)));
  }
  const int64_t chunks = chunksOf(vocabulary), all = n * chunks;
  const int ids = static_cast<int>(usable < vocabulary ? usable : vocabulary);
  uint64_t* const masses = workspace.as<uint64_t>().raw();
  float* const floats = reinterpret_cast<float*>(masses + all);
  const Chunks parts{masses, floats, floats + all, floats + 2 * all};
  const int64_t perRow = (chunks + kChunksPerBlock - 1) / kChunksPerBlock;
  const Dim3 grid{static_cast<unsigned>(n * perRow)};
  const bool four = atOnce<4>(logits.raw(), vocabulary);
  launch(four ? sampleStatisticsKernel<4> : sampleStatisticsKernel<1>, "sampleStatistics", grid, {kChunkThreads}, 0,
         stream, logits.raw(), vocabulary, ids, static_cast<int>(chunks), static_cast<int>(perRow), parts);
  launch(four ? sampleMassKernel<4> : sampleMassKernel<1>, "sampleMass", grid, {kChunkThreads}, 0, stream, logits.raw(),
         vocabulary, ids, static_cast<int>(chunks), static_cast<int>(perRow), rows.raw(), parts);
  launch(four ? sampleDrawKernel<4> : sampleDrawKernel<1>, "sampleDraw", {static_cast<unsigned>(n)}, {kRowThreads}, 0,
         stream, logits.raw(), vocabulary, ids, static_cast<int>(chunks), rows.raw(), parts, tokens.raw(),
         logprobs.raw());
}

}  // namespace mlit::cuda
