// The one interface between the mathematics of a model and the machine that runs it. Model, training and sampling
// know nothing of a device but this file; a backend knows nothing of layers, adapters' names or schedules.
//
// Rules that every backend keeps and every caller relies on:
//  - Addresses are DevicePtr: they are never dereferenced above a backend. Host data crosses by upload() and download() only.
//  - Ops are enqueued in order and may run later. Host memory handed to upload() or named by download() must stay valid
//    until synchronize() returns. Where it or a download() throws, nothing is delivered later that was asked for before.
//    Descriptors (structs, spans) are read before the call returns.
//  - Matrices are row-major; a leading dimension (ld) is in elements. Parameters, gradients of parameters, statistics, the
//    residual stream, its gradient and logits are float32. Other activations and their gradients (DevReal) are of the
//    backend's activationType(), or float32 where a caller has only that; sums are formed in float32 in any case.
//  - Rows do not know each other: the bits of an output row depend on that row's inputs only, never on the number of rows
//    in the call or their place in it. Sums over rows (weight gradients) have a fixed order.
//  - Same inputs, same bits, whatever the number of threads.
//  - Gradients of parameters are ADDED to their buffers; gradients of activations overwrite unless said otherwise.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "backend/device_pointer.h"

namespace mlit {

// A matrix [out, in] in whatever layout the backend likes best. One copy serves y = x·Wᵀ, dx = dy·W and row gathers.
enum class WeightFormat {
  kF32,
  kBF16,
  kI8Channel,  // symmetric int8, one float scale per output row
  kNF4         // QLoRA's 4-bit quantiles of a normal, one float scale for each 64 neighbours of a row (core/nf4.h)
};
struct WeightId {
  int32_t index = -1;
  explicit operator bool() const { return index >= 0; }
};

// One adapter's factors for one projection inside a stacked weight (q, k, v are one weight; gate, up another).
struct LoraSegment {
  int32_t outBegin = 0;  // columns [outBegin, outEnd) of y
  int32_t outEnd = 0;
  int32_t rank = 0;
  int32_t rankBegin = 0;  // first row of this projection's A inside the stacked A
  DevConstF32 bT;         // [rank, outEnd - outBegin]: B transposed
  DevF32 dbT;             // gradient of bT, or null
  uint32_t module = 0;    // number of this projection in the model: its masks differ from every other's
};

// Dropout of a group's x on its way into A (peft's lora_dropout): each segment sees a mask of its own, and what it keeps
// scaled by 1 / (1 - probability). Element (row, i) is kept where core/dropout.h says so for (key, the segment's module,
// records[row], positions[row], i).
struct LoraDropout {
  double probability = 0;  // 0 = off: nothing else is read; less than 1
  uint64_t key = 0;
  DevConstI32 records, positions;  // [rows of the call]
};

// The rows of a batch that use one adapter. Rows outside every group use the bare base. Groups may share their gradients,
// where rows of one adapter lie apart: each adds its sum, in the order of the groups.
struct LoraGroup {
  int32_t rowBegin = 0;
  int32_t rowEnd = 0;
  float scale = 0;        // alpha / rank, or alpha / sqrt(rank)
  int32_t rankTotal = 0;  // rows of the stacked A
  DevConstF32 a;          // [rankTotal, in]
  DevF32 dA;              // gradient of a, or null
  std::span<const LoraSegment> segments;
  LoraDropout dropout = {};
};

// Rows with heads inside: element (row, head, i) is at base[row * ld + head * dim + i].
struct HeadRows {
  int64_t rows = 0;
  int64_t ld = 0;
  int32_t heads = 1;
  int32_t dim = 0;
};

enum class GatedActivation { kSilu, kGeluTanh };

struct AttentionShape {
  int32_t heads = 0;
  int32_t kvHeads = 0;
  int32_t headDim = 0;
  float scale = 1;     // multiplies q·k
  int32_t window = 0;  // key k is seen by query q if k <= q and k > q - window; 0 = no window
};

// A KV cache in pages of kKvPageTokens tokens. Page p of a layer holds K then V: [2][kKvPageTokens][kvHeads * headDim] floats
// at pool + p * kvPageFloats. A sequence's token t lies in page pageTable[t / kKvPageTokens], slot t % kKvPageTokens.
inline constexpr int32_t kKvPageTokens = 32;

// How one row is to be turned into a token (host descriptor; read before sampleRows returns).
struct SampleParams {
  float temperature = 0;  // 0 = greedy, ties to the smaller id
  float topP = 1;
  int32_t topK = 0;  // 0 = off
  float minP = 0;
  uint64_t seed = 0;
  uint64_t position = 0;  // index of the new token in its sequence: the draw is a function of (seed, position) alone
};

struct AdamWParams {
  float learningRate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weightDecay = 0;  // decoupled
  float maxGradNorm = 1;  // 0 = off; factor min(1, maxGradNorm / (norm + 1e-6)), norm = sqrt(sumSquares) * gradScale
  float gradScale = 1;    // 1 / total weight of the step, applied before clipping
  int64_t step = 1;       // from 1
};

// What a memory plan asks of a backend: enough to plan for a device that is not there.
class BackendSizes {
 public:
  virtual ~BackendSizes() = default;
  // In which it wants activations: float32, or bfloat16 where its matrix units want that.
  virtual ElementType activationType() const = 0;
  // Bytes a backend holds for itself (packing buffers and the like), part of every memory plan.
  virtual size_t fixedBytes() const = 0;
  virtual size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const = 0;
  // Of logits that a loss takes at a time where nobody asks for a number. Never depends on what is free: a step's bits follow it.
  virtual size_t logitsBytes() const { return size_t{64} << 20; }
  // Whether products with kI8Channel weights are of integers: a row of x or dy is rounded to int8, too.
  virtual bool integerProducts() const { return false; }
  // What a product of so many rows, each as wide as its x (forward) or dy (backward), takes beyond fixedBytes().
  virtual size_t productBytes(int64_t rows, int64_t width) const {
    static_cast<void>(rows), static_cast<void>(width);
    return 0;
  }
  // Scratch of headLoss for so many rows, with a head [out, in] of this format; 0: it has none for that.
  virtual size_t headLossBytes(int64_t rows, int64_t out, int64_t in, WeightFormat format) const {
    static_cast<void>(rows), static_cast<void>(out), static_cast<void>(in), static_cast<void>(format);
    return 0;
  }
  // Memory of the device's own that a plan may use: what is free there, and what the backend itself holds of it. -1 where it
  // computes in the host's memory.
  virtual int64_t deviceBytes() const = 0;
};

// Sums of squares over some of a matrix's rows: of what rounding made of them less what they were, and of what they were.
struct RoundingError {
  double error = 0;
  double size = 0;
};

class Backend : public BackendSizes {
 public:
  virtual std::string name() const = 0;         // "cpu"
  virtual std::string description() const = 0;  // "avx512, 2 threads"

