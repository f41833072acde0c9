// Decoding by graphs on the emulated card: the same tokens and bits as without, few graphs for many steps, and a host that waits
// once a step.
#include "backend/cuda/test/model_on_card.h"
#include "emulation/emulator.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

using Event = std::tuple<int64_t, int32_t, float>;

class DecodingGraphs : public OnCardWith<const char*> {
 protected:
  static void begin(uint64_t seed, bool captures) {
    emulation::Options options;
    options.seed = seed;
    options.captures = captures;
    emulation::reset(options);
  }
  // Five requests for three rows: of the base and of an adapter, drawn and greedy, that end and begin at different steps.
  static std::vector<Event> sample(const Fixture& f, int32_t newTokens) {
    const auto model = onCard(f);
    SampleOptions options;
    options.maxRows = 3;
    options.cacheTokens = 512;
    options.prefillTokens = 16;
    SampleEngine engine(model, {Adapter::load(model, f.path("adapter"))}, options);
    const std::vector<int32_t> text = f.packedDocuments()[0].tokens;
    for (int64_t id = 0; id < 5; ++id) {
      SampleRequest request;
      request.id = id;
      request.prompt.assign(text.begin(), text.begin() + 4 + id);
      request.maxNewTokens = newTokens + 2 * static_cast<int32_t>(id);
      request.adapter = id % 2 == 0 ? 0 : -1;
      request.params.temperature = id < 2 ? 0 : 0.9f;
      request.params.topK = 20;
      request.params.seed = 7 + static_cast<uint64_t>(id);
      engine.submit(request);
    }
    std::vector<Event> events;
    while (!engine.idle()) {
      const uint64_t waits = emulation::stats().hostWaits, allocations = emulation::stats().allocations;
      for (const SampleEvent& event : engine.step()) events.emplace_back(event.id, event.token, event.logprob);
      EXPECT_EQ(emulation::stats().hostWaits, waits + 1);
      EXPECT_EQ(emulation::stats().allocations, allocations);
    }
    return events;
  }
};

TEST_P(DecodingGraphs, GiveTheSameTokensAndBits) {
  const Fixture f(GetParam());
  begin(1, false);
  const std::vector<Event> without = sample(f, 5);
  EXPECT_EQ(emulation::stats().graphs, 0u);
  begin(1, true);
  const std::vector<Event> with = sample(f, 5);
  ASSERT_FALSE(without.empty());
  EXPECT_EQ(with, without);
  const emulation::Stats& stats = emulation::stats();
  EXPECT_GT(stats.graphLaunches, 8u);
  EXPECT_LE(stats.graphs, 6u) << "one for each composition that lasted";
}

std::string familyName(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(OnCard, DecodingGraphs, ::testing::Values("zoo/qwen3"), familyName);

class GraphsOnCard : public OnCardAlone {};

// Pages are added while a graph lasts, the workspace's parts where attention reads more than 512 tokens: another graph, the same
// bits as a run that begins there.
TEST_F(GraphsOnCard, OutliveThePageTablesGrowth) {
  const Fixture f("zoo/llama3-scaled");
  const auto model = onCard(f);
  SampleOptions options;
  options.maxRows = 1;
  options.cacheTokens = 128;
  const auto run = [&](const std::vector<int32_t>& prompt, int32_t tokens) {
    SampleEngine engine(model, {}, options);
    SampleRequest request;
    request.prompt = prompt;
    request.maxNewTokens = tokens;
    engine.submit(request);
    std::vector<std::pair<int32_t, float>> drawn;
    while (!engine.idle()) {
      for (const SampleEvent& event : engine.step()) drawn.emplace_back(event.token, event.logprob);
    }
    return drawn;
  };
  const uint64_t before = emulation::stats().graphs;
  const auto whole = run({5, 6, 7}, 40);  // two pages
  EXPECT_EQ(emulation::stats().graphs, before + 1);
  std::vector<int32_t> prompt = {5, 6, 7};
  for (size_t i = 0; i < 30 && i < whole.size(); ++i) prompt.push_back(whole[i].first);
  const auto rest = run(prompt, 10);
  ASSERT_EQ(whole.size(), 40u);
  EXPECT_EQ(rest, decltype(rest)(whole.begin() + 30, whole.end()));
}

}  // namespace
}  // namespace mlit::test
