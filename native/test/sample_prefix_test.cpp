// Prompts with a common beginning: computed once, and every token and log-probability the same bits as if each had been
// alone, whoever comes, goes or runs out of pages meanwhile.
#include <algorithm>
#include <random>

#include "core/error.h"
#include "sample_support.h"
#include "train/session.h"

namespace mlit::test {
namespace {

constexpr int kPage = kKvPageTokens;

class PrefixTest : public ::testing::TestWithParam<const char*> {
 protected:
  Family family = loadFamily(GetParam());
  int32_t vocabulary = family.model->config().vocabulary;

  // A common beginning, then `own` tokens that differ by salt.
  std::vector<int32_t> prompt(int common, int own, int salt) const {
    std::vector<int32_t> tokens = somePrompt(common, 0, vocabulary);
    const std::vector<int32_t> rest = somePrompt(own, salt + 1, vocabulary);
    tokens.insert(tokens.end(), rest.begin(), rest.end());
    return tokens;
  }

  SampleRequest drawn(int64_t id, std::vector<int32_t> tokens, int32_t maxNewTokens, int32_t adapter) const {
    SampleRequest r = request(id, tokens, maxNewTokens, adapter);
    r.params.temperature = id % 4 == 0 ? 0.0f : 0.8f;
    r.params.topP = 0.95f;
    r.params.seed = static_cast<uint64_t>(id);
    return r;
  }

  Generated alone(const SampleRequest& r) const {
    SampleEngine engine(family.model, {family.adapter}, {.maxRows = 1, .cacheTokens = 512});
    engine.submit(r);
    return runAll(engine).at(r.id);
  }
};

TEST_P(PrefixTest, SharedOrComputedTheBitsAreTheSameInEveryBatch) {
  std::vector<SampleRequest> requests;
  std::vector<Generated> expected;
  for (int i = 0; i < 33; ++i) {
    // Two adapters' worth of beginnings of one, two and three pages, their ends inside and on a page's border.
    const int common = kPage * (1 + i % 3), own = i % 5 == 0 ? kPage : i % 5;
    requests.push_back(drawn(i, prompt(common, std::max(own, i % 2), i % 7), 3 + i % 6, i % 2 == 0 ? -1 : 0));
    expected.push_back(alone(requests.back()));
  }
  for (const int32_t rows : {1, 2, 3, 7, 16, 33}) {
    for (const int32_t chunk : {5, 512}) {
      SampleEngine engine(family.model, {family.adapter},
                          {.maxRows = rows, .cacheTokens = rows * 160 + 96, .prefillTokens = chunk});
      for (const SampleRequest& r : requests) engine.submit(r);
      const auto got = runAll(engine);
      for (size_t i = 0; i < requests.size(); ++i)
        ASSERT_EQ(got.at(static_cast<int64_t>(i)), expected[i]) << rows << " rows, chunks of " << chunk << ", " << i;
      EXPECT_GT(engine.stats().sharedTokens, 0);
      EXPECT_EQ(engine.stats().heldPages, 0);
    }
  }
}

TEST_P(PrefixTest, SamplesOfOnePromptComputeItOnce) {
  const std::vector<int32_t> tokens = prompt(0, 100, 3);
  for (const int32_t chunk : {7, 64, 512}) {
    SampleEngine engine(family.model, {}, {.maxRows = 8, .cacheTokens = 1024, .prefillTokens = chunk});
    for (int i = 0; i < 8; ++i) engine.submit(drawn(i, tokens, 4, -1));
    runAll(engine);
    EXPECT_EQ(engine.stats().computedTokens, 100 + 7 * (100 - 3 * kPage)) << "three whole pages are shared by seven";
    EXPECT_EQ(engine.stats().sharedTokens, 7 * 3 * kPage);
  }
}

TEST_P(PrefixTest, AFinishedRequestsPagesAreFoundAgainItsAnswerIncluded) {
  SampleEngine engine(family.model, {}, {.maxRows = 1, .cacheTokens = 512});
  const std::vector<int32_t> first = prompt(0, 40, 1);
  engine.submit(request(0, first, 30));
  std::vector<int32_t> turn = first;
  const Generated answer = runAll(engine).at(0);
  turn.insert(turn.end(), answer.tokens.begin(), answer.tokens.end());
  const int64_t before = engine.stats().computedTokens;
  turn.push_back(9);
  const SampleRequest next = request(1, turn, 5);
  engine.submit(next);
  EXPECT_EQ(runAll(engine).at(1), alone(next));
  EXPECT_EQ(engine.stats().computedTokens - before, 71 - 2 * kPage);
}

TEST_P(PrefixTest, AnotherAdapterOrOtherWeightsShareNothing) {
  const std::vector<int32_t> tokens = prompt(0, 70, 2);
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 2, .cacheTokens = 512});
  engine.submit(request(0, tokens, 4, -1));
  engine.submit(request(1, tokens, 4, 0));
  runAll(engine);
  EXPECT_EQ(engine.stats().sharedTokens, 0);