  // --- memory -------------------------------------------------------------------------------------------------
  virtual DevicePtr<std::byte> allocate(size_t bytes) = 0;  // 256-byte aligned; throws kOutOfMemory
  virtual void release(DevicePtr<std::byte> memory, size_t bytes) = 0;
  virtual void upload(DevicePtr<std::byte> to, const void* from, size_t bytes) = 0;
  virtual void download(void* to, DevicePtr<const std::byte> from, size_t bytes) = 0;
  virtual void zero(DevicePtr<std::byte> at, size_t bytes) = 0;
  virtual void copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) = 0;
  virtual void synchronize() = 0;
  // While a flag is given, an op or synchronize() that finds it true stops where it is, within milliseconds of computing, and
  // throws kCancelled: what it was to write may hold anything, and what was enqueued after it may never run. Ops that were
  // enqueued before the flag was given end. Null: ops end.
  virtual void watchCancel(const std::atomic<bool>* flag) = 0;
  // Calls ops(), which enqueues ops. A caller that will enqueue the very same ones again and again says so by this, and a backend
  // may run them as a whole: what they are is compared, so that it decides speed alone. Where ops() throws, nothing of it may run.
  virtual void repeated(const std::function<void()>& ops) { ops(); }

  // --- weights -------------------------------------------------------------------------------------------------
  virtual WeightId createWeight(int64_t out, int64_t in, WeightFormat format) = 0;
  // host: [count, in] float32, converted to the weight's format and layout. Synchronous: host may be reused afterwards.
  virtual void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) = 0;
  // The same from [count, in] floats on the device, enqueued like any other op: how a trained matrix gets its new values.
  virtual void refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) = 0;
  virtual void destroyWeight(WeightId weight) = 0;
  // Products of integers alone: between watchColumns(true) and (false) linearForward notes of every weight how large the columns of
  // its x are. chooseColumns() then keeps the largest of them in float32, and what the rows of a very tall weight have in common,
  // and leaves the rest of the rows undefined: all of them have to be set again. Where nothing was noted nothing changes: false.
  virtual void watchColumns(bool watch) { static_cast<void>(watch); }
  virtual bool chooseColumns(WeightId weight) {
    static_cast<void>(weight);
    return false;
  }
  // Of a weight of integer products, of one row in 64; nothing of others.
  virtual RoundingError roundingError(WeightId weight) {
    static_cast<void>(weight);
    return {};
  }
  // out[i, :] = scale * W[ids[i], :]; out is [n, in]. Ids are in range (checked by the caller).
  virtual void gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) = 0;

  // --- linear with LoRA ---------------------------------------------------------------------------------------
  // y[rows, out] = x·Wᵀ, then for each group y[group rows, segment columns] += scale * (x·Aᵀ)·bT.
  // p: [rows, max rankTotal of the groups] scratch, may be null without groups. x: ld ldx; y: ld ldy. Under dropout the
  // x of x·Aᵀ is what the segment's mask leaves of it.
  virtual void linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                             std::span<const LoraGroup> groups, DevReal p) = 0;
  // linearForward for a sampler's passes, most of which have few rows. A row's bits are its own here, too, but need not be
  // linearForward's: a pass of few rows and one of many take the same order of sums, whatever suits few.
  virtual void linearSample(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                            std::span<const LoraGroup> groups, DevReal p) {
    linearForward(weight, x, ldx, rows, y, ldy, groups, p);
  }
  // Given dy [rows, out] and the same x: dx = dy·W + scale * (dy·Bᵀ…)·A per group (skipped where dx is null);
  // dA += scale * (dy·B)ᵀ·x and dbT += scale * (x·Aᵀ)ᵀ·dy where those buffers are given. u, p: [rows, max rankTotal] scratch.
  // accumulate: dx += instead of dx =. Dropout masks (dy·Bᵀ…)·A segment by segment, and x wherever it meets an adapter.
  virtual void linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy,
                              DevReal dx, int64_t lddx, bool accumulate, std::span<const LoraGroup> groups, DevReal p,
                              DevReal u) = 0;

  // --- gradients of what is frozen under an adapter and trained in full -----------------------------------------
  // dW[out, in] += dyᵀ·x over rows; x [rows, in] with ldx, dy [rows, out] with lddy.
  virtual void weightGradient(DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out,
                              int64_t in, DevF32 dW) = 0;
  // dWeight[dim] += sum over (row, head) of dy * x * invRms: rmsNormForward's gradient with respect to its weight.
  virtual void rmsNormWeightGradient(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 invRms,
                                     DevF32 dWeight) = 0;
  // dBias[n] += sum over rows of dy[r, :]: addToRows' gradient.
  virtual void biasGradient(DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias) = 0;
  // dTable[ids[i], :] += scale * dy[i, :], i ascending; dy is [n, d], ids may repeat: gatherWeightRows' gradient.
  virtual void gatherGradient(DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float scale, DevF32 dTable) = 0;

  // --- norms, rotary embedding, activation ----------------------------------------------------------------------
  // y = (addTo or 0) + x * invRms * weight, invRms = 1 / sqrt(mean(x²) + eps) for each (row, head) of xRows; weight [dim] is the
  // effective factor (Gemma's 1 + w already formed). invRms: [rows, heads], may be null. y may be x; addTo has y's layout and may be y.
  virtual void rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                              DevConstF32 addTo, DevF32 invRms) = 0;
  // dx (+)= gradient with respect to x; dy has leading dimension lddy, dx has lddx. dx may be dy when not accumulating.
  virtual void rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                               DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) = 0;
  // Rotates pairs (i, i + dim/2) of each head in place by the angle of positions[row]; table is [positions][dim]: cos of the dim/2
  // angles, then their sin. direction +1 forward, -1 backward (the transpose).
  virtual void rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) = 0;
  // gateUp: [rows, 2f], gate then up. h[rows, f] = act(gate) * up.
  virtual void gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) = 0;
  // dh [rows, f] in. In place: gateUp becomes (d gate | d up) and, where h is not null, h receives act(gate) * up (it may be dh).
  virtual void gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh,
                             DevReal h) = 0;
  virtual void add(DevF32 y, DevConstReal x, int64_t n) = 0;  // y += x
  // y[r, :] += x for every row: y is [rows, n] with ld ldy, x is [n].
  virtual void addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) = 0;
  virtual void scale(DevF32 y, float factor, int64_t n) = 0;  // y *= factor

  // --- attention ------------------------------------------------------------------------------------------------
  // Causal attention within each document: cuSeqlens [documents + 1] on the HOST (it decides the launch). q, k, v rows with leading
  // dimensions; out [T, heads*headDim] with ldo; lse [heads, T] natural log-sum-exp of the scaled scores.
  virtual void attentionForward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo,
                                DevF32 lse) = 0;
  // delta: [heads, T] scratch. dq, dk, dv are overwritten; they may share one buffer with strides lddq / lddkv.
  virtual void attentionBackward(const AttentionShape& shape, std::span<const int32_t> cuSeqlens, DevConstReal q,
                                 int64_t ldq, DevConstReal k, DevConstReal v, int64_t ldkv, DevConstReal out,
                                 DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta, DevReal dq,
                                 int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv) = 0;
  // Writes k, v rows into a layer's page pool: row r goes to page rowPages[r], slot rowSlots[r] (device arrays).
  virtual void kvStore(const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows,
                       DevConstI32 rowPages, DevConstI32 rowSlots, DevReal pool) = 0;
  // Attention of single rows over a paged cache: row r is token positions[r] of a sequence whose page table starts at
  // pageTables + rowTables[r]; it sees tokens 0..positions[r] (within the window), all already stored.
  // maxPosition: the largest of positions (host, decides the launch).
  virtual void attentionCached(const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows,
                               DevConstI32 positions, DevConstI32 rowTables, DevConstI32 pageTables,
                               int32_t maxPosition, DevConstReal pool, DevReal out, int64_t ldo) = 0;

  // --- supervised rows and the loss -------------------------------------------------------------------------------
  virtual void gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d,
                          DevReal out) = 0;  // out [n, d]
  // x[rows[i], :] (+)= in[i, :]; rows are distinct.
  virtual void scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                           bool accumulate) = 0;
  // logits [n, vocabulary] (ld = vocabulary): logprobs[i] = log softmax(logits[i])[targets[i]]. Where weights are given the logits are
  // overwritten with the gradient of -sum_i weights[i] * logprobs[i] in the activation type, row i's from where its logits began
  // (ld = vocabulary * 4 / elementBytes); without (null) they are left as they are.
  virtual void crossEntropy(DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights,
                            DevF32 logprobs) = 0;

  // The head and its loss in one, where headLossBytes() is not 0: logprobs[i] = log softmax(x[i]·Wᵀ)[targets[i]], and where dx is
  // not null dx [rows, in] = gradient of -sum_i weights[i] * logprobs[i], with no logits in memory.
  virtual void headLoss(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstI32 targets,
                        DevConstF32 weights, DevF32 logprobs, DevReal dx, int64_t lddx, DevicePtr<std::byte> scratch) {
    static_cast<void>(weight), static_cast<void>(x), static_cast<void>(ldx), static_cast<void>(rows);
    static_cast<void>(targets), static_cast<void>(weights), static_cast<void>(logprobs), static_cast<void>(dx);
    static_cast<void>(lddx), static_cast<void>(scratch);
  }

  // --- sampling ---------------------------------------------------------------------------------------------------
  // One token a row from logits [n, vocabulary] (destroyed): temperature, then top-k, top-p, min-p, then a draw.
  // logprobs[i]: log-probability of the chosen token under the unmodified distribution (temperature 1).
  // Only ids < usable are ever chosen (padded vocabularies). A row with a logit that is NaN or plus infinity gets a
  // log-probability that is not finite, and any token below usable.
  virtual void sampleRows(DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable,
                          std::span<const SampleParams> params, DevI32 tokens, DevF32 logprobs) = 0;

  // --- optimiser ----------------------------------------------------------------------------------------------------
  virtual void sumSquares(DevConstF32 x, int64_t n,
                          DevF32 out) = 0;  // *out = sum x², fixed order, accumulated in double
  // One AdamW step over n parameters; norm read from *sumSquares on the device. gradients are left as they are.
  virtual void adamW(DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 sumSquares,
                     const AdamWParams& params) = 0;
};

// Ops that are enqueued in its life may be left in the middle once the flag (null: none) is true; those before it are not.
class CancelScope {
 public:
  CancelScope(Backend& backend, const std::atomic<bool>* flag) : backend_(backend) { backend.watchCancel(flag); }
  ~CancelScope() { backend_.watchCancel(nullptr); }
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

 private:
  Backend& backend_;
};

// The reference backend. threads: 0 = usableProcessors(). isa: "auto", or the name of one compiled in ("avx512", "avx2", "neon");
// throws kDeviceUnavailable where the processor lacks it. integers: what integerProducts() is to be.
std::unique_ptr<Backend> createCpuBackend(int threads, const std::string& isa = "auto", bool integers = false);

}  // namespace mlit
