// Adapters that come to a session and leave it: each is trained as if it were alone, to the bit, whoever is beside it.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "model_support.h"

namespace mlit::test {
namespace {

std::string bytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SlotsTest : public ::testing::TestWithParam<BackendFactory> {
 protected:
  SlotsTest() : f("gemma3-tiny"), model(loadFixture(f.path("model"), GetParam())) {
    specs[0].rank = 4, specs[0].dropout = 0.25;
    specs[1].rank = 2, specs[1].targets.back() = true;  // also of the head
    specs[2].rank = 3;
  }

  TrainOptions withSlots() const {
    TrainOptions options = smallOptions();
    options.slots = {specs.begin(), specs.end()};
    return options;
  }

  std::shared_ptr<Adapter> adapter(size_t i) const { return Adapter::create(model, specs[i], 7 + i); }

  // Rows of `adapter`, the same for all that ask for the same number.
  std::vector<Document> documents(int32_t adapter, int32_t number) const {
    Document document = f.packedDocuments()[static_cast<size_t>(number % 3)];
    document.adapter = adapter;
    return {document};
  }

  static BatchData batchOf(const std::vector<Document>& documents) {
    BatchData batch(documents);
    batch.records.assign(documents.size(), 3);
    return batch;
  }

  // Two steps of adapter i on its own documents, alone; what the session's state file holds then.
  std::string alone(size_t i, const TempDir& folder) const {
    TrainOptions options = smallOptions();
    options.seed = 11 + i;
    TrainSession session(model, {adapter(i)}, options);
    for (int32_t step = 0; step < 2; ++step) {
      session.forwardBackward(batchOf(documents(0, static_cast<int32_t>(i) + step)).view());
      session.optimStep(0, {.learningRate = 1e-2f, .gradScale = 0.1f});
    }
    session.saveState(folder.file("alone"));
    return bytesOf(folder.file("alone"));
  }

  Fixture f;
  std::shared_ptr<Model> model;
  std::array<AdapterSpec, 3> specs;
};

TEST_P(SlotsTest, EachHasTheStateThatItHasAlone) {
  const TempDir folder;
  TrainSession session(model, {}, withSlots());
  for (int32_t i = 0; i < 3; ++i) session.setAdapter(i, adapter(static_cast<size_t>(i)), 11 + static_cast<uint64_t>(i));
  for (int32_t step = 0; step < 2; ++step) {
    std::vector<Document> all;
    for (const int32_t i : {2, 0, 1})
      for (const Document& document : documents(i, i + step)) all.push_back(document);
    session.forwardBackward(batchOf(all).view());
    for (int32_t i = 0; i < 3; ++i) session.optimStep(i, {.learningRate = 1e-2f, .gradScale = 0.1f});
  }
  for (int32_t i = 0; i < 3; ++i) {
    session.saveState(folder.file("slot"), i);
    EXPECT_EQ(bytesOf(folder.file("slot")), alone(static_cast<size_t>(i), folder)) << "adapter " << i;
  }
}

TEST_P(SlotsTest, OneThatJoinsLaterOrGoesOnFromAFileIsAsAlone) {
  const TempDir folder;
  TrainSession session(model, {}, withSlots());
  session.setAdapter(0, adapter(2), 1);
  session.forwardBackward(batchOf(documents(0, 1)).view());
  session.optimStep(0, {.learningRate = 1.0f, .gradScale = 0.1f});
  session.setAdapter(0, nullptr);
  session.setAdapter(0, adapter(0), 11);
  const auto step = [&](int32_t number) {
    session.forwardBackward(batchOf(documents(0, number)).view());
    session.optimStep(0, {.learningRate = 1e-2f, .gradScale = 0.1f});
  };
  step(0);
  session.saveState(folder.file("half"), 0);
  session.setAdapter(0, nullptr);
  session.setAdapter(0, adapter(0), 11);
  session.loadState(folder.file("half"), 0);
  EXPECT_EQ(session.stepCount(0), 1);
  step(1);
  session.saveState(folder.file("slot"), 0);
  EXPECT_EQ(bytesOf(folder.file("slot")), alone(0, folder));
}

TEST_P(SlotsTest, ALossThatIsNotFiniteIsItsOwnAdaptersAlone) {
  const TempDir folder;
  TrainSession session(model, {}, withSlots());
  session.setAdapter(0, adapter(0), 11);
  session.setAdapter(1, adapter(2), 0);
  session.forwardBackward(batchOf(documents(1, 1)).view());
  session.optimStep(1, {.learningRate = 1e30f, .maxGradNorm = 0});
  std::vector<Document> both = documents(1, 2);
  both.push_back(documents(0, 0)[0]);
  const StepSums sums = session.forwardBackward(batchOf(both).view());
  EXPECT_EQ(sums.notFinite[0], -1);
  EXPECT_GE(sums.notFinite[1], 0);
  EXPECT_LT(sums.notFinite[1], static_cast<int32_t>(both[0].tokens.size()));
  EXPECT_TRUE(std::isfinite(sums.loss[0]));
  EXPECT_EQ(maxAbs(session.gradientsToHost(1)), 0);
  session.optimStep(0, {.learningRate = 1e-2f, .gradScale = 0.1f});
  session.forwardBackward(batchOf(documents(0, 1)).view());
  session.optimStep(0, {.learningRate = 1e-2f, .gradScale = 0.1f});
  session.saveState(folder.file("slot"), 0);
  EXPECT_EQ(bytesOf(folder.file("slot")), alone(0, folder));
}

TEST_P(SlotsTest, WhatDoesNotFitOrIsNotThereIsRefused) {
  TrainSession session(model, {}, withSlots());
  const auto refuses = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalidArgument;
    }
    return false;
  };
  AdapterSpec wide = specs[0];
  wide.rank = 5;
  EXPECT_TRUE(refuses([&] { session.setAdapter(0, Adapter::create(model, wide, 0)); }));
  EXPECT_TRUE(refuses([&] { session.setAdapter(3, adapter(0)); }));
  const auto first = adapter(0);
  session.setAdapter(0, first);
  EXPECT_TRUE(refuses([&] { session.setAdapter(1, first); }));
  EXPECT_TRUE(refuses([&] { session.forwardBackward(batchOf(documents(1, 0)).view()); }));
  EXPECT_TRUE(refuses([&] { session.optimStep(1, {}); }));
  EXPECT_TRUE(refuses([&] { session.saveState("nowhere"); }));
  TrainOptions options = withSlots();
  EXPECT_TRUE(refuses([&] { TrainSession(model, {adapter(0)}, options); }));
}

INSTANTIATE_TEST_SUITE_P(Backends, SlotsTest, ::testing::ValuesIn(backendFactories()),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace mlit::test
