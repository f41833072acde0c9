// The profiling backend does what is below it, all of it, and tells of it what is true.
#include "backend/profiled/profiled_backend.h"

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "test/model_support.h"

namespace mlit::test {
namespace {

std::string textOf(const std::string& path) {
  std::ifstream file(fixturesFolder() / "../../native/backend" / path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// One that is forgotten has backend.h's default, which is another backend's.
TEST(ProfiledBackend, PassesOnEverythingThatABackendHas) {
  const std::string interface = textOf("backend.h"), wrapper = textOf("profiled/profiled_backend.h");
  const std::regex declared("virtual [^~(]*?(\\w+)\\(");
  int count = 0;
  for (std::sregex_iterator it(interface.begin(), interface.end(), declared), end; it != end; ++it, ++count) {
    const std::string name = (*it)[1];
    const std::regex overridden("MLIT_OP\\(" + name + ",|\\b" + name + "\\([^;{]*override");
    EXPECT_TRUE(std::regex_search(wrapper, overridden)) << name;
  }
  EXPECT_GT(count, 45) << "backend.h is written in another way than this test reads it";
}

TEST(ProfiledBackend, IsOfIntegersWhereTheOneBelowIs) {
  for (const bool integers : {false, true}) {
    const std::shared_ptr<Backend> inner = createCpuBackend(1, "auto", integers);
    ProfiledBackend backend(inner);
    EXPECT_EQ(backend.integerProducts(), integers);
    EXPECT_EQ(backend.productBytes(100, 640), inner->productBytes(100, 640));
    EXPECT_EQ(backend.fixedBytes(), inner->fixedBytes());
    EXPECT_EQ(backend.logitsBytes(), inner->logitsBytes());
    const WeightId weight = backend.createWeight(64, 64, WeightFormat::kI8Channel);
    backend.setWeightRows(weight, 0, 64, randomFloats(64 * 64, 1).data());
    const DeviceFloats x(backend, randomFloats(8 * 64, 2)), y(backend, 8 * 64, kPoison);
    backend.watchColumns(true);
    backend.linearForward(weight, DevConstF32(x.ptr()), 64, 8, y.ptr(), 64, {}, {});
    backend.watchColumns(false);
    EXPECT_EQ(backend.chooseColumns(weight), integers);
    backend.destroyWeight(weight);
  }
}

struct Trained {
  std::vector<float> gradients;
  StepSums sums;
};

Trained trainOn(const std::shared_ptr<Backend>& backend, ProfiledBackend* profiled) {
  const Fixture fixture("gemma3-tiny");
  const auto model = Model::load(fixture.path("model"), backend, {});
  const auto adapter = Adapter::create(model, {}, 1);
  if (profiled != nullptr) {
    profiled->watchHead(model->head(), model->finalNorm());
    for (const LayerWeights& layer : model->layers()) profiled->nameWeight(layer.down, "down");
    profiled->profile(ProfiledBackend::Mode::kTimes);
  }
  TrainOptions options;
  options.maxTokens = 128;
  options.logitsBytes = size_t{4} * static_cast<size_t>(model->config().vocabulary) * 4;  // several chunks
  TrainSession session(model, {adapter}, options);
  if (profiled != nullptr) profiled->forget();
  const BatchData batch({plainDocument({5, 6, 7, 8, 9, 10, 11, 12, 13, 14}), plainDocument({20, 21, 22, 23})});
  Trained trained;
  {
    const PhaseScope phase(profiled, "forward");
    trained.sums = session.forwardBackward(batch.view());
  }
  trained.gradients = session.gradientsToHost(0);
  return trained;
}

TEST(ProfiledBackend, TellsPhasesAndOpsAndChangesNoBit) {
  const auto profiled = std::make_shared<ProfiledBackend>(createCpuBackend(2));
  const Trained bare = trainOn(createCpuBackend(2), nullptr), watched = trainOn(profiled, profiled.get());
  EXPECT_EQ(watched.gradients, bare.gradients);
  EXPECT_EQ(watched.sums.loss, bare.sums.loss);

  double inOps = 0, inPhases = 0;
  std::set<std::string> headPhases;
  int64_t downForward = 0, losses = 0;
  for (const OpSpent& op : profiled->ops()) {
    if (op.phase.empty()) continue;  // the test's own download
    inOps += op.seconds;
    if (op.op == "crossEntropy") headPhases.insert(op.phase), losses += op.calls;
    if (op.weight == "down" && op.op == "linearForward") downForward += op.calls;
    if (op.op == "attentionBackward") {
      EXPECT_EQ(op.phase, "backward");
    }
    if (op.op == "attentionForward") {
      EXPECT_EQ(op.phase, "forward");
    }
    if (op.op.starts_with("linear")) {
      EXPECT_GT(op.work.flops, 0) << op.op;
    }
    if (op.op != "synchronize") {
      EXPECT_GT(op.work.bytes, 0) << op.op;
    }
  }
  std::vector<std::string> phases;
  for (const auto& [name, spent] : profiled->phases()) phases.push_back(name), inPhases += spent.seconds;
  EXPECT_EQ(phases, (std::vector<std::string>{"backward", "forward", "loss"}));
  for (const auto& [name, spent] : profiled->phases()) EXPECT_EQ(spent.calls, 1) << name;
  EXPECT_EQ(headPhases, std::set<std::string>{"loss"});
  EXPECT_GT(losses, 1) << "several chunks of logits, all in one phase";
  EXPECT_GT(downForward, 1);
  EXPECT_LE(inOps, inPhases);

  // Every op's span lies in the span of a phase, and none in another op's.
  std::chrono::steady_clock::time_point last{};
  size_t phase = 0, seen = 0;
  const std::vector<Span>& spans = profiled->spans();
  std::vector<Span> ofPhases;
  for (const Span& span : spans) {
    if (span.isPhase) ofPhases.push_back(span);
  }
  for (const Span& span : spans) {
    if (span.isPhase) continue;
    while (phase < ofPhases.size() && ofPhases[phase].end < span.end) ++phase;
    ASSERT_LT(phase, ofPhases.size());
    EXPECT_GE(span.start, ofPhases[phase].start) << span.name;
    EXPECT_GE(span.start, last) << span.name;
    last = span.end;
    ++seen;
  }
  EXPECT_GT(seen, 50u);
}

TEST(ProfiledBackend, KeepsNoMoreSpansThanThereIsRoomFor) {
  ProfiledBackend backend(createCpuBackend(1));
  const auto memory = backend.allocate(64);
  backend.zero(memory, 64);
  EXPECT_TRUE(backend.ops().empty()) << "nothing was asked for";
  backend.profile(ProfiledBackend::Mode::kTimes);
  constexpr size_t kCalls = 3 * ProfiledBackend::kMostSpans;
  for (size_t i = 0; i < kCalls; ++i) {
    const PhaseScope phase(&backend, "forward");
    backend.zero(memory, 64);
  }
  EXPECT_LE(backend.spans().size(), 2 * ProfiledBackend::kMostSpans);
  EXPECT_GE(backend.spans().size(), ProfiledBackend::kMostSpans);
  ASSERT_EQ(backend.ops().size(), 1u);
  EXPECT_EQ(backend.ops()[0].calls, static_cast<int64_t>(kCalls));
  EXPECT_EQ(backend.phases().at("forward").calls, static_cast<int64_t>(kCalls));
  backend.release(memory, 64);
}

}  // namespace
}  // namespace mlit::test
