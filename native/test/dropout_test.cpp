// LoRA dropout: its masks are random enough and a function of what an element is alone; the op with the masks written out in
// float64; training with them against peft's dropout given the same masks, and against itself.
#include "core/dropout.h"

#include <cstring>

#include "model_support.h"
#include "op_support.h"

namespace mlit::test {
namespace {

constexpr double kProbability = 0.25;

TEST(DropoutMasks, DropTheShareThatWasAskedForAndDoNotKnowEachOther) {
  constexpr uint32_t kRows = 100, kFeatures = 400;
  const double n = kRows * kFeatures;
  struct Who {
    uint64_t key;
    uint32_t module, record;
  };
  const uint64_t key = dropoutKey(3, 1);
  const Who one{key, 0, 0};
  const Who others[] = {{key, 1, 0}, {key, 0, 1}, {dropoutKey(3, 2), 0, 0}, {dropoutKey(4, 1), 0, 0}};
  const auto keeps = [](const Who& who, uint32_t row, uint32_t i, double p) {
    return dropoutKeeps(who.key, who.module, who.record, row, i, p);
  };
  for (const double p : {0.05, 0.5, 0.9}) {
    const double deviation = std::sqrt(n * p * (1 - p));
    double dropped = 0;
    for (uint32_t row = 0; row < kRows; ++row) {
      for (uint32_t i = 0; i < kFeatures; ++i) dropped += keeps(one, row, i, p) ? 0 : 1;
    }
    EXPECT_NEAR(dropped, n * p, 4 * deviation) << p;
    const double same = p * p + (1 - p) * (1 - p);
    const auto agreement = [&](const Who& other, uint32_t rowShift, uint32_t shift) {
      double agree = 0;
      for (uint32_t row = 0; row < kRows; ++row) {
        for (uint32_t i = 0; i < kFeatures; ++i)
          agree += keeps(one, row, i, p) == keeps(other, row + rowShift, i + shift, p) ? 1 : 0;
      }
      return (agree - n * same) / std::sqrt(n * same * (1 - same));
    };
    for (const Who& other : others) EXPECT_LT(std::abs(agreement(other, 0, 0)), 4) << p;
    EXPECT_LT(std::abs(agreement(one, 1, 0)), 4) << p;
    EXPECT_LT(std::abs(agreement(one, 0, 1)), 4) << p;
  }
}

// Two groups of rows, one of three segments and one of one, and rows of the bare base between them.
struct Op {
  static constexpr int64_t kRows = 301, kOut = 96, kIn = 131, kRank = 15, kPadding = 3;
  static constexpr int64_t kLdx = kIn + kPadding, kLdy = kOut + kPadding;
  static constexpr uint64_t kKey = 0x123456789abcdef0;
  struct Segment {
    int32_t begin, end, rank, rankBegin;
    uint32_t module;
  };
  struct Group {
    int32_t begin, end;
    float scale;
    std::vector<Segment> segments;
  };
  std::vector<Group> groups = {{0, 270, 2.0f, {{0, 40, 4, 0, 11}, {40, 70, 4, 4, 12}, {70, 96, 7, 8, 13}}},
                               {280, 301, 0.5f, {{10, 90, 15, 0, 11}}}};
  std::vector<float> w = randomFloats(kOut * kIn, 1), x = randomFloats(kRows * kLdx, 2),
                     dy = randomFloats(kRows * kLdy, 3), a = randomFloats(kRank * kIn, 4),
                     bT = randomFloats(kRank * kOut, 5);  // both groups' factors, for brevity
  std::vector<int32_t> records, positions;
  int64_t first = 0, rows = kRows;  // the part of the rows that is computed

