// The books that rooflines are drawn from (costs.h) against what the emulator sees, op by op, in trainings and samplings as they are: a formula
// that leaves something out, or a kernel that begins to read what it need not, shows here.
#include "backend/cuda/costs.h"

#include <numeric>

#include "backend/cuda/test/model_on_card.h"
#include "emulation/emulator.h"
#include "model/loader.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

using cuda::Cost;

Cost totalOf(const std::map<std::string, Cost>& costs) {
  return std::accumulate(costs.begin(), costs.end(), Cost{}, [](Cost sum, const auto& op) { return sum += op.second; });
}

Cost seen() {
  Cost cost;
  for (const auto& [name, work] : emulation::stats().work) {
    cost += {static_cast<double>(work.readBytes), static_cast<double>(work.writtenBytes),
             static_cast<double>(work.tensorFlops), 0};
  }
  for (const auto& [name, count] : emulation::stats().launches) cost.launches += static_cast<int64_t>(count);
  return cost;
}

Cost less(const Cost& a, const Cost& b) {
  return {a.readBytes - b.readBytes, a.writtenBytes - b.writtenBytes, a.tensorFlops - b.tensorFlops,
          a.launches - b.launches};
}

// Each op on the card, alone, and in the books.
class BothBackends final : public Backend {
 public:
  struct Op {
    Cost seen, told;
  };
  std::map<std::string, Op> ops;

  std::string name() const override { return card_.name(); }
  std::string description() const override { return card_.description(); }
  ElementType activationType() const override { return card_.activationType(); }
  size_t fixedBytes() const override { return card_.fixedBytes(); }
  int64_t deviceBytes() const override { return card_.deviceBytes(); }
  size_t weightBytes(int64_t out, int64_t in, WeightFormat format) const override {
    return card_.weightBytes(out, in, format);
  }
  DevicePtr<std::byte> allocate(size_t bytes) override { return card_.allocate(bytes); }
  void release(DevicePtr<std::byte> memory, size_t bytes) override { card_.release(memory, bytes); }
  void synchronize() override { card_.synchronize(); }
  void watchCancel(const std::atomic<bool>* flag) override { card_.watchCancel(flag); }
  WeightId createWeight(int64_t out, int64_t in, WeightFormat format) override {
    const WeightId made = card_.createWeight(out, in, format);
    EXPECT_EQ(books_.createWeight(out, in, format).index, made.index);
    return made;
  }
  void setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) override {
    card_.setWeightRows(weight, firstRow, count, host);
  }
  void destroyWeight(WeightId weight) override { card_.destroyWeight(weight); }
  void download(void* to, DevicePtr<const std::byte> from, size_t bytes) override {
    std::vector<std::byte> unread(bytes);
    measure(
        "download", [&] { card_.download(to, from, bytes); }, [&] { books_.download(unread.data(), from, bytes); });
  }

