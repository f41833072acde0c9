// What the sampler's tests have in common: a family's fixture, requests, and an engine run to its end.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sample/engine.h"
#include "support.h"

namespace mlit::test {

using nlohmann::json;

struct Generated {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  Finish finish = Finish::kNone;
  bool operator==(const Generated&) const = default;
};

struct Family {
  std::string name;
  std::shared_ptr<Model> model;
  std::shared_ptr<Adapter> adapter;
  json greedy;
};

inline Family loadFamily(const std::string& name) {
  Family family;
  family.name = name;
  std::shared_ptr<Backend> backend = createCpuBackend(2);
  family.model = Model::load(fixture(name + "/model"), backend, {});
  family.adapter = Adapter::load(family.model, fixture(name + "/adapter"));
  family.greedy = json::parse(readFile(fixture(name + "/expected.json")))["greedy"];
  return family;
}

inline std::map<int64_t, Generated> runAll(SampleEngine& engine) {
  std::map<int64_t, Generated> results;
  int steps = 0;
  while (!engine.idle()) {
    for (const SampleEvent& event : engine.step()) {
      Generated& g = results[event.id];
      EXPECT_EQ(g.finish, Finish::kNone) << "an event after the last one of " << event.id;
      g.tokens.push_back(event.token);
      g.logprobs.push_back(event.logprob);
      g.finish = event.finish;
    }
    if (++steps > 10000) throw std::runtime_error("the engine does not come to an end");
  }
  return results;
}

inline SampleRequest request(int64_t id, const std::vector<int32_t>& prompt, int32_t maxNewTokens,
                             int32_t adapter = -1) {
  SampleRequest r;
  r.id = id;
  r.prompt = prompt;
  r.maxNewTokens = maxNewTokens;
  r.adapter = adapter;
  return r;
}

inline std::vector<int32_t> somePrompt(int length, int salt, int32_t vocabulary) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back(3 + (i * 37 + salt * 101) % (vocabulary - 3));
  return prompt;
}

}  // namespace mlit::test
