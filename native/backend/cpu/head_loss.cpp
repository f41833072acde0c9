// The head and its loss without logits in memory, where products are of integers: what a block of words adds to a row's softmax is
// known when the block is, and its gradient's bytes do not wait for the rest, which changes nothing but their common scale. A row
// takes a quarter of what its logits would, so that four times as many share a walk over the head's weights.
#include <algorithm>
#include <cmath>

#include "backend/cpu/base_tasks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/loss.h"

namespace mlit {
namespace {

constexpr int64_t kTaskRows = 128;   // rows of a task,
constexpr int64_t kTileRows = 64;    // and those of them whose logits of a block of words stay in L1
constexpr int64_t kTaskBlocks = 16;  // blocks of words of a task
static_assert(kTileRows * kDotBlock <= kMaxTransposed * kBlockFloats);
static_assert(kTileRows * kMostKept <= kDroppedFloats && kDotBlock * kMostKept <= kBlockFloats);
static_assert(kDotBlock == 2 * kPanel && kTileRows % kDotGroup == 0 && kTaskRows % kTileRows == 0);

int64_t tasksOf(int64_t vocabulary) { return ceilDiv(ceilDiv(vocabulary, kDotBlock), kTaskBlocks); }

// Where in the scratch, in bytes, lies what is known of each row until all of it is.
struct HeadLayout {
  int64_t tasks;
  size_t maxima, sums, taskMaxima, taskKept, targets, bytes;

  HeadLayout(int64_t rows, int64_t vocabulary) : tasks(tasksOf(vocabulary)), bytes(roundedBytes(rows, vocabulary)) {
    const auto take = [&](int64_t each) {
      const size_t at = bytes;
      bytes += static_cast<size_t>(ceilDiv(rows * each, kPanel) * kPanel) * sizeof(float);
      return at;
    };
    const int64_t blocks = ceilDiv(vocabulary, kDotBlock);
    maxima = take(blocks);
    sums = take(blocks);
    taskMaxima = take(tasks);
    taskKept = take(tasks * kMostKept);
    targets = take(1);
  }
};

struct HeadLossRows {
  RoundedRows gradient;
  int64_t tasks;
  float*
      maxima;  // [rows][blocks]: the largest logit of each; in the end the block's share of exp(logit - largest of all)
  float* sums;        // [rows][blocks]
  float* taskMaxima;  // [rows][tasks]
  float* taskKept;    // [rows][tasks][kMostKept]: the kept columns of dx, relative to the task's maximum
  float* targets;     // [rows]: the label's logit

  HeadLossRows(std::byte* memory, int64_t rows, int64_t vocabulary)
      : gradient(roundedRowsAt(memory, rows, vocabulary)) {
    const HeadLayout layout(rows, vocabulary);
    const auto at = [&](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    tasks = layout.tasks;
    maxima = at(layout.maxima), sums = at(layout.sums);
    taskMaxima = at(layout.taskMaxima), taskKept = at(layout.taskKept);
    targets = at(layout.targets);
  }
};

// One task: blocks of words, a tile of rows at a time.
struct LossTask {
  const CpuWeight& w;
  const DotKernels& dot;
  const LossKernels& loss;
  const GemmKernels& gemm;
  const RoundedRows& x;
  const int32_t* targets;
  const HeadLossRows& to;
  bool gradients;
  Range rows, blocks;
  int64_t index;  // among the tasks of a row
  const Scratch& scratch;

  int64_t kept() const { return static_cast<int64_t>(w.kept.columns.size()); }

  void run() const {
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      const int64_t first = block * kDotBlock, words = std::min(kDotBlock, w.out - first);
      if (kept() > 0) gemm.transpose(w.kept.rows + first * kept(), kept(), words, kept(), scratch.decoded, kDotBlock);
      for (int64_t row = rows.begin; row < rows.end; row += kTileRows) {
        if (scratch.pool.cancelled()) return;
        const Range tile{row, std::min(rows.end, row + kTileRows)};
        multiply(tile, first, words);
        for (int64_t r = tile.begin; r < tile.end; ++r) takeLoss(r, r - tile.begin, block, words);
        if (gradients && kept() > 0) addKept(tile, block, words);
      }
    }
  }

  // Logits less what is the same for all words.
  void multiply(Range tile, int64_t first, int64_t words) const {
    constexpr int64_t kDepth = 2048;
    for (int64_t panel = 0; panel * kPanel < words; ++panel) {
      const int64_t at = first + panel * kPanel;
      for (int64_t k0 = 0; k0 < w.in; k0 += kDepth) {
        DotBlock block{};
        block.rows = tile.size(), block.columns = std::min(kPanel, words - panel * kPanel);
        block.k = ceilDiv(std::min(kDepth, w.in - k0), kDotSteps) * kDotSteps;
        x.fill(block, tile.begin, k0);
        block.b = w.dotRows(at / kPanel, k0);
        block.factors = w.scales + at;
        block.c = scratch.blocks + panel * kPanel, block.ldc = kDotBlock;
        block.add = k0 > 0;
        if (tile.begin == rows.begin && at / kPanel + 2 < w.panels()) {
          block.ahead[0] = w.stored(at / kPanel + 2, k0, std::min(kDepth, w.in - k0));
        }
        dot.block(block);
      }
    }
    if (kept() > 0) {
      expand(gemm, x.kept + tile.begin * kept(), kept(), tile.size(), kept(), scratch.decoded, kDotBlock, words,
             scratch.blocks, kDotBlock, scratch);
    }
  }