#define BOTH(op, parameters, arguments)                                  \
  void op parameters override {                                          \
    measure(                                                             \
        #op, [&] { card_.op arguments; }, [&] { books_.op arguments; }); \
  }
  BOTH(upload, (DevicePtr<std::byte> to, const void* from, size_t bytes), (to, from, bytes))
  BOTH(zero, (DevicePtr<std::byte> at, size_t bytes), (at, bytes))
  BOTH(copy, (DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes), (to, from, bytes))
  BOTH(refreshWeightRows, (WeightId w, int64_t first, int64_t count, DevConstF32 rows), (w, first, count, rows))
  BOTH(gatherWeightRows, (WeightId w, DevConstI32 ids, int64_t n, float by, DevF32 out), (w, ids, n, by, out))
  BOTH(linearForward,
       (WeightId w, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy, std::span<const LoraGroup> g,
        DevReal p),
       (w, x, ldx, rows, y, ldy, g, p))
  BOTH(linearSample,
       (WeightId w, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy, std::span<const LoraGroup> g,
        DevReal p),
       (w, x, ldx, rows, y, ldy, g, p))
  BOTH(linearBackward,
       (WeightId w, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, DevReal dx, int64_t lddx,
        bool accumulate, std::span<const LoraGroup> g, DevReal p, DevReal u),
       (w, x, ldx, rows, dy, lddy, dx, lddx, accumulate, g, p, u))
  BOTH(weightGradient,
       (DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy, int64_t lddy, int64_t out, int64_t in, DevF32 dW),
       (x, ldx, rows, dy, lddy, out, in, dW))
  BOTH(rmsNormWeightGradient,
       (DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 invRms, DevF32 dWeight),
       (dy, lddy, x, rows, invRms, dWeight))
  BOTH(biasGradient, (DevConstReal dy, int64_t lddy, int64_t rows, int64_t n, DevF32 dBias), (dy, lddy, rows, n, dBias))
  BOTH(gatherGradient, (DevConstF32 dy, DevConstI32 ids, int64_t n, int64_t d, float by, DevF32 dTable),
       (dy, ids, n, d, by, dTable))
  BOTH(rmsNormForward,
       (DevConstReal x, HeadRows rows, DevConstF32 weight, float eps, DevReal y, int64_t ldy, DevConstF32 addTo,
        DevF32 invRms),
       (x, rows, weight, eps, y, ldy, addTo, invRms))
  BOTH(rmsNormBackward,
       (DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows rows, DevConstF32 weight, DevConstF32 invRms,
        DevReal dx, int64_t lddx, bool accumulate),
       (dy, lddy, x, rows, weight, invRms, dx, lddx, accumulate))
  BOTH(rope, (DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction),
       (x, rows, positions, table, direction))
  BOTH(gatedForward, (GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h),
       (act, gateUp, rows, f, h))
  BOTH(gatedBackward, (GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h),
       (act, gateUp, rows, f, dh, h))
  BOTH(add, (DevF32 y, DevConstReal x, int64_t n), (y, x, n))
  BOTH(addToRows, (DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n), (y, ldy, rows, x, n))
  BOTH(scale, (DevF32 y, float factor, int64_t n), (y, factor, n))
  BOTH(attentionForward,
       (const AttentionShape& shape, std::span<const int32_t> cu, DevConstReal q, int64_t ldq, DevConstReal k,
        DevConstReal v, int64_t ldkv, DevReal out, int64_t ldo, DevF32 lse),
       (shape, cu, q, ldq, k, v, ldkv, out, ldo, lse))
  BOTH(attentionBackward,
       (const AttentionShape& shape, std::span<const int32_t> cu, DevConstReal q, int64_t ldq, DevConstReal k,
        DevConstReal v, int64_t ldkv, DevConstReal out, DevConstReal dout, int64_t ldo, DevConstF32 lse, DevF32 delta,
        DevReal dq, int64_t lddq, DevReal dk, DevReal dv, int64_t lddkv),
       (shape, cu, q, ldq, k, v, ldkv, out, dout, ldo, lse, delta, dq, lddq, dk, dv, lddkv))
  BOTH(kvStore,
       (const AttentionShape& shape, DevConstReal k, DevConstReal v, int64_t ldkv, int64_t rows, DevConstI32 pages,
        DevConstI32 slots, DevReal pool),
       (shape, k, v, ldkv, rows, pages, slots, pool))
  BOTH(attentionCached,
       (const AttentionShape& shape, DevConstReal q, int64_t ldq, int64_t rows, DevConstI32 positions,
        DevConstI32 rowTables, DevConstI32 pageTables, int32_t maxPosition, DevConstReal pool, DevReal out,
        int64_t ldo),
       (shape, q, ldq, rows, positions, rowTables, pageTables, maxPosition, pool, out, ldo))
  BOTH(gatherRows, (DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out),
       (x, ldx, rows, n, d, out))
  BOTH(scatterRows, (DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx, bool accumulate),
       (in, rows, n, d, x, ldx, accumulate))
  BOTH(crossEntropy,
       (DevF32 logits, int64_t n, int64_t vocabulary, DevConstI32 targets, DevConstF32 weights, DevF32 logprobs),
       (logits, n, vocabulary, targets, weights, logprobs))
  BOTH(sampleRows,
       (DevF32 logits, int64_t n, int64_t vocabulary, int64_t usable, std::span<const SampleParams> params,
        DevI32 tokens, DevF32 logprobs),
       (logits, n, vocabulary, usable, params, tokens, logprobs))
  BOTH(sumSquares, (DevConstF32 x, int64_t n, DevF32 out), (x, n, out))
  BOTH(adamW,
       (DevF32 parameters, DevConstF32 gradients, DevF32 m, DevF32 v, int64_t n, DevConstF32 squares,
        const AdamWParams& params),
       (parameters, gradients, m, v, n, squares, params))
#undef BOTH

 private:
  template <class Run, class Tell>
  void measure(const char* name, Run run, Tell tell) {
    card_.synchronize();
    const Cost before = seen(), toldBefore = totalOf(books_.costs());
    run();
    card_.synchronize();
    tell();
    Op& op = ops[name];
    op.seen += less(seen(), before);
    op.told += less(totalOf(books_.costs()), toldBefore);
  }

  cuda::CudaBackend card_{0, device::cublasLt()};
  cuda::CostBackend books_;
};