  Op() {
    for (int32_t row = 0; row < kRows; ++row) records.push_back(row / 50), positions.push_back(row % 50);
  }
  double mask(const Segment& segment, int64_t row, int64_t i) const {
    const auto r = static_cast<size_t>(row);
    const bool keep = dropoutKeeps(kKey, segment.module, static_cast<uint32_t>(records[r]),
                                   static_cast<uint32_t>(positions[r]), static_cast<uint32_t>(i), kProbability);
    return keep ? 1 / (1 - kProbability) : 0;
  }
};

struct OpResult {
  std::vector<float> y, dx;
  std::vector<std::vector<float>> dA, dbT;
};

OpResult run(Backend& backend, const Op& op) {
  const WeightId weight = backend.createWeight(Op::kOut, Op::kIn, WeightFormat::kF32);
  backend.setWeightRows(weight, 0, Op::kOut, op.w.data());
  const DeviceFloats x(backend, op.x), dy(backend, op.dy), a(backend, op.a), bT(backend, op.bT);
  const DeviceArray<int32_t> records(backend, op.records), positions(backend, op.positions);
  const DeviceFloats y(backend, Op::kRows * Op::kLdy, kPoison), dx(backend, Op::kRows * Op::kLdx, kPoison),
      p(backend, Op::kRows * Op::kRank, kPoison), u(backend, Op::kRows * Op::kRank, kPoison);
  std::vector<std::unique_ptr<DeviceFloats>> dA, dbT;
  std::vector<std::vector<LoraSegment>> segments(op.groups.size());
  std::vector<LoraGroup> groups;
  const auto last = static_cast<int32_t>(op.first + op.rows);
  for (size_t g = 0; g < op.groups.size(); ++g) {
    const Op::Group& spec = op.groups[g];
    dA.push_back(std::make_unique<DeviceFloats>(backend, Op::kRank * Op::kIn, 0.0f));
    dbT.push_back(std::make_unique<DeviceFloats>(backend, Op::kRank * Op::kOut, 0.0f));
    for (const Op::Segment& s : spec.segments) {
      segments[g].push_back({s.begin, s.end, s.rank, s.rankBegin, bT.ptr() + s.rankBegin * Op::kOut,
                             dbT[g]->ptr() + s.rankBegin * Op::kOut, s.module});
    }
    const int32_t begin = std::clamp(spec.begin, static_cast<int32_t>(op.first), last),
                  end = std::clamp(spec.end, static_cast<int32_t>(op.first), last);
    groups.push_back({begin - static_cast<int32_t>(op.first),
                      end - static_cast<int32_t>(op.first),
                      spec.scale,
                      static_cast<int32_t>(Op::kRank),
                      a.ptr(),
                      dA[g]->ptr(),
                      segments[g],
                      {kProbability, Op::kKey, records.ptr() + op.first, positions.ptr() + op.first}});
  }
  const int64_t toX = op.first * Op::kLdx, toY = op.first * Op::kLdy;
  backend.linearForward(weight, x.ptr() + toX, Op::kLdx, op.rows, y.ptr() + toY, Op::kLdy, groups, p.ptr());
  backend.linearBackward(weight, x.ptr() + toX, Op::kLdx, op.rows, dy.ptr() + toY, Op::kLdy, dx.ptr() + toX, Op::kLdx,
                         false, groups, p.ptr(), u.ptr());
  OpResult result{y.read(), dx.read(), {}, {}};
  for (size_t g = 0; g < groups.size(); ++g) result.dA.push_back(dA[g]->read()), result.dbT.push_back(dbT[g]->read());
  backend.destroyWeight(weight);
  return result;
}

size_t at(int64_t row, int64_t ld, int64_t column) { return static_cast<size_t>(row * ld + column); }

using DropoutOp = OpTest;

TEST_P(DropoutOp, IsTheProductWithTheMasksWrittenOut) {
  const Op op;
  const OpResult result = run(backend(), op);
  Doubles y, dx;
  for (int64_t row = 0; row < Op::kRows; ++row) {
    for (int64_t o = 0; o < Op::kOut; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < Op::kIn; ++i) sum += double{op.x[at(row, Op::kLdx, i)]} * op.w[at(o, Op::kIn, i)];
      y.push_back(sum);
    }
    for (int64_t i = 0; i < Op::kIn; ++i) {
      double sum = 0;
      for (int64_t o = 0; o < Op::kOut; ++o) sum += double{op.dy[at(row, Op::kLdy, o)]} * op.w[at(o, Op::kIn, i)];
      dx.push_back(sum);
    }
  }
  for (size_t g = 0; g < op.groups.size(); ++g) {
    Doubles dA(Op::kRank * Op::kIn), dbT(Op::kRank * Op::kOut);
    for (const Op::Segment& s : op.groups[g].segments) {
      const double scale = op.groups[g].scale;
      const int64_t width = s.end - s.begin;
      for (int64_t row = op.groups[g].begin; row < op.groups[g].end; ++row) {
        for (int64_t r = 0; r < s.rank; ++r) {
          const float* a = op.a.data() + (s.rankBegin + r) * Op::kIn;
          const float* b = op.bT.data() + s.rankBegin * Op::kOut + r * width;
          double p = 0, u = 0;
          for (int64_t i = 0; i < Op::kIn; ++i) p += op.mask(s, row, i) * op.x[at(row, Op::kLdx, i)] * a[i];
          for (int64_t j = 0; j < width; ++j) u += double{op.dy[at(row, Op::kLdy, s.begin + j)]} * b[j];
          for (int64_t j = 0; j < width; ++j) {
            y[at(row, Op::kOut, s.begin + j)] += scale * p * b[j];
            dbT[static_cast<size_t>(s.rankBegin * Op::kOut + r * width + j)] +=
                scale * p * op.dy[at(row, Op::kLdy, s.begin + j)];
          }
          for (int64_t i = 0; i < Op::kIn; ++i) {
            dx[at(row, Op::kIn, i)] += scale * u * a[i] * op.mask(s, row, i);
            dA[at(s.rankBegin + r, Op::kIn, i)] += scale * u * op.mask(s, row, i) * op.x[at(row, Op::kLdx, i)];
          }
        }
      }
    }
    expectClose(result.dA[g], dA, 2e-5, "dA");
    expectClose(result.dbT[g], dbT, 2e-5, "dbT");
  }
  const auto dense = [](const std::vector<float>& values, int64_t ld, int64_t width) {
    std::vector<float> rows;
    for (int64_t row = 0; row < Op::kRows; ++row)
      rows.insert(rows.end(), values.begin() + row * ld, values.begin() + row * ld + width);
    return rows;
  };
  expectClose(dense(result.y, Op::kLdy, Op::kOut), y, 2e-5, "y");
  expectClose(dense(result.dx, Op::kLdx, Op::kIn), dx, 2e-5, "dx");
}

// y is linear in x and in A, each alone: a difference over a step of 1 is the derivative.
TEST_P(DropoutOp, ItsGradientsAreTheDifferencesOfItsForward) {
  Op op;
  const OpResult result = run(backend(), op);
  const auto loss = [&](int64_t fromRow, int64_t toRow) {
    const std::vector<float> y = run(backend(), op).y;
    double sum = 0;
    for (int64_t row = fromRow; row < toRow; ++row) {
      for (int64_t o = 0; o < Op::kOut; ++o) sum += double{y[at(row, Op::kLdy, o)]} * op.dy[at(row, Op::kLdy, o)];
    }
    return sum;
  };
  const auto difference = [&](float& value, int64_t fromRow, int64_t toRow) {
    const float kept = value;
    value = kept + 1;
    const double above = loss(fromRow, toRow);
    value = kept - 1;
    const double below = loss(fromRow, toRow);
    value = kept;
    return (above - below) / 2;
  };
  for (const auto& [row, i] : {std::pair<int64_t, int64_t>{0, 0}, {123, 77}, {275, 9}, {300, 130}})
    EXPECT_NEAR(difference(op.x[at(row, Op::kLdx, i)], row, row + 1), result.dx[at(row, Op::kLdx, i)], 1e-3);
  for (const auto& [r, i] : {std::pair<int64_t, int64_t>{0, 64}, {5, 1}, {14, 130}})
    EXPECT_NEAR(difference(op.a[at(r, Op::kIn, i)], 0, 270), result.dA[0][at(r, Op::kIn, i)], 2e-2);
}

TEST_P(DropoutOp, ARowsBitsAreItsOwn) {
  Op op;
  const OpResult whole = run(backend(), op);
  op.first = 263, op.rows = 29;
  const OpResult some = run(backend(), op);
  const auto same = [&](const std::vector<float>& a, const std::vector<float>& b, int64_t ld, int64_t width) {
    for (int64_t row = op.first; row < op.first + op.rows; ++row) {
      if (std::memcmp(&a[at(row, ld, 0)], &b[at(row, ld, 0)], static_cast<size_t>(width) * sizeof(float)) != 0)
        return false;
    }
    return true;
  };
  EXPECT_TRUE(same(whole.y, some.y, Op::kLdy, Op::kOut));
  EXPECT_TRUE(same(whole.dx, some.dx, Op::kLdx, Op::kIn));
  const auto one = createCpuBackend(1);
  const OpResult other = run(*one, Op());
  const auto bytes = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  for (size_t g = 0; g < 2; ++g) EXPECT_TRUE(bytes(other.dA[g], whole.dA[g]) && bytes(other.dbT[g], whole.dbT[g]));
  EXPECT_TRUE(bytes(other.y, whole.y) && bytes(other.dx, whole.dx)) << "threads or instruction sets change bits";
}

INSTANTIATE_TEST_SUITE_P(Backends, DropoutOp, ::testing::ValuesIn(backendFactories()), factoryName);

// A batch whose documents have record numbers.
struct NumberedBatch : BatchData {
  std::vector<int32_t> records;
  NumberedBatch(const std::vector<Document>& documents, std::vector<int32_t> numbers)
      : BatchData(documents), records(std::move(numbers)) {}
  PackedBatch view() const {
    PackedBatch batch = BatchData::view();
    batch.records = records;
    return batch;
  }
};

class DropoutSession : public ::testing::TestWithParam<const char*> {
 protected:
  DropoutSession()
      : base(GetParam()),
        f(std::string("lora/") + GetParam()),
        backend(std::make_shared<HostBackend>(createCpuBackend(2))),
        model(Model::load(base.path("model"), backend, {})) {
    options.seed = f.expected["dropout"]["seed"].get<uint64_t>();
  }
  std::shared_ptr<Adapter> adapter() const { return Adapter::load(model, f.path("adapter")); }
  std::vector<int32_t> records() const { return f.expected["dropout"]["records"].get<std::vector<int32_t>>(); }
  NumberedBatch batch(const std::vector<int32_t>& adapterOf = {0, 0, 0}) const {
    return {base.packedDocuments(adapterOf), records()};
  }