  std::vector<float> flat = family.adapter->toHost();
  for (float& value : flat) value *= 3;
  family.adapter->fromHost(flat);
  const SampleRequest again = request(2, tokens, 4, 0);
  engine.submit(again);
  EXPECT_EQ(runAll(engine).at(2), alone(again));
  EXPECT_EQ(engine.stats().sharedTokens, 0);
}

TEST_P(PrefixTest, AnOptimiserStepMakesWhatWasStoredOld) {
  const std::vector<int32_t> tokens = prompt(0, 70, 2);
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 2, .cacheTokens = 512});
  engine.submit(request(0, tokens, 4, 0));
  runAll(engine);

  TrainSession session(family.model, {family.adapter}, {.maxTokens = 4});
  const std::vector<int32_t> ids = {5, 6, 7, 8}, positions = {0, 1, 2, 3}, borders = {0, 4}, targets = {6, 7, 8, -1};
  const std::vector<float> weights = {1, 1, 1, 0};
  const std::vector<int32_t> adapters = {0};
  session.forwardBackward({ids, positions, borders, targets, weights, adapters});
  AdamWParams params;
  params.learningRate = 0.1f;
  session.optimStep(0, params);

  const SampleRequest again = request(1, tokens, 4, 0);
  engine.submit(again);
  EXPECT_EQ(runAll(engine).at(1), alone(again));
}

TEST_P(PrefixTest, WhatPromptsShareInsideAPageIsCopied) {
  for (const int common : {12, kPage + 20, 2 * kPage + 31}) {
    for (const int chunk : {7, 64, 512}) {
      SampleEngine engine(family.model, {family.adapter}, {.maxRows = 5, .cacheTokens = 1024, .prefillTokens = chunk});
      std::vector<SampleRequest> requests;
      for (int i = 0; i < 5; ++i) requests.push_back(drawn(i, prompt(common, 6, i), 4, 0));
      for (const SampleRequest& r : requests) engine.submit(r);
      const auto got = runAll(engine);
      for (const SampleRequest& r : requests)
        EXPECT_EQ(got.at(r.id), alone(r)) << common << " " << chunk << " " << r.id;
      EXPECT_EQ(engine.stats().computedTokens, common + 5 * 6);
      EXPECT_EQ(engine.stats().sharedTokens, 4 * common);
      EXPECT_EQ(engine.stats().heldPages, 0);
    }
  }
}

TEST_P(PrefixTest, NobodyWaitsForAFewTokensOrForLessThanHalfOfItsOwn) {
  for (const auto& [common, own] : {std::pair{7, 3}, std::pair{20, 21}}) {
    SampleEngine engine(family.model, {}, {.maxRows = 2, .cacheTokens = 512});
    for (int i = 0; i < 2; ++i) engine.submit(drawn(i, prompt(common, own, i), 1, -1));
    EXPECT_EQ(engine.step().size(), 2u) << common;
    EXPECT_EQ(engine.stats().sharedTokens, 0);
  }
}

TEST_P(PrefixTest, WhatACancelledDonorHadStoredIsTaken) {
  SampleEngine engine(family.model, {}, {.maxRows = 3, .cacheTokens = 512, .prefillTokens = 10});
  for (int i = 0; i < 3; ++i) engine.submit(drawn(i, prompt(kPage + 26, 2, i), 4, -1));
  for (int pass = 0; pass < 5; ++pass) EXPECT_TRUE(engine.step().empty());
  engine.cancel(0);
  const auto rest = runAll(engine);
  ASSERT_EQ(rest.size(), 2u);
  for (const auto& [id, generated] : rest)
    EXPECT_EQ(generated, alone(drawn(id, prompt(kPage + 26, 2, static_cast<int>(id)), 4, -1)));
  // Fifty tokens were there: a page, and eighteen tokens of the next one, which each of the two takes for itself.
  EXPECT_EQ(engine.stats().computedTokens, 50 + 2 * (kPage + 28 - 50));
  EXPECT_EQ(engine.stats().heldPages, 0);
}