// A share of 1 % is what lists, lengths and the edges of vectors come to at these sizes; launches are told exactly.
void expectBooksRight(const std::map<std::string, BothBackends::Op>& ops) {
  constexpr double kShare = 0.01;
  EXPECT_FALSE(ops.empty());
  for (const auto& [name, op] : ops) {
    const auto near = [&, &of = name](const char* what, double counted, double told) {
      EXPECT_NEAR(counted, told, kShare * counted) << of << ": " << what;
    };
    near("bytes read", op.seen.readBytes, op.told.readBytes);
    near("bytes written", op.seen.writtenBytes, op.told.writtenBytes);
    near("operations of tensor cores", op.seen.tensorFlops, op.told.tensorFlops);
    EXPECT_EQ(op.seen.launches, op.told.launches) << name;
  }
}

// Widths that a product takes as they lie, as those of real models are; what is packed because it does not is not in the books.
ModelConfig smallModel(Architecture family) {
  ModelConfig c;
  c.architecture = family;
  c.layers = 2, c.hidden = 64, c.feedForward = 160, c.heads = 4, c.kvHeads = 2, c.headDim = 16, c.vocabulary = 512;
  c.contextLength = 256;
  c.attentionScale = 0.25f;
  c.layerIsLocal.assign(2, 0);
  c.qkvBias = family == Architecture::kQwen2;
  c.qkNorm = family == Architecture::kQwen3 || family == Architecture::kGemma3;
  c.tiedHead = family != Architecture::kLlama;
  if (family != Architecture::kGemma3) return c;
  c.postNorms = true;
  c.activation = GatedActivation::kGeluTanh;
  c.window = 8;
  c.layerIsLocal = {1, 0};
  return c;
}

std::shared_ptr<Model> withWeights(const ModelConfig& c, const std::shared_ptr<BothBackends>& backend,
                                   WeightFormat format = WeightFormat::kBF16) {
  const auto model = ModelLoader::outline(c, backend, format);
  const auto fill = [&](WeightId weight, int64_t out, int64_t in) {
    std::vector<float> rows(static_cast<size_t>(out * in));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = 0.01f * static_cast<float>(static_cast<int>(i * 7919 % 41) - 20);
    backend->setWeightRows(weight, 0, out, rows.data());
  };
  fill(model->embedding(), c.vocabulary, c.hidden);
  if (!c.tiedHead) fill(model->head(), c.vocabulary, c.hidden);
  for (const LayerWeights& w : model->layers()) {
    fill(w.qkv, c.qkvDim(), c.hidden), fill(w.o, c.hidden, c.queryDim());
    fill(w.gateUp, 2 * int64_t{c.feedForward}, c.hidden), fill(w.down, c.hidden, c.feedForward);
  }
  const std::vector<float> ones(vectorFloats(c), 1.0f);
  const DevicePtr<std::byte> vectors(const_cast<std::byte*>(model->vectors().as<const std::byte>().raw()));  // NOLINT
  backend->upload(vectors, ones.data(), ones.size() * sizeof(float));
  backend->synchronize();
  return model;
}

AdapterSpec rankSixteen() { return {}; }

// Two families have a base in other formats, so that each format is seen.
WeightFormat formatOf(Architecture family) {
  if (family == Architecture::kLlama) return WeightFormat::kNF4;
  return family == Architecture::kQwen2 ? WeightFormat::kI8Channel : WeightFormat::kBF16;
}

BatchData someDocuments() {
  std::vector<Document> documents;
  for (const int length : {41, 14, 12}) {
    std::vector<int32_t> tokens(static_cast<size_t>(length));
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>((i * 31 + tokens.size()) % 512);
    documents.push_back(plainDocument(tokens));
  }
  return BatchData(documents);
}

class Costs : public OnCardWith<Architecture> {};

TEST_P(Costs, OfATrainingAreWhatTheEmulatorSees) {
  std::vector<Recompute> levels = {Recompute::kNone};
  if (GetParam() == Architecture::kQwen3) levels = {Recompute::kActivations, Recompute::kLayer};
  for (const Recompute level : levels) {
    const auto both = std::make_shared<BothBackends>();
    const auto model = withWeights(smallModel(GetParam()), both, formatOf(GetParam()));
    TrainOptions options = smallOptions(70, 32, model->config().vocabulary);
    options.recompute = level;
    TrainSession session(model, {Adapter::create(model, rankSixteen(), 1)}, options);
    both->ops.clear();
    const StepSums sums = session.forwardBackward(someDocuments().view());
    session.optimStep(0, stepParams(1e-3, sums.weight[0]));
    expectBooksRight(both->ops);
  }
}