  Fixture base, f;
  std::shared_ptr<HostBackend> backend;
  std::shared_ptr<Model> model;
  TrainOptions options = smallOptions();
};

TEST_P(DropoutSession, LossesAndGradientsAreThoseOfPeftWithTheSameMasks) {
  const auto trained = adapter();
  ASSERT_EQ(trained->layout().spec().dropout, kProbability);
  TrainSession s(model, {trained}, options);
  const NumberedBatch data = batch();
  std::vector<float> logprobs(data.tokens.size());
  const double total = base.expected["packed"]["totalWeight"].get<double>();
  const auto& expected = f.expected["dropout"]["packed"];
  EXPECT_NEAR(s.forwardBackward(data.view(), logprobs).loss[0] / total, expected["loss"].get<double>(), 1e-5);
  EXPECT_NEAR(l2Norm(s.gradientsToHost(0)) / total, expected["gradNorm"].get<double>(),
              1e-4 * expected["gradNorm"].get<double>());
  EXPECT_LE(
      worstFactorError(f, "dropout.grad.", trained->layout(), s.gradientsToHost(0), static_cast<float>(1 / total)),
      1e-4);
  for (size_t document = 0; document < 3; ++document) {
    const std::vector<float> reference = f.tensor("dropout.logprobs." + std::to_string(document));
    std::vector<float> found(reference.size(), 0.0f);
    for (size_t i = 1; i < found.size(); ++i)
      found[i] = logprobs[static_cast<size_t>(data.cuSeqlens[document]) + i - 1];
    EXPECT_LE(maxError(found, reference), 1e-5) << "document " << document;
  }
}

TEST_P(DropoutSession, LevelsOfRecomputeAndTwoCallsGiveTheSameBytesAndThePlanHolds) {
  const NumberedBatch data = batch({0, -1, 0});
  std::vector<float> gradients;
  for (const Recompute level : {Recompute::kNone, Recompute::kActivations, Recompute::kLayer}) {
    options.recompute = level;
    const auto trained = adapter();
    const size_t before = backend->liveBytes();
    TrainSession s(model, {trained}, options);
    size_t planned = 0;
    for (const PlanItem& item :
         TrainSession::plan(model->config(), *backend, {trained->layout().spec()}, options, WeightFormat::kF32)) {
      if (item.name != "backend" && item.name != "base" && item.name != "adapter") planned += item.bytes;
    }
    EXPECT_EQ(backend->liveBytes() - before, planned);
    std::vector<float> logprobs(data.tokens.size()), dLogprobs;
    for (const float weight : data.weights) dLogprobs.push_back(-weight);
    s.forward(data.view(), logprobs);
    s.backward(dLogprobs);
    const std::vector<float> twoCalls = s.gradientsToHost(0);
    s.zeroGradients();
    s.forwardBackward(data.view(), logprobs);
    EXPECT_EQ(s.gradientsToHost(0), twoCalls);
    if (gradients.empty()) gradients = twoCalls;
    EXPECT_EQ(twoCalls, gradients);
  }
  EXPECT_GT(maxAbs(gradients), 0);
}

TEST_P(DropoutSession, PackingDoesNotChangeTheMasks) {
  const std::vector<Document> documents = base.packedDocuments();
  TrainSession s(model, {adapter()}, options);
  std::vector<float> together(batch().tokens.size());
  s.forwardBackward(batch().view(), together);
  const std::vector<float> gradients = s.gradientsToHost(0);
  s.zeroGradients();
  const std::vector<int32_t> cuSeqlens = batch().cuSeqlens;
  for (const std::vector<size_t>& members : {std::vector<size_t>{2, 0}, std::vector<size_t>{1}}) {
    std::vector<Document> chosen;
    std::vector<int32_t> numbers;
    std::vector<float> expected;
    for (const size_t member : members) {
      chosen.push_back(documents[member]);
      numbers.push_back(records()[member]);
      expected.insert(expected.end(), together.begin() + cuSeqlens[member], together.begin() + cuSeqlens[member + 1]);
    }
    const NumberedBatch part(chosen, numbers);
    std::vector<float> logprobs(part.tokens.size());
    s.forwardBackward(part.view(), logprobs);
    EXPECT_EQ(logprobs, expected);
  }
  EXPECT_LE(l2Error(s.gradientsToHost(0), gradients), 1e-5);
}

TEST_P(DropoutSession, MasksFollowSeedAndStepAndComeBackWithTheState) {
  const TempDir folder;
  AdamWParams still;
  still.learningRate = 0;
  TrainSession s(model, {adapter()}, options);
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) {
    losses.push_back(s.forwardBackward(batch().view()).loss[0]);
    s.optimStep(0, still);
    if (step == 0) s.saveState(folder.file("one"));
  }
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_NE(losses[1], losses[2]);
  TrainSession resumed(model, {adapter()}, options);
  resumed.loadState(folder.file("one"));
  EXPECT_EQ(resumed.forwardBackward(batch().view()).loss[0], losses[1]);
  TrainOptions other = options;
  other.seed += 1;
  TrainSession seeded(model, {adapter()}, other);
  EXPECT_NE(seeded.forwardBackward(batch().view()).loss[0], losses[0]);
}

