// Log-probabilities of prompts and the likeliest tokens: of the same model as what is drawn, whose bits they do not change.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "host_backend.h"
#include "model_support.h"
#include "sample_support.h"

namespace mlit::test {
namespace {

class SampleScoresTest : public ::testing::TestWithParam<const char*> {
 protected:
  Family family = loadFamily(GetParam());
};

// What a wish is to give, from nothing but requests without wishes: greedy tokens, and the prompt one token longer each time.
TEST_P(SampleScoresTest, ScoresOfPromptsAndLikeliestTokensAreThoseOfTheModel) {
  const int32_t vocabulary = family.model->config().vocabulary;
  const std::vector<int32_t> prompt = somePrompt(45, 2, vocabulary);
  SampleRequest scored = request(1, prompt, 4, 0);
  scored.scoreFrom = 1;
  scored.top = 3;
  for (const SampleOptions& options : {SampleOptions{.maxRows = 1, .cacheTokens = 512},
                                       SampleOptions{.maxRows = 8, .cacheTokens = 512, .prefillTokens = 7}}) {
    SampleEngine engine(family.model, {family.adapter}, options);
    engine.submit(request(0, prompt, 4, 0));  // stores the same pages first
    Generated plain = runAll(engine).at(0);
    engine.submit(request(2, somePrompt(9, 3, vocabulary), 3));  // a neighbour without wishes
    engine.submit(scored);
    std::vector<RowScores> scores;
    std::vector<std::vector<TokenLogprob>> top;
    Generated got;
    while (!engine.idle()) {
      for (SampleEvent& event : engine.step()) {
        if (event.id == 2) {
          EXPECT_TRUE(event.top.empty() && event.prompt.empty());
          continue;
        }
        EXPECT_EQ(event.prompt.empty(), !got.tokens.empty());
        if (got.tokens.empty()) scores = std::move(event.prompt);
        top.push_back(event.top);
        got.tokens.push_back(event.token);
        got.logprobs.push_back(event.logprob);
        got.finish = event.finish;
      }
    }
    EXPECT_EQ(got, plain);  // wishes change no bit of what is drawn
    for (size_t t = 0; t < top.size(); ++t) {
      ASSERT_EQ(top[t].size(), 3u);
      EXPECT_EQ(top[t][0].token, got.tokens[t]);  // greedy
      EXPECT_EQ(top[t][0].logprob, got.logprobs[t]);
    }
    ASSERT_EQ(scores.size(), prompt.size() - 1);
    for (size_t p = 0; p < scores.size(); ++p) {
      const std::vector<int32_t> before(prompt.begin(), prompt.begin() + static_cast<int64_t>(p) + 1);
      engine.submit(request(9, before, 1, 0));
      const Generated best = runAll(engine).at(9);
      ASSERT_EQ(scores[p].top.size(), 3u);
      EXPECT_EQ(scores[p].top[0].token, best.tokens[0]);
      EXPECT_NEAR(scores[p].top[0].logprob, best.logprobs[0], 1e-5);
      EXPECT_GE(scores[p].top[0].logprob, scores[p].top[1].logprob);
      EXPECT_GE(scores[p].top[1].logprob, scores[p].top[2].logprob);
      EXPECT_LE(scores[p].target, scores[p].top[0].logprob);
      for (const TokenLogprob& each : scores[p].top) {
        if (each.token == prompt[p + 1]) {
          EXPECT_EQ(each.logprob, scores[p].target);
        }
      }
    }
  }
}

// A training session computes them by another road: the loss.
TEST_P(SampleScoresTest, ScoresOfAPromptAreThoseOfASession) {
  const std::vector<int32_t> prompt = somePrompt(45, 2, family.model->config().vocabulary);
  SampleEngine engine(family.model, {family.adapter}, {.maxRows = 4, .cacheTokens = 512});
  SampleRequest scored = request(1, prompt, 1, 0);
  scored.scoreFrom = 1;
  engine.submit(scored);
  std::vector<RowScores> scores;
  while (!engine.idle()) {
    for (SampleEvent& event : engine.step()) scores = std::move(event.prompt);
  }
  ASSERT_EQ(scores.size(), prompt.size() - 1);
  TrainSession session(family.model, {family.adapter}, {.maxTokens = 64, .training = false});
  const BatchData batch({plainDocument(prompt)});
  std::vector<float> expected(prompt.size());
  session.score(batch.view(), expected);
  for (size_t p = 0; p < scores.size(); ++p) EXPECT_NEAR(scores[p].target, expected[p], 2e-4) << p;
}

std::map<int64_t, std::vector<float>> targetsOf(SampleEngine& engine) {
  std::map<int64_t, std::vector<float>> scores;
  while (!engine.idle()) {
    for (const SampleEvent& event : engine.step()) {
      EXPECT_TRUE(event.token == -1 && event.finish == Finish::kLength && event.top.empty());
      EXPECT_FALSE(scores.contains(event.id));
      for (const RowScores& row : event.prompt) scores[event.id].push_back(row.target);
    }
  }
  return scores;
}

// The ends of five prompts that begin alike, in float32 and in integers, whose loss does without logits.
TEST_P(SampleScoresTest, OfAPromptsEndAreThoseOfTheWholeWhateverIsSharedBeforeIt) {
  const int32_t vocabulary = family.model->config().vocabulary;
  Model::Options options;
  options.format = WeightFormat::kI8Channel;
  const auto integers = Model::load(fixture(family.name + "/model"), createCpuBackend(2, "auto", true), options);
  for (const std::shared_ptr<Model>& model : {family.model, integers}) {
    const auto adapter = Adapter::load(model, fixture(family.name + "/adapter"));
    for (const int common : {20, kKvPageTokens + 20, 2 * kKvPageTokens}) {
      std::vector<SampleRequest> requests;
      for (int i = 0; i < 5; ++i) {
        std::vector<int32_t> tokens = somePrompt(common, 0, vocabulary);
        for (int own = 0; own < 2 + i; ++own) tokens.push_back(3 + (own * 11 + i * 7) % (vocabulary - 3));
        SampleRequest r = request(i, tokens, 0, 0);
        r.scoreFrom = common;
        requests.push_back(r);
      }
      std::map<int64_t, std::vector<float>> first;
      for (const auto& [rows, chunk] : {std::pair{1, 512}, std::pair{5, 512}, std::pair{5, 9}}) {
        SampleEngine engine(model, {adapter}, {.maxRows = rows, .cacheTokens = 1024, .prefillTokens = chunk});
        for (const SampleRequest& r : requests) engine.submit(r);
        const auto scores = targetsOf(engine);
        if (first.empty()) first = scores;
        EXPECT_EQ(scores, first) << "the same bits in every batch";
        EXPECT_EQ(engine.stats().heldPages, 0);
        // Of each the token before its end is computed anew, the last one of all never is.
        if (rows == 5) {
          EXPECT_EQ(engine.stats().computedTokens, common - 1 + (2 + 3 + 4 + 5 + 6));
        }
      }
      for (const SampleRequest& r : requests) {
        const std::vector<float>& ours = first.at(r.id);
        ASSERT_EQ(ours.size(), r.prompt.size() - static_cast<size_t>(common));
        TrainSession session(model, {adapter}, {.maxTokens = 128, .training = false});
        BatchData batch({plainDocument(r.prompt)});
        std::vector<float> whole(r.prompt.size());
        session.score(batch.view(), whole);
        for (size_t i = 0; i < ours.size(); ++i)
          EXPECT_NEAR(ours[i], whole[static_cast<size_t>(common) - 1 + i], model == integers ? 2e-2 : 2e-4) << common;
      }
    }
  }
}

TEST_P(SampleScoresTest, WithoutNewTokensAPromptIsToBeScored) {
  SampleEngine engine(family.model, {}, {.maxRows = 1, .cacheTokens = 512});
  const auto refused = [&](SampleRequest r, int32_t from, const std::string& why) {
    r.scoreFrom = from;
    try {
      engine.submit(r);
      ADD_FAILURE() << "taken";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  refused(request(0, {5, 6, 7}, 0), 0, "maxNewTokens");
  refused(request(0, {5, 6, 7}, 0), 3, "maxNewTokens");
  refused(request(0, {5}, 0), 1, "maxNewTokens");
  refused(request(0, {5, 6, 7}, 1), 4, "scoreFrom");
  refused(request(0, {5, 6, 7}, 1), -1, "scoreFrom");
  EXPECT_TRUE(engine.idle());
}

// Logits come to the host in the middle of a pass: on a device whose addresses are not the host's, where nothing runs before it has to.
TEST_P(SampleScoresTest, ADeviceGivesTheSameBits) {
  const auto device =
      Model::load(fixture(family.name + "/model"), std::make_shared<HostBackend>(createCpuBackend(2)), {});
  SampleRequest scored = request(1, somePrompt(45, 2, family.model->config().vocabulary), 4);
  scored.scoreFrom = 1;
  scored.top = 2;
  scored.params.temperature = 1;
  SampleRequest end = request(2, scored.prompt, 0);  // shares what is before its last tokens, and needs no logits there
  end.scoreFrom = 44;
  const auto eventsOn = [&](const std::shared_ptr<Model>& model) {
    SampleEngine engine(model, {}, {.maxRows = 4, .cacheTokens = 512});
    engine.submit(scored);
    engine.submit(end);
    std::vector<SampleEvent> events;
    while (!engine.idle()) {
      for (SampleEvent& event : engine.step()) events.push_back(std::move(event));
    }
    return events;
  };
  const auto expected = eventsOn(family.model), got = eventsOn(device);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].token, expected[i].token);
    EXPECT_EQ(got[i].top, expected[i].top);
    EXPECT_EQ(got[i].prompt, expected[i].prompt);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SampleScoresTest, ::testing::Values("llama-tiny", "smol-tiny", "gemma3-tiny"),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mlit::test
