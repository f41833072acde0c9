// Loading: every form of the tiny checkpoints gives the reference's logits, and a checkpoint that does not fit is refused
// with the tensor's name before anything is used.
#include "model/model.h"

#include <cstring>

#include "model_backends.h"
#include "model_support.h"

namespace mlit::test {
namespace {

std::vector<float> logitsOf(const std::shared_ptr<Model>& model, const std::vector<std::shared_ptr<Adapter>>& adapters,
                            const std::vector<int32_t>& tokens) {
  TrainOptions options = smallOptions();
  options.training = false;
  TrainSession session(model, adapters, options);
  BatchData batch({plainDocument(tokens, adapters.empty() ? -1 : 0)});
  batch.targets.back() = 0;  // any target: the last row's logits are wanted too
  return session.logitsToHost(batch.view());
}

class ModelForms : public ::testing::TestWithParam<BackendFactory> {};

TEST_P(ModelForms, FoldersAndGgufGiveTheReferencesLogits) {
  for (const std::string family : {"llama-tiny", "smol-tiny", "gemma3-tiny"}) {
    const Fixture f(family);
    for (const std::string form : {"model", "model.gguf"}) {
      SCOPED_TRACE(family + "/" + form);
      const std::string prefix = family == "gemma3-tiny" && form == "model.gguf" ? "gguf." : "";
      const std::shared_ptr<Model> model = loadFixture(f.path(form), GetParam());
      const std::shared_ptr<Adapter> adapter = Adapter::load(model, f.path("adapter"));
      for (const std::string name : {"s23", "s40"}) {
        EXPECT_LE(maxError(logitsOf(model, {}, f.sequence(name)), f.tensor(prefix + "logits." + name)), 1e-5) << name;
        EXPECT_LE(maxError(logitsOf(model, {adapter}, f.sequence(name)), f.tensor(prefix + "adapter.logits." + name)),
                  1e-5)
            << name;
        if (!prefix.empty()) continue;
        const std::shared_ptr<Adapter> rslora = Adapter::load(model, f.path("adapter-rslora"));
        EXPECT_LE(maxError(logitsOf(model, {rslora}, f.sequence(name)), f.tensor("rslora.logits." + name)), 1e-5)
            << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ModelForms, ::testing::ValuesIn(backendFactories()), factoryName);

TEST(Model, ShardsGiveTheSameLogitsAsOneFile) {
  const Fixture f("llama-tiny");
  const std::vector<float> whole = logitsOf(loadFixture(f.path("model"), anyBackend()), {}, f.sequence("s23"));
  const std::vector<float> shards = logitsOf(loadFixture(f.path("sharded"), anyBackend()), {}, f.sequence("s23"));
  ASSERT_EQ(whole.size(), shards.size());
  EXPECT_EQ(std::memcmp(whole.data(), shards.data(), whole.size() * sizeof(float)), 0);
}

TEST(Model, SixteenBitWeightsStayClose) {
  const Fixture f("llama-tiny");
  const std::vector<float> reference = f.tensor("logits.s23");
  const double error = maxError(
      logitsOf(loadFixture(f.path("model"), anyBackend(), WeightFormat::kBF16), {}, f.sequence("s23")), reference);
  EXPECT_LE(error, 0.05);
  EXPECT_GE(error, 1e-5) << "the weights were not rounded at all";
}

TEST(Model, BytesAreThoseOfThePlan) {
  for (const std::string family : {"llama-tiny", "smol-tiny", "gemma3-tiny"}) {
    const std::shared_ptr<Model> model = loadFixture(Fixture(family).path("model"), anyBackend());
    EXPECT_EQ(model->bytes(),
              Model::plannedBytes(readModelConfig(model->path()), model->backend(), WeightFormat::kF32));
    EXPECT_EQ(model->head().index == model->embedding().index, model->config().tiedHead) << family;
  }
}

TEST(Model, ProgressRisesToOneAndCancelIsObeyed) {
  double last = -1;
  Model::Options options;
  options.progress = [&](double fraction) {
    EXPECT_GE(fraction, last);
    last = fraction;
  };
  const std::shared_ptr<Backend> backend = anyBackend().create();
  Model::load(fixture("llama-tiny/model"), backend, options);
  EXPECT_DOUBLE_EQ(last, 1);
  const std::atomic<bool> cancel = true;
  options.cancel = &cancel;
  expectError(ErrorCode::kCancelled, {"cancelled"},
              [&] { Model::load(fixture("llama-tiny/model"), backend, options); });
}

// A copy of a tiny folder with its safetensors rewritten by `change`.
struct ChangedCopy {
  TempDir folder;
  ChangedCopy(const std::string& family, const std::function<void(std::vector<TensorToWrite>&)>& change) {
    const auto source = openSafetensors(fixture(family + "/model"));
    std::vector<std::vector<float>> values;
    std::vector<TensorToWrite> tensors;
    for (const TensorInfo& info : source->tensors()) {
      std::vector<float>& host = values.emplace_back(static_cast<size_t>(elementCount(info.shape)));
      source->readRows(info, 0, info.shape.size() > 1 ? info.shape[0] : 1, host.data());
      tensors.push_back({info.name, DType::kF32, info.shape, host.data()});
    }
    change(tensors);
    writeSafetensors(folder.file("model.safetensors"), tensors, {});
    writeFile(folder.file("config.json"), readFile(fixture(family + "/model/config.json")));
  }
  void expectRefused(ErrorCode code, const std::vector<std::string>& parts) const {
    expectError(code, parts, [&] { loadFixture(folder.path().string(), anyBackend()); });
  }
};

TEST(Model, AMissingTensorIsNamed) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const ChangedCopy copy("llama-tiny", [&](auto& tensors) {
    std::erase_if(tensors, [&](const TensorToWrite& t) { return t.name == name; });
  });
  copy.expectRefused(ErrorCode::kTensorMissing, {name, "[112, 64]"});
  const ChangedCopy headless("llama-tiny", [&](auto& tensors) {
    std::erase_if(tensors, [&](const TensorToWrite& t) { return t.name == "lm_head.weight"; });
  });
  headless.expectRefused(ErrorCode::kTensorMissing, {"lm_head.weight"});
}

TEST(Model, AWrongShapeIsNamedWithBothShapes) {
  const std::string name = "model.layers.2.self_attn.k_proj.weight";
  const ChangedCopy copy("llama-tiny", [&](auto& tensors) {
    for (TensorToWrite& t : tensors) {
      if (t.name == name) t.shape = {64, 32};
    }
  });
  copy.expectRefused(ErrorCode::kTensorMismatch, {name, "[32, 64]", "[64, 32]"});
}

TEST(Model, ABiasIsRefused) {
  static const std::vector<float> bias(64);
  const ChangedCopy copy("llama-tiny", [&](auto& tensors) {
    tensors.push_back({"model.layers.0.self_attn.q_proj.bias", DType::kF32, {64}, bias.data()});
  });
  copy.expectRefused(ErrorCode::kModelUnsupported, {"q_proj.bias"});
}

TEST(Model, ATruncatedFileIsRefused) {
  const TempDir folder;
  for (const std::string family : {"llama-tiny", "gemma3-tiny"}) {
    const std::string bytes = readFile(fixture(family + "/model.gguf"));
    for (const double part : {0.001, 0.3, 0.999}) {
      writeFile(folder.file("short.gguf"),
                bytes.substr(0, static_cast<size_t>(static_cast<double>(bytes.size()) * part)));
      expectError(ErrorCode::kFileDamaged, {"short.gguf"},
                  [&] { loadFixture(folder.file("short.gguf"), anyBackend()); });
    }
  }
}

}  // namespace
}  // namespace mlit::test