// The second waits for the first; the third shares the second's page, and stores it in the first pass. Then another, whose adapter
// comes first, takes all of the budget, so that the second can't mend what it would have copied over.
TEST_P(PrefixTest, APageThatSomebodyElseHasBegunIsNotCopiedOver) {
  const std::vector<int32_t> second = prompt(20, 20, 2);
  std::vector<int32_t> third(second.begin(), second.begin() + kPage);
  for (const int32_t token : somePrompt(9, 5, vocabulary)) third.push_back(token);
  const std::vector<SampleRequest> requests = {drawn(0, prompt(20, 20, 1), 8, 0), drawn(1, second, 8, 0),
                                               drawn(2, third, 8, 0), drawn(3, prompt(0, 200, 3), 2, -1)};
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 4, .cacheTokens = 512, .prefillTokens = 100});
  for (size_t i = 0; i < 3; ++i) engine.submit(requests[i]);
  std::map<int64_t, Generated> got;
  const auto step = [&] {
    for (const SampleEvent& event : engine.step()) {
      got[event.id].tokens.push_back(event.token);
      got[event.id].logprobs.push_back(event.logprob);
      got[event.id].finish = event.finish;
    }
  };
  step();
  EXPECT_EQ(got.size(), 2u) << "all but the one that waits";
  engine.submit(requests[3]);
  while (!engine.idle()) step();
  for (const SampleRequest& r : requests) EXPECT_EQ(got.at(r.id), alone(r)) << r.id;
}

TEST_P(PrefixTest, ADonorOfOtherWeightsIsNone) {
  const std::vector<int32_t> tokens = prompt(0, 30, 2);
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 2, .cacheTokens = 512});
  engine.submit(request(0, tokens, 20, 0));
  engine.step();
  std::vector<float> flat = family.adapter->toHost();
  for (float& value : flat) value *= 3;
  family.adapter->fromHost(flat);
  const SampleRequest again = request(1, tokens, 4, 0);
  engine.submit(again);
  EXPECT_EQ(runAll(engine).at(1), alone(again));
  EXPECT_EQ(engine.stats().sharedTokens, 0);
}

TEST_P(PrefixTest, WhoIsCancelledLeavesItsHalfToTheOthers) {
  const std::vector<int32_t> tokens = prompt(0, 150, 4);
  SampleEngine engine(family.model, {}, {.maxRows = 3, .cacheTokens = 1024, .prefillTokens = 20});
  for (int i = 0; i < 3; ++i) engine.submit(drawn(i, tokens, 4, -1));
  engine.step();
  engine.step();
  engine.cancel(0);
  const auto rest = runAll(engine);
  EXPECT_EQ(rest.size(), 2u);
  for (const auto& [id, generated] : rest) EXPECT_EQ(generated, alone(drawn(id, tokens, 4, -1)));
  EXPECT_EQ(engine.stats().computedTokens, 150 + (150 - 4 * kPage)) << "what was computed before is not lost";
}

TEST_P(PrefixTest, WhatIsSharedNeedsNoRoom) {
  // Four pages of prompt and one for what is new: eight alone would want forty.
  SampleEngine engine(family.model, {}, {.maxRows = 8, .cacheTokens = 12 * kPage, .prefillTokens = 512});
  for (int i = 0; i < 8; ++i) engine.submit(drawn(i, prompt(4 * kPage, 3, 0), 6, -1));
  int steps = 0;
  while (!engine.idle()) {
    engine.step();
    ++steps;
  }
  EXPECT_EQ(steps, 6) << "all of them ran at once";
}

TEST_P(PrefixTest, WhateverComesAndGoesNoPageIsLostAndNoBitChanges) {
  std::mt19937 random(11);
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 5, .cacheTokens = 14 * kPage, .prefillTokens = 48});
  std::map<int64_t, SampleRequest> requests;
  std::map<int64_t, Generated> got;
  int64_t next = 0;
  for (int round = 0; round < 250 || !engine.idle(); ++round) {
    const auto choice = round < 250 ? random() % 10 : 9;
    if (choice < 4) {
      const int inside = random() % 2 == 0 ? 0 : static_cast<int>(random() % kPage);
      const int common = static_cast<int>(random() % 4) * kPage + inside, own = 1 + static_cast<int>(random() % 40);
      const auto adapter = static_cast<int32_t>(random() % 2) - 1;
      const SampleRequest r = drawn(next++, prompt(common, own, static_cast<int>(random() % 4)),
                                    1 + static_cast<int>(random() % 20), adapter);
      requests[r.id] = r;
      engine.submit(r);
    } else if (choice == 4 && next > 0) {
      engine.cancel(static_cast<int64_t>(random() % static_cast<uint64_t>(next)));
    }
    for (const SampleEvent& event : engine.step()) {
      Generated& g = got[event.id];
      g.tokens.push_back(event.token);
      g.logprobs.push_back(event.logprob);
      g.finish = event.finish;
    }
    ASSERT_LT(round, 5000);
  }
  EXPECT_EQ(engine.stats().heldPages, 0);
  EXPECT_GT(engine.stats().sharedTokens, 0);
  int64_t compared = 0;
  for (const auto& [id, generated] : got) {
    if (generated.finish == Finish::kNone) continue;  // cancelled
    ASSERT_EQ(generated, alone(requests.at(id))) << id;
    ++compared;
  }
  EXPECT_GT(compared, 30);
}

INSTANTIATE_TEST_SUITE_P(Families, PrefixTest, ::testing::Values("llama-tiny", "gemma3-tiny"), [](const auto& family) {
  std::string name = family.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace mlit::test
