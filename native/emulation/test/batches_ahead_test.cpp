// A micro-batch whose inputs are sent while the one before it is computed: no bit changes, and nothing is sent twice.
#include "backend/cuda/test/model_on_card.h"
#include "emulation/emulator.h"

namespace mlit::test {
namespace {

class BatchesAhead : public OnCardAlone {};

std::vector<float> gradientsOver(const std::shared_ptr<Model>& model, const Fixture& f,
                                 const std::vector<const BatchData*>& batches,
                                 const std::vector<const BatchData*>& told) {
  TrainSession session(model, {Adapter::load(model, f.path("adapter"))}, trainOptions(*model));
  for (size_t i = 0; i < batches.size(); ++i) {
    const uint64_t waits = emulation::stats().hostWaits;
    const PackedBatch batch = batches[i]->view(), next = told[i] == nullptr ? PackedBatch{} : told[i]->view();
    session.forwardBackward(batch, {}, told[i] == nullptr ? nullptr : &next);
    EXPECT_EQ(emulation::stats().hostWaits, waits + 1) << "the losses";
  }
  return session.gradientsToHost(0);
}

TEST_F(BatchesAhead, ChangeNoBitWhetherTheyComeOrNot) {
  const Fixture f("zoo/qwen2");
  const BatchData one(f.packedDocuments()), two({f.packedDocuments()[1]});
  BatchData bad(f.packedDocuments());
  bad.tokens[0] = -5;
  const std::vector<const BatchData*> batches = {&two, &one};
  const auto model = onCard(f);
  const std::vector<float> want = gradientsOver(model, f, batches, {nullptr, nullptr});
  EXPECT_EQ(gradientsOver(model, f, batches, {&one, nullptr}), want);
  EXPECT_EQ(gradientsOver(model, f, batches, {&two, &bad}), want) << "another batch came than was told of";
}

TEST_F(BatchesAhead, AreNotSentAgain) {
  const Fixture f("zoo/qwen2");
  const BatchData batch(f.packedDocuments());
  const auto model = onCard(f);
  TrainSession session(model, {Adapter::load(model, f.path("adapter"))}, trainOptions(*model));
  const PackedBatch view = batch.view();
  session.forwardBackward(view, {}, &view);
  uint64_t before = emulation::stats().bytesToDevice;
  session.forwardBackward(view);
  EXPECT_EQ(emulation::stats().bytesToDevice, before) << "all of it was there";
  before = emulation::stats().bytesToDevice;
  session.forwardBackward(view);
  EXPECT_GE(emulation::stats().bytesToDevice, before + 8 * batch.tokens.size());
}

}  // namespace
}  // namespace mlit::test
