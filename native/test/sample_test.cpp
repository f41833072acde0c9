// The sampler against transformers' greedy text, and against itself: whatever is in the batch, however prompts are chunked,
// whoever comes and goes, a request's tokens and log-probabilities are the same bits.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "sample_support.h"

namespace mlit::test {
namespace {

class SampleEngineTest : public ::testing::TestWithParam<const char*> {
 protected:
  Family family = loadFamily(GetParam());

  // Tokens agree as long as the reference's lead over the second-best token is clear.
  void expectGreedy(const json& cases, int32_t adapter) {
    SampleEngine engine(family.model, {family.adapter}, {.maxRows = 4, .cacheTokens = 512});
    int64_t id = 0;
    for (const json& c : cases)
      engine.submit(request(id++, c["prompt"], static_cast<int32_t>(c["tokens"].size()), adapter));
    const auto results = runAll(engine);
    int64_t compared = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::vector<int32_t> expected = cases[i]["tokens"];
      const std::vector<double> margins = cases[i]["margins"];
      const Generated& got = results.at(static_cast<int64_t>(i));
      ASSERT_EQ(got.tokens.size(), expected.size());
      EXPECT_EQ(got.finish, Finish::kLength);
      for (size_t t = 0; t < expected.size() && margins[t] > 1e-3; ++t, ++compared) {
        ASSERT_EQ(got.tokens[t], expected[t]) << family.name << " prompt " << i << " token " << t;
      }
    }
    EXPECT_GT(compared, static_cast<int64_t>(cases.size()) * 8);
  }
};

TEST_P(SampleEngineTest, GreedyTextIsThatOfTransformers) { expectGreedy(family.greedy["base"], -1); }

TEST_P(SampleEngineTest, GreedyTextWithAnAdapterIsThatOfPeft) { expectGreedy(family.greedy["adapter"], 0); }

TEST_P(SampleEngineTest, AResultDoesNotDependOnTheBatchOrOnChunks) {
  const int32_t vocabulary = family.model->config().vocabulary;
  std::vector<SampleRequest> requests;
  for (int i = 0; i < 7; ++i) {
    SampleRequest r = request(i, somePrompt(1 + i * 9, i, vocabulary), 5 + i * 4, i % 2 == 0 ? -1 : 0);
    r.params.temperature = i % 3 == 0 ? 0.0f : 0.9f;
    r.params.topP = 0.95f;
    r.params.seed = static_cast<uint64_t>(i);
    requests.push_back(r);
  }
  std::map<int64_t, Generated> alone;
  for (const SampleRequest& r : requests) {
    SampleEngine engine(family.model, {family.adapter}, {.maxRows = 1, .cacheTokens = 512, .prefillTokens = 512});
    engine.submit(r);
    alone[r.id] = runAll(engine).at(r.id);
  }
  for (const SampleOptions& options : {SampleOptions{.maxRows = 7, .cacheTokens = 1024},
                                       SampleOptions{.maxRows = 2, .cacheTokens = 256, .prefillTokens = 3},
                                       SampleOptions{.maxRows = 3, .cacheTokens = 128, .prefillTokens = 1}}) {
    SampleEngine engine(family.model, {family.adapter}, options);
    for (const SampleRequest& r : requests) engine.submit(r);
    const auto together = runAll(engine);
    ASSERT_EQ(together.size(), requests.size());
    for (const SampleRequest& r : requests)
      EXPECT_EQ(together.at(r.id), alone.at(r.id)) << "rows " << options.maxRows << " request " << r.id;
  }
}

TEST_P(SampleEngineTest, PagesComeBackAndPlacesAreTakenAtOnce) {
  SampleEngine engine(family.model, {}, {.maxRows = 2, .cacheTokens = 64, .prefillTokens = 64});
  for (int i = 0; i < 12; ++i) engine.submit(request(i, {5, 6, 7}, 1 + i % 4));
  size_t events = 0;
  int64_t steps = 0;
  while (!engine.idle()) {
    events += engine.step().size();
    ++steps;
  }
  EXPECT_EQ(events, 30u);  // 3 × (1 + 2 + 3 + 4)
  EXPECT_LE(steps, 17);    // 15 with both places always taken
}

TEST_P(SampleEngineTest, StopIdsEndAResponse) {
  const std::vector<int32_t> prompt = family.greedy["base"][0]["prompt"];
  const std::vector<int32_t> tokens = family.greedy["base"][0]["tokens"];
  SampleEngine engine(family.model, {}, {.maxRows = 1, .cacheTokens = 256});
  SampleRequest r = request(0, prompt, 32);
  r.stopIds = {tokens[4]};
  engine.submit(r);
  const Generated got = runAll(engine).at(0);
  const auto first = std::find(tokens.begin(), tokens.end(), tokens[4]);
  EXPECT_EQ(got.tokens, std::vector<int32_t>(tokens.begin(), first + 1));
  EXPECT_EQ(got.finish, Finish::kStop);
}

TEST_P(SampleEngineTest, ACancelledRequestSaysNothingMoreAndTheOthersGoOn) {
  SampleEngine engine(family.model, {}, {.maxRows = 4, .cacheTokens = 256});
  for (int i = 0; i < 3; ++i) engine.submit(request(i, {5, 6, 7}, 8));
  engine.step();
  engine.cancel(1);
  const auto rest = runAll(engine);
  EXPECT_FALSE(rest.contains(1));
  EXPECT_EQ(rest.at(0).tokens.size(), 7u);
  EXPECT_EQ(rest.at(2).tokens.size(), 7u);
}

TEST_P(SampleEngineTest, WrongRequestsAreRefusedByName) {
  SampleEngine engine(family.model, {}, {.maxRows = 1, .cacheTokens = 64});
  const auto refused = [&](const SampleRequest& r, const std::string& field) {
    try {
      engine.submit(r);
      ADD_FAILURE() << field << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  refused(request(0, {}, 4), "prompt");
  refused(request(0, {family.model->config().vocabulary}, 4), "prompt token");
  refused(request(0, {-1}, 4), "prompt token");
  refused(request(0, {5}, 0), "maxNewTokens");
  refused(request(0, {5}, 4, 0), "adapter");
  refused(request(0, {5}, 100), "cacheTokens");
  SampleRequest greedy = request(0, {5}, 4);
  greedy.top = kMaxTop + 1;
  refused(greedy, "top");
  EXPECT_TRUE(engine.idle());
}

TEST_P(SampleEngineTest, ACancelFlagDropsEverythingAndTheEngineGoesOnAfterwards) {
  SampleEngine engine(family.model, {}, {.maxRows = 2, .cacheTokens = 128});
  std::atomic<bool> cancel = true;
  engine.setCancelFlag(&cancel);
  engine.submit(request(0, {5, 6, 7}, 8));
  EXPECT_THROW(engine.step(), Error);
  EXPECT_TRUE(engine.idle());
  cancel = false;
  engine.submit(request(1, {5, 6, 7}, 8));
  EXPECT_EQ(runAll(engine).at(1).tokens.size(), 8u);
}

TEST_P(SampleEngineTest, LogitsThatAreNoNumbersEndTheirRequestAlone) {
  const auto broken = Adapter::load(family.model, fixture(family.name + "/adapter"));
  const std::vector<float> good = broken->toHost();
  std::vector<float> bad = good;
  bad[bad.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  broken->fromHost(bad);
  SampleEngine engine(family.model, {broken}, {.maxRows = 2, .cacheTokens = 256});
  const std::vector<int32_t> prompt = somePrompt(40, 1, family.model->config().vocabulary);
  engine.submit(request(7, prompt, 8));
  engine.submit(request(8, prompt, 8, 0));
  const auto results = runAll(engine);
  EXPECT_EQ(results.at(7).finish, Finish::kLength);
  EXPECT_EQ(results.at(8).finish, Finish::kNotFinite);
  EXPECT_EQ(results.at(8).tokens.size(), 1u);
  broken->fromHost(good);  // nothing that was stored under the bad numbers is found
  engine.submit(request(9, prompt, 8, 0));
  EXPECT_EQ(runAll(engine).at(9).finish, Finish::kLength);
}

TEST_P(SampleEngineTest, ThePlanIsWhatIsAllocated) {
  const SampleOptions options{.maxRows = 3, .cacheTokens = 100, .prefillTokens = 17};
  const SampleEngine engine(family.model, {family.adapter}, options);
  const MemoryPlan plan = SampleEngine::plan(family.model->config(), family.model->backend(), options,
                                             family.adapter->layout().spec().rank);
  EXPECT_EQ(totalBytes(engine.memory()), totalBytes(plan));
}

INSTANTIATE_TEST_SUITE_P(Families, SampleEngineTest, ::testing::Values("llama-tiny", "smol-tiny", "gemma3-tiny"),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mlit::test