  void takeLoss(int64_t row, int64_t tileRow, int64_t block, int64_t words) const {
    const int64_t at = row * to.gradient.blocks + block;
    float* const logits = scratch.blocks + tileRow * kDotBlock;
    const int64_t target = targets[row] - block * kDotBlock;
    const bool here = target >= 0 && target < words;
    if (here) to.targets[row] = logits[target];
    loss.roundedBlock({words, here ? target : -1, logits, to.maxima + at, to.sums + at, w.scales + block * kDotBlock,
                       gradients ? to.gradient.data + row * to.gradient.ld + block * kDotBlock : nullptr,
                       to.gradient.scales + at, to.gradient.starts + at});
  }

  // Relative to the largest logit of the task so far: what came before shrinks when a larger one comes.
  void addKept(Range tile, int64_t block, int64_t words) const {
    float* const sums = scratch.dropped;
    GemmBlock product{};
    product.rows = tile.size(), product.columns = kept(), product.k = words;
    product.a = scratch.blocks, product.aRow = kDotBlock, product.aK = 1;
    product.b = w.kept.rows + block * kDotBlock * kept(), product.ldb = kept();
    product.c = sums, product.ldc = kept();
    gemm.block(product, scratch.tail);
    for (int64_t r = tile.begin; r < tile.end; ++r) {
      const float max = to.maxima[r * to.gradient.blocks + block];
      float& before = to.taskMaxima[r * to.tasks + index];
      float* const all = to.taskKept + (r * to.tasks + index) * kMostKept;
      const bool first = block == blocks.begin;
      const bool grows = first || max > before;
      const float most = grows ? max : before;
      const float old = first ? 0.0f : grows ? std::exp(before - max) : 1.0f;
      const float own = grows ? 1.0f : std::exp(max - before);
      for (int64_t c = 0; c < kept(); ++c) {
        all[c] = (first ? 0.0f : all[c] * old) + sums[(r - tile.begin) * kept() + c] * own;
      }
      before = most;
    }
  }
};

// The blocks' maxima become their shares of the whole; what was relative to them becomes the gradient.
void finishRow(const CpuWeight& w, const LossKernels& loss, const HeadLossRows& to, int64_t row, int32_t target,
               const float* weight, float* logprob) {
  const RoundedRows& g = to.gradient;
  float* const maxima = to.maxima + row * g.blocks;
  const float* const sums = to.sums + row * g.blocks;
  float max;
  double unused;
  loss.softmaxStatistics(maxima, g.blocks, &max, &unused);
  loss.softmaxScaled(maxima, g.blocks, max, 1.0f);
  double sum = 0;
  for (int64_t b = 0; b < g.blocks; ++b) sum += static_cast<double>(sums[b]) * static_cast<double>(maxima[b]);
  const double own = (static_cast<double>(to.targets[row]) - static_cast<double>(max)) - std::log(sum);
  *logprob = static_cast<float>(own);
  if (weight == nullptr) return;
  const auto factor = static_cast<float>(static_cast<double>(*weight) / sum);
  float* const scales = g.scales + row * g.blocks;
  for (int64_t b = 0; b < g.blocks; ++b) scales[b] *= maxima[b] * factor;
  const auto label = static_cast<float>(static_cast<double>(*weight) * std::expm1(own));
  g.largest[row] = {target, label * w.scales[target]};
  const auto count = static_cast<int64_t>(w.kept.columns.size());
  for (int64_t c = 0; c < count; ++c) {
    double all = 0;
    for (int64_t t = 0; t < to.tasks; ++t) {
      const float share = std::exp(to.taskMaxima[row * to.tasks + t] - max);
      all += static_cast<double>(to.taskKept[(row * to.tasks + t) * kMostKept + c]) * static_cast<double>(share);
    }
    g.kept[row * count + c] =
        static_cast<float>(all * static_cast<double>(factor)) + label * w.kept.rows[target * count + c];
  }
}

}  // namespace

size_t CpuBackend::headLossBytes(int64_t rows, int64_t out, int64_t in, WeightFormat format) const {
  static_cast<void>(in);
  return integers_ && format == WeightFormat::kI8Channel ? HeadLayout(rows, out).bytes : 0;
}

void CpuBackend::headLoss(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstI32 targets,
                          DevConstF32 weights, DevF32 logprobs, DevReal dx, int64_t lddx, DevicePtr<std::byte> memory) {
  if (rows <= 0) return;
  CpuWeight& w = weightAt(weight);
  HeadLossRows to(memory.raw(), rows, w.out);
  if (watching_) noteColumns(w, x.floats(), ldx, rows);
  const RoundedRows rounded = roundInputs(w, x.floats(), ldx, rows);
  const int64_t rowParts = ceilDiv(rows, kTaskRows), blocks = ceilDiv(w.out, kDotBlock);
  // Row parts run fastest, so that threads meet at the same words.
  pool_.run(rowParts * to.tasks, [&](int64_t task, int thread) {
    const int64_t index = task / rowParts;
    const Range own{index * kTaskBlocks, std::min(blocks, (index + 1) * kTaskBlocks)};
    const Scratch scratch(pool_, this->scratch(thread));
    LossTask{w,
             dot_,
             *kernels_.loss,
             *kernels_.gemm,
             rounded,
             targets.raw(),
             to,
             bool(dx),
             part(rows, rowParts, task % rowParts, kTileRows),
             own,
             index,
             scratch}
        .run();
  });
  pool_.run(rows, [&](int64_t row, int) {
    finishRow(w, *kernels_.loss, to, row, targets.raw()[row], dx ? weights.raw() + row : nullptr, logprobs.raw() + row);
  });
  if (!dx) return;
  if (w.kept.columns.empty()) to.gradient.kept = nullptr;
  to.gradient.offsets = nullptr;  // a softmax's gradient adds up to nothing
  multiplyBackward(w, to.gradient, rows, dx.floats(), lddx);
}

}  // namespace mlit