TEST_P(DropoutSession, ScoresAreWithoutDropoutAndTrainingWantsRecords) {
  TrainSession s(model, {adapter()}, options);
  const BatchData plain(base.packedDocuments());
  const double total = base.expected["packed"]["totalWeight"].get<double>();
  std::vector<float> logprobs(plain.tokens.size());
  EXPECT_NEAR(s.score(plain.view(), logprobs).loss[0] / total, f.expected["plain"]["loss"].get<double>(), 1e-5);
  expectError(ErrorCode::kInvalidArgument, {"records"}, [&] { s.forwardBackward(plain.view()); });
  NumberedBatch wrong = batch();
  wrong.records[1] = -1;
  expectError(ErrorCode::kInvalidArgument, {"records[1]"}, [&] { s.forwardBackward(wrong.view()); });
  wrong.records.pop_back();
  expectError(ErrorCode::kInvalidArgument, {"the length of records"}, [&] { s.forwardBackward(wrong.view()); });
  AdapterSpec spec;
  spec.dropout = 1;
  expectError(ErrorCode::kInvalidArgument, {"dropout"}, [&] { Adapter::create(model, spec, 0); });
}

INSTANTIATE_TEST_SUITE_P(Families, DropoutSession, ::testing::Values("llama-tiny", "gemma3-tiny"),
                         [](const auto& family) { return std::string(family.param).substr(0, 5); });

}  // namespace
}  // namespace mlit::test
