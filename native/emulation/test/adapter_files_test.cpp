// An adapter trained on a card goes into the same files as one trained on the processor: what peft is shown to load of one
// (scripts/fixtures/check_peft.py) it loads of the other.
#include "backend/cuda/test/model_on_card.h"

namespace mlit::test {
namespace {

class AdapterFiles : public OnCardWith<const char*> {};

std::shared_ptr<Model> load(const Fixture& f, std::shared_ptr<Backend> backend) {
  Model::Options options;
  options.format = WeightFormat::kBF16;
  return Model::load(f.path("model"), std::move(backend), options);
}

std::vector<float> valuesOf(const TensorSource& file, const TensorInfo& tensor) {
  std::vector<float> values(static_cast<size_t>(elementCount(tensor.shape)));
  file.readRows(tensor, 0, tensor.shape[0], values.data());
  return values;
}

TEST_P(AdapterFiles, UntrainedAreTheSameBytesAsTheCpus) {
  const Fixture f(GetParam());
  const TempDir folder;
  for (const auto& [name, model] :
       {std::pair("cpu", load(f, createCpuBackend(1))), std::pair("card", load(f, cardBackend()))}) {
    Adapter::load(model, f.path("adapter"))->save(folder.file(name), "some/base");
  }
  for (const std::string file : {"/adapter_config.json", "/adapter_model.safetensors"}) {
    EXPECT_EQ(readFile(folder.file("card" + file)), readFile(folder.file("cpu" + file))) << file;
  }
}

TEST_P(AdapterFiles, TrainedHaveTheCpusTensorsAndNearlyItsValues) {
  const Fixture f(GetParam());
  const BatchData batch(f.packedDocuments());
  const TempDir folder;
  constexpr int kSteps = 3;
  constexpr double kRate = 2e-3;
  for (const auto& [name, model] :
       {std::pair("cpu", load(f, createCpuBackend(1))), std::pair("card", load(f, cardBackend()))}) {
    const auto adapter = Adapter::load(model, f.path("adapter"));
    TrainSession session(model, {adapter}, smallOptions(128, 7, model->config().vocabulary));
    for (int step = 0; step < kSteps; ++step) {
      const StepSums sums = session.forwardBackward(batch.view());
      session.optimStep(0, stepParams(kRate, sums.weight[0]));
    }
    adapter->save(folder.file(name), "some/base");
  }
  EXPECT_EQ(readFile(folder.file("card/adapter_config.json")), readFile(folder.file("cpu/adapter_config.json")));
  const auto before = openSafetensors(f.path("adapter/adapter_model.safetensors")),
             card = openSafetensors(folder.file("card/adapter_model.safetensors")),
             cpu = openSafetensors(folder.file("cpu/adapter_model.safetensors"));
  ASSERT_EQ(card->tensors().size(), cpu->tensors().size());
  double apart = 0, moved = 0;
  for (size_t i = 0; i < cpu->tensors().size(); ++i) {
    const TensorInfo &a = card->tensors()[i], &b = cpu->tensors()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.shape, b.shape) << b.name;
    EXPECT_EQ(a.dtype, b.dtype) << b.name;
    EXPECT_EQ(a.offset, b.offset) << b.name;
    const std::vector<float> got = valuesOf(*card, a), want = valuesOf(*cpu, b),
                             start = valuesOf(*before, *before->find(b.name));
    for (size_t e = 0; e < want.size(); ++e) {
      // AdamW moves a parameter by its rate at most, whatever its gradient: where that is near zero, either way.
      EXPECT_NEAR(got[e], want[e], 2.1 * kSteps * kRate) << b.name << " element " << e;
      apart += std::pow(static_cast<double>(got[e]) - static_cast<double>(want[e]), 2);
      moved += std::pow(static_cast<double>(want[e]) - static_cast<double>(start[e]), 2);
    }
  }
  EXPECT_GT(moved, 0) << "nothing was learnt: the comparison says nothing";
  EXPECT_LT(std::sqrt(apart / moved), 0.25) << "of the way that the CPU's went";
  const auto model = load(f, createCpuBackend(1));
  Adapter::load(model, folder.file("card"))->save(folder.file("again"), "some/base");
  EXPECT_EQ(readFile(folder.file("again/adapter_model.safetensors")),
            readFile(folder.file("card/adapter_model.safetensors")));
}

INSTANTIATE_TEST_SUITE_P(OnCard, AdapterFiles, ::testing::Values("zoo/qwen2"),
                         [](const auto&) { return std::string("qwen2"); });

}  // namespace
}  // namespace mlit::test