TEST_P(Costs, OfFullTuningAreWhatTheEmulatorSees) {
  const auto both = std::make_shared<BothBackends>();
  const auto model = withWeights(smallModel(GetParam()), both, WeightFormat::kF32);
  TrainOptions options = smallOptions(70, 32, model->config().vocabulary);
  options.full = true;
  TrainSession session(model, {}, options);
  both->ops.clear();
  const StepSums sums = session.forwardBackward(someDocuments().view());
  session.optimStep(0, stepParams(1e-3, sums.weight[0]));
  expectBooksRight(both->ops);
}

TEST_P(Costs, OfASamplingAreWhatTheEmulatorSees) {
  const auto both = std::make_shared<BothBackends>();
  const auto model = withWeights(smallModel(GetParam()), both, formatOf(GetParam()));
  SampleOptions options;
  options.maxRows = 16;
  options.cacheTokens = 16 * 32;
  options.prefillTokens = 512;
  SampleEngine engine(model, {Adapter::create(model, rankSixteen(), 1)}, options);
  for (int32_t id = 0; id < 16; ++id) {
    SampleRequest request;
    request.id = id;
    request.prompt.assign(static_cast<size_t>(14 + id % 3), 3 + id);
    request.maxNewTokens = 8;
    request.adapter = 0;
    request.params.temperature = id % 2 == 0 ? 1.0f : 0.0f;
    request.params.topP = 0.9f;
    engine.submit(request);
  }
  both->ops.clear();
  engine.step();  // prompts
  expectBooksRight(both->ops);
  both->ops.clear();
  engine.step();  // each row one token
  expectBooksRight(both->ops);
}

struct CachedRow {
  int32_t position, sequence;
};

// One call over a cache of sequences of 640 tokens at most.
void expectCachedAttentionRight(const AttentionShape& shape, const std::vector<CachedRow>& of) {
  constexpr int32_t kPages = 20;  // of each of three sequences
  BothBackends both;
  const auto rows = static_cast<int64_t>(of.size());
  const int64_t width = int64_t{shape.heads} * shape.headDim;
  const int64_t page = int64_t{2} * kKvPageTokens * shape.kvHeads * shape.headDim;
  const auto filled = [&](int64_t elements) {
    const auto bytes = static_cast<size_t>(elements) * 2;
    const std::vector<uint16_t> halves(static_cast<size_t>(elements), 0x3F00);  // 0.5
    const DevicePtr<std::byte> at = both.allocate(bytes);
    both.upload(at, halves.data(), bytes);
    return DevReal(at, ElementType::kBF16);
  };
  std::vector<int32_t> integers;  // positions, tables; then the pages
  int32_t last = 0;
  for (const CachedRow& row : of) integers.push_back(row.position), last = std::max(last, row.position);
  for (const CachedRow& row : of) integers.push_back(row.sequence * kPages);
  for (int32_t i = 0; i < 3 * kPages; ++i) integers.push_back(i);
  const DevicePtr<std::byte> ints = both.allocate(integers.size() * sizeof(int32_t));
  both.upload(ints, integers.data(), integers.size() * sizeof(int32_t));
  const DevI32 at = ints.as<int32_t>();
  const DevReal q = filled(rows * width), out = filled(rows * width), pool = filled(3 * kPages * page);
  both.ops.clear();
  both.attentionCached(shape, q, width, rows, at, at + rows, at + 2 * rows, last, pool, out, width);
  expectBooksRight(both.ops);
  for (const DevReal each : {q, out, pool}) both.release(each.bytes(), 0);
  both.release(ints, 0);
}

// Sequences so long that several blocks share a row, with a window and without.
TEST_F(OnCardAlone, CostsOfLongSequencesAreWhatTheEmulatorSees) {
  for (const int32_t window : {0, 512}) expectCachedAttentionRight({4, 2, 16, 0.25f, window}, {{600, 0}, {630, 1}});
}

// A prompt that goes from one part to two, a short one, and a single row: their runs are shared out among two kernels.
TEST_F(OnCardAlone, CostsOfPromptsAreWhatTheEmulatorSees) {
  std::vector<CachedRow> rows;
  for (int32_t i = 470; i < 540; ++i) rows.push_back({i, 0});
  for (int32_t i = 0; i < 6; ++i) rows.push_back({i, 1});
  rows.push_back({630, 2});
  for (const int32_t window : {0, 100}) {
    expectCachedAttentionRight({4, 2, 16, 0.25f, window}, rows);
    expectCachedAttentionRight({8, 1, 72, 0.25f, window}, rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Costs, ::testing::ValuesIn(kArchitectures),
                         [](const auto& each) { return std::string(architectureName(each.param)); });

}  // namespace
}  // namespace mlit::test
