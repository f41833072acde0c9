// The model zoo: every supported family, as a folder and as a GGUF file, against transformers + peft; and the traps of the
// families that no single file shows.
#include <algorithm>

#include "host_backend.h"
#include "model_backends.h"
#include "model_support.h"

namespace mlit::test {
namespace {

constexpr const char* kZoo[] = {"llama3-scaled", "mistral-window", "mistral-spm",
                                "qwen2",         "qwen3",          "gemma3-conditional"};
constexpr int64_t kTokens = 128;

struct ZooCase {
  std::string family;
  std::string form;  // model: a folder; model.gguf
  BackendFactory backend;
};

std::vector<ZooCase> zooCases() {
  std::vector<ZooCase> cases;
  for (const BackendFactory& backend : backendFactories()) {
    for (const char* family : kZoo) {
      for (const char* form : {"model", "model.gguf"}) cases.push_back({family, form, backend});
    }
  }
  return cases;
}

std::string zooName(const ::testing::TestParamInfo<ZooCase>& info) {
  std::string name = info.param.family + (info.param.form == "model" ? "_folder_" : "_gguf_") + info.param.backend.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

void PrintTo(const ZooCase& c, std::ostream* out) { *out << c.family << "/" << c.form << " on " << c.backend.name; }

// Logits of the last rows of a sequence, as many as the fixture has.
std::vector<float> lastLogits(const std::shared_ptr<Model>& model,
                              const std::vector<std::shared_ptr<Adapter>>& adapters, const std::vector<int32_t>& tokens,
                              size_t floats) {
  TrainOptions options = smallOptions(kTokens);
  options.training = false;
  TrainSession session(model, adapters, options);
  BatchData batch({plainDocument(tokens, adapters.empty() ? -1 : 0)});
  batch.targets.back() = 0;  // any target: the last row's logits are wanted too
  const auto first = batch.tokens.size() - floats / static_cast<size_t>(model->config().vocabulary);
  std::fill(batch.targets.begin(), batch.targets.begin() + static_cast<int64_t>(first), -1);
  std::fill(batch.weights.begin(), batch.weights.begin() + static_cast<int64_t>(first), 0.0f);
  return session.logitsToHost(batch.view());
}

class Zoo : public ::testing::TestWithParam<ZooCase> {
 protected:
  Zoo() : f("zoo/" + GetParam().family), model(loadFixture(f.path(GetParam().form), GetParam().backend)) {}
  std::shared_ptr<Adapter> adapter() const { return Adapter::load(model, f.path("adapter")); }

  Fixture f;
  std::shared_ptr<Model> model;
};

TEST_P(Zoo, LogitsAreThoseOfTransformers) {
  for (const std::string name : {"short", "long"}) {
    const std::vector<float> base = f.tensor("logits." + name), adapted = f.tensor("adapter.logits." + name);
    EXPECT_LE(maxError(lastLogits(model, {}, f.sequence(name), base.size()), base), 1e-5) << name;
    EXPECT_LE(maxError(lastLogits(model, {adapter()}, f.sequence(name), adapted.size()), adapted), 1e-5) << name;
  }
}

TEST_P(Zoo, LossAndGradientsAreThoseOfPeft) {
  const auto trained = adapter();
  TrainSession session(model, {trained}, smallOptions(kTokens));
  const auto& packed = f.expected["packed"];
  const double total = packed["totalWeight"].get<double>();
  const StepSums sums = session.forwardBackward(BatchData(f.packedDocuments()).view());
  EXPECT_NEAR(sums.loss[0] / total, packed["loss"].get<double>(), 1e-5);
  const std::vector<float> gradients = session.gradientsToHost(0);
  EXPECT_NEAR(l2Norm(gradients) / total, packed["gradNorm"].get<double>(), 1e-4 * packed["gradNorm"].get<double>());
  // The keys are those of the class that the folder names, whatever form was loaded.
  const std::string path = readModelConfig(f.path("model")).modulePath;
  EXPECT_LE(worstFactorError(f, "grad.", trained->layout(), gradients, static_cast<float>(1 / total), path), 1e-4);
}

TEST_P(Zoo, TwentyStepsLoseWhatTransformersLoses) {
  TrainSession session(model, {adapter()}, smallOptions(kTokens));
  const auto& training = f.expected["training"];
  const double total = f.expected["packed"]["totalWeight"].get<double>();
  const auto warmup = training["warmupSteps"].get<int>(), steps = training["totalSteps"].get<int>();
  for (int step = 1; step <= steps; ++step) {
    const StepSums sums = session.forwardBackward(BatchData(f.packedDocuments()).view());
    EXPECT_NEAR(sums.loss[0] / total, training["losses"][static_cast<size_t>(step - 1)].get<double>(), 1e-4)
        << "step " << step;
    const double factor =
        step <= warmup ? static_cast<double>(step) / warmup : static_cast<double>(steps - step) / (steps - warmup);
    AdamWParams params;
    params.learningRate = static_cast<float>(training["learningRate"].get<double>() * factor);
    params.weightDecay = training["weightDecay"].get<float>();
    params.maxGradNorm = training["maxGradNorm"].get<float>();
    params.gradScale = static_cast<float>(1 / total);
    session.optimStep(0, params);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Zoo, ::testing::ValuesIn(zooCases()), zooName);

// A folder with another configuration over the same weights, or with tensors under other names.
struct VariantFolder {
  TempDir folder;
  VariantFolder(const std::string& family, const std::string& config,
                const std::function<std::string(const std::string&)>& rename = nullptr) {
    const std::string from = fixture("zoo/" + family + "/model");
    writeFile(folder.file("config.json"), config);
    if (!rename) {
      writeFile(folder.file("model.safetensors"), readFile(from + "/model.safetensors"));
      return;
    }
    const auto source = openSafetensors(from);
    std::vector<std::vector<float>> values;
    std::vector<TensorToWrite> tensors;
    for (const TensorInfo& info : source->tensors()) {
      std::vector<float>& host = values.emplace_back(static_cast<size_t>(elementCount(info.shape)));
      const int64_t rows = info.shape.size() > 1 ? elementCount(info.shape) / info.shape.back() : 1;
      source->readRows(info, 0, rows, host.data());
      tensors.push_back({rename(info.name), DType::kF32, info.shape, host.data()});
    }
    writeSafetensors(folder.file("model.safetensors"), tensors, {});
  }
  std::string path() const { return folder.path().string(); }
};

TEST(ZooTraps, QwensWindowHoldsOnlyWhereItIsSwitchedOnAndFromItsLayerUp) {
  const Fixture f("zoo/qwen2");
  const VariantFolder windowed("qwen2", readFile(f.path("config.window.json")));
  const std::shared_ptr<Model> model = loadFixture(windowed.path(), anyBackend());
  EXPECT_EQ(model->config().layerIsLocal, (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(model->config().window, 8);
  const std::vector<float> expected = f.tensor("window.logits.long");
  EXPECT_LE(maxError(lastLogits(model, {}, f.sequence("long"), expected.size()), expected), 1e-5);
  EXPECT_EQ(readModelConfig(f.path("model")).window, 0);
}

TEST(ZooTraps, Gemmas3DecoderIsFoundUnderTheNamesOfBothGenerations) {
  const Fixture f("zoo/gemma3-conditional");
  const std::string config = readFile(f.path("model/config.json")), newPath = "model.language_model.",
                    oldPath = "language_model.model.";
  const VariantFolder renamed("gemma3-conditional", config, [&](const std::string& name) {
    if (name.starts_with(newPath)) return oldPath + name.substr(newPath.size());
    return name.starts_with("model.") ? name.substr(6) : name;
  });
  const std::vector<float> expected = f.tensor("logits.short");
  const std::shared_ptr<Model> model = loadFixture(renamed.path(), anyBackend());
  EXPECT_LE(maxError(lastLogits(model, {}, f.sequence("short"), expected.size()), expected), 1e-5);
}

TEST(ZooTraps, AdaptersOfAMultimodalModelAreWrittenForItsClassAndReadUnderEveryPrefix) {
  const Fixture f("zoo/gemma3-conditional");
  const std::shared_ptr<Model> model = loadFixture(f.path("model"), anyBackend());
  const std::shared_ptr<Adapter> adapter = Adapter::load(model, f.path("adapter"));
  const TempDir folder;
  adapter->save(folder.file("saved"), "gemma");
  const nlohmann::json config = readJsonFile(folder.file("saved/adapter_config.json"));
  EXPECT_EQ(config["target_modules"], ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)");
  const std::string written = "base_model.model.model.language_model.layers.";
  const auto source = openSafetensors(folder.file("saved/adapter_model.safetensors"));
  for (const TensorInfo& tensor : source->tensors()) EXPECT_TRUE(tensor.name.starts_with(written)) << tensor.name;
  for (const std::string& prefix : {written, std::string("base_model.model.language_model.model.layers."),
                                    std::string("base_model.model.model.layers.")}) {
    const auto from = openSafetensors(f.path("adapter/adapter_model.safetensors"));
    std::vector<std::vector<float>> values;
    std::vector<TensorToWrite> tensors;
    for (const TensorInfo& info : from->tensors()) {
      std::vector<float>& host = values.emplace_back(static_cast<size_t>(elementCount(info.shape)));
      from->readRows(info, 0, info.shape[0], host.data());
      tensors.push_back({prefix + info.name.substr(written.size()), DType::kF32, info.shape, host.data()});
    }
    writeSafetensors(folder.file("saved/adapter_model.safetensors"), tensors, {});
    EXPECT_EQ(Adapter::load(model, folder.file("saved"))->toHost(), adapter->toHost()) << prefix;
  }
}

// A copy of an adapter's folder, of the given targets, whose tensors have other names.
void renameAdapter(const std::string& from, const std::string& to, const nlohmann::json& targets,
                   const std::function<std::string(const std::string&)>& rename,
                   const std::vector<TensorToWrite>& more = {}) {
  nlohmann::json config = readJsonFile(from + "/adapter_config.json");
  config["target_modules"] = targets;
  const auto source = openSafetensors(from + "/adapter_model.safetensors");
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors = more;
  for (const TensorInfo& info : source->tensors()) {
    std::vector<float>& host = values.emplace_back(static_cast<size_t>(elementCount(info.shape)));
    source->readRows(info, 0, info.shape[0], host.data());
    tensors.push_back({rename(info.name), DType::kF32, info.shape, host.data()});
  }
  std::filesystem::create_directories(to);
  writeFile(to + "/adapter_config.json", config.dump());
  writeSafetensors(to + "/adapter_model.safetensors", tensors, {});
}

// Until transformers 4.52 the head was inside of the class's language_model; since then it is beside it, as of any model.
TEST(ZooTraps, AHeadsAdapterOfAMultimodalModelIsReadUnderTheNamesOfBothGenerations) {
  const Fixture f("zoo/gemma3-conditional");
  const std::shared_ptr<Model> model = loadFixture(f.path("model"), anyBackend());
  const std::string root = "base_model.model.", newPath = root + "model.language_model.",
                    oldPath = root + "language_model.model.", newHead = root + "lm_head",
                    oldHead = root + "language_model.lm_head";
  const ModelConfig& config = model->config();
  const std::vector<float> frozen(static_cast<size_t>(config.vocabulary) * static_cast<size_t>(config.hidden));
  const auto copyAs = [&](const std::string& head, int32_t rows) {
    return TensorToWrite{head + ".base_layer.weight", DType::kF32, {rows, config.hidden}, frozen.data()};
  };
  const auto old = [&](const std::string& name) {
    if (name.starts_with(newPath)) return oldPath + name.substr(newPath.size());
    return name.starts_with(newHead) ? oldHead + name.substr(newHead.size()) : name;
  };
  for (const bool alone : {false, true}) {
    SCOPED_TRACE(alone ? "the head alone" : "with all seven");
    AdapterSpec spec;
    spec.rank = 3;
    if (alone) spec.targets.fill(false);
    spec.targets[static_cast<size_t>(Projection::kHead)] = true;
    const std::shared_ptr<Adapter> adapter = Adapter::create(model, spec, 5);
    std::vector<float> values = adapter->toHost();
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 997);
    adapter->fromHost(values);

    const TempDir folder;
    const std::string saved = folder.file("saved"), moved = folder.file("moved");
    adapter->save(saved, "gemma");
    const std::unique_ptr<TensorSource> written = openSafetensors(saved + "/adapter_model.safetensors");
    EXPECT_NE(written->find(newHead + ".lora_A.weight"), nullptr);
    EXPECT_NE(written->find(newHead + ".lora_B.weight"), nullptr);
    EXPECT_EQ(readPeftConfig(saved).spec.targets, spec.targets);

    const nlohmann::json pattern = ".*language_model.*";
    renameAdapter(saved, moved, pattern, old, {copyAs(oldHead, config.vocabulary)});
    EXPECT_EQ(readPeftConfig(moved).spec.targets, spec.targets);
    const std::shared_ptr<Adapter> loaded = Adapter::load(model, moved);
    EXPECT_EQ(loaded->toHost(), values);
    const std::string again = folder.file("again");
    loaded->save(again, "gemma");
    EXPECT_EQ(readFile(again + "/adapter_model.safetensors"), readFile(saved + "/adapter_model.safetensors"))
        << "saved for the class of today";

    renameAdapter(saved, moved, pattern, old, {copyAs(oldHead, config.vocabulary - 1)});
    expectError(ErrorCode::kTensorMismatch, {"language_model.lm_head.base_layer.weight"},
                [&] { Adapter::load(model, moved); });
    if (alone) continue;
    renameAdapter(saved, moved, pattern, [&](const std::string& name) {
      return name.starts_with(newHead) ? oldHead + name.substr(newHead.size()) : name;
    });
    const auto mixed = errorOf([&] { Adapter::load(model, moved); });
    EXPECT_TRUE(mixed.has_value()) << "names of both generations in one file";
  }
}

TEST(ZooTraps, Bf16FilesAreKeptAsTheyAreAndLoseNothing) {
  for (const std::string family : {"qwen2", "qwen3"}) {
    for (const std::string form : {"model", "model.gguf"}) {
      SCOPED_TRACE(family + "/" + form);
      const Fixture f("zoo/" + family);
      Model::Options options;
      options.format.reset();
      const std::shared_ptr<Model> model =
          Model::load(f.path(form), std::shared_ptr<Backend>(anyBackend().create()), options);
      const bool bf16 = family == "qwen3";
      EXPECT_EQ(model->format() == WeightFormat::kBF16, bf16);
      EXPECT_EQ(losslessFormat(f.path(form)), model->format());
      EXPECT_EQ(model->bytes(), Model::plannedBytes(model->config(), model->backend(), model->format()));
      const std::vector<float> expected = f.tensor("logits.long");
      EXPECT_LE(maxError(lastLogits(model, {}, f.sequence("long"), expected.size()), expected), 1e-5);
    }
  }
}

}  // namespace
}  // namespace mlit::test
