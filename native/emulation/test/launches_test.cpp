// How many launches a layer takes beyond its matrix products, of each family: none of them may depend on documents or on rows. The
// table of docs/cuda.md is this one.
#include <map>
#include "backend/cuda/test/model_on_card.h"
#include "emulation/emulator.h"
#include "sample/engine.h"

namespace mlit::test {
namespace {

class Launches : public OnCardAlone {};

// Of a call: launches that are no product's, nor bring rows to a product: how many rows an algorithm wants is the library's affair.
uint64_t launchesOf(const std::function<void()>& call) {
  const std::map<std::string, uint64_t> before = emulation::stats().launches;
  call();
  uint64_t count = 0;
  for (const auto& [name, times] : emulation::stats().launches) {
    if (name == "cublasLtMatmul" || name == "fewRows" || name == "convertRows") continue;
    count += times - (before.contains(name) ? before.at(name) : 0);
  }
  return count;
}

struct Counts {
  uint64_t score, scoreWithAdapter, forwardBackward, decode, decodeWithAdapter;
  bool operator==(const Counts&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Counts& c) {
  return out << "{" << c.score << ", " << c.scoreWithAdapter << ", " << c.forwardBackward << ", " << c.decode << ", "
             << c.decodeWithAdapter << "}";
}

// 24 tokens in so many documents.
std::vector<Document> asDocuments(size_t count, int32_t adapter) {
  std::vector<int32_t> tokens(24 / count);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = 5 + static_cast<int32_t>(i);
  return std::vector<Document>(count, plainDocument(tokens, adapter));
}

TrainOptions oneChunkOfLogits(const Model& model) { return smallOptions(128, 128, model.config().vocabulary); }

uint64_t decodeStep(const std::shared_ptr<Model>& model, const std::vector<std::shared_ptr<Adapter>>& adapters,
                    int rows) {
  SampleOptions options;
  options.maxRows = rows;
  options.cacheTokens = 64 * rows;
  SampleEngine engine(model, adapters, options);
  for (int64_t id = 0; id < rows; ++id) {
    SampleRequest request;
    request.id = id;
    request.prompt = {5};
    request.maxNewTokens = 8;
    request.adapter = adapters.empty() ? -1 : 0;
    engine.submit(request);
  }
  engine.step();
  return launchesOf([&] { engine.step(); });
}

TEST_F(Launches, AreAsManyAsTheTableSays) {
  const std::pair<const char*, Counts> table[] = {
      {"zoo/qwen2", {21, 37, 90, 24, 40}},
      {"zoo/qwen3", {25, 41, 98, 26, 42}},
      {"zoo/gemma3-conditional", {65, 113, 270, 66, 114}},
  };
  for (const auto& [family, want] : table) {
    const Fixture f(family);
    const auto model = onCard(f);
    const auto adapter = Adapter::load(model, f.path("adapter"));
    const auto layers = static_cast<uint64_t>(model->config().layers);
    const auto score = [&](const std::vector<std::shared_ptr<Adapter>>& adapters, const std::vector<Document>& of) {
      TrainSession session(model, adapters, oneChunkOfLogits(*model));
      const BatchData batch(of);
      std::vector<float> logprobs(batch.tokens.size());
      return launchesOf([&] { session.score(batch.view(), logprobs); });
    };
    const auto step = [&](const std::vector<Document>& of) {
      TrainSession session(model, {adapter}, oneChunkOfLogits(*model));
      const BatchData batch(of);
      return launchesOf([&] { session.forwardBackward(batch.view()); });
    };
    const Counts got = {score({}, asDocuments(1, -1)), score({adapter}, asDocuments(1, 0)), step(asDocuments(1, 0)),
                        decodeStep(model, {}, 8), decodeStep(model, {adapter}, 8)};
    EXPECT_EQ(got, want) << family << " of " << layers << " layers";
    if (std::string(family) != "zoo/qwen3") continue;
    EXPECT_EQ(step(asDocuments(4, 0)), got.forwardBackward) << family << ": documents are launched for";
    EXPECT_EQ(decodeStep(model, {adapter}, 12), got.decodeWithAdapter) << family << ": rows are launched for";
  }
}

}  // namespace
}  // namespace mlit::test
