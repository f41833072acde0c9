// Adapters: peft's files come in and go out unchanged, a fresh one starts as peft's do, and options that would change the
// mathematics are refused by name.
#include "model/adapter.h"

#include <sys/resource.h>

#include <set>

#include "model_backends.h"
#include "model_support.h"

namespace mlit::test {
namespace {

// A copy of a fixture's adapter with adapter_config.json changed.
struct AdapterCopy {
  TempDir folder;
  explicit AdapterCopy(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json config = readJsonFile(fixture("llama-tiny/adapter/adapter_config.json"));
    change(config);
    writeFile(folder.file("adapter_config.json"), config.dump());
    writeFile(folder.file("adapter_model.safetensors"),
              readFile(fixture("llama-tiny/adapter/adapter_model.safetensors")));
  }
  std::string path() const { return folder.path().string(); }
};

TEST(Adapter, LayoutStacksFactorsThatShareAnInput) {
  const ModelConfig config = readModelConfig(fixture("llama-tiny/model"));
  AdapterSpec spec;
  spec.rank = 4;
  spec.targets = {true, false, true, true, true, true, false};
  const AdapterLayout layout(config, spec);
  int64_t expectedOffset = 0;
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    for (const LinearGroup group : {LinearGroup::kQkv, LinearGroup::kO, LinearGroup::kGateUp, LinearGroup::kDown}) {
      const auto [first, last] = layout.groupSlots(layer, group);
      for (int32_t i = first; i < last; ++i) {
        const AdapterSlot& slot = layout.slots()[static_cast<size_t>(i)];
        EXPECT_EQ(slot.rankBegin, 4 * (i - first));
        EXPECT_EQ(slot.aOffset, expectedOffset);
        expectedOffset += 4 * int64_t{slot.in};
      }
      for (int32_t i = first; i < last; ++i) {
        EXPECT_EQ(layout.slots()[static_cast<size_t>(i)].bOffset, expectedOffset);
        expectedOffset += 4 * int64_t{layout.slots()[static_cast<size_t>(i)].out};
      }
    }
    const auto [q, end] = layout.groupSlots(layer, LinearGroup::kQkv);
    ASSERT_EQ(end - q, 2);
    EXPECT_EQ(layout.slots()[static_cast<size_t>(q) + 1].outBegin, config.queryDim() + config.kvDim());
    EXPECT_EQ(layout.groupSlots(layer, LinearGroup::kDown).first, layout.groupSlots(layer, LinearGroup::kDown).second);
  }
  EXPECT_EQ(layout.parameterCount(), expectedOffset);
  EXPECT_EQ(layout.maxGroupRank(), 8);
}

TEST(Adapter, ImpossibleSpecsAreRefused) {
  const ModelConfig config = readModelConfig(fixture("llama-tiny/model"));
  AdapterSpec spec;
  spec.rank = 0;
  expectError(ErrorCode::kInvalidArgument, {"rank"}, [&] { const AdapterLayout layout(config, spec); });
  spec.rank = 1;
  spec.targets.fill(false);
  expectError(ErrorCode::kInvalidArgument, {"target"}, [&] { const AdapterLayout layout(config, spec); });
}

TEST(Adapter, AFreshOneHasUniformAAndZeroB) {
  const auto model = loadFixture(fixture("llama-tiny/model"), anyBackend());
  AdapterSpec spec;
  spec.rank = 8;
  const auto adapter = Adapter::create(model, spec, 5), same = Adapter::create(model, spec, 5),
             other = Adapter::create(model, spec, 6);
  const std::vector<float> flat = adapter->toHost();
  EXPECT_EQ(flat, same->toHost());
  EXPECT_NE(flat, other->toHost());
  std::set<float> firsts;
  for (const AdapterSlot& slot : adapter->layout().slots()) {
    const std::vector<float> a = factorOf(adapter->layout(), flat, slot, 'A'),
                             b = factorOf(adapter->layout(), flat, slot, 'B');
    const double bound = 1 / std::sqrt(static_cast<double>(slot.in));
    EXPECT_LE(maxAbs(a), bound);
    EXPECT_GE(maxAbs(a), 0.9 * bound);
    EXPECT_NEAR(l2Norm(a), bound * std::sqrt(static_cast<double>(a.size()) / 3),
                0.1 * bound * std::sqrt(static_cast<double>(a.size())));
    EXPECT_EQ(maxAbs(b), 0);
    firsts.insert(a[0]);
  }
  EXPECT_EQ(firsts.size(), adapter->layout().slots().size()) << "two modules share their draws";
}

TEST(Adapter, PeftFilesRoundTrip) {
  for (const std::string family : {"llama-tiny", "smol-tiny", "gemma3-tiny"}) {
    const auto model = loadFixture(fixture(family + "/model"), anyBackend());
    for (const std::string name : {"adapter", "adapter-rslora"}) {
      SCOPED_TRACE(family + "/" + name);
      const TempDir folder;
      const auto adapter = Adapter::load(model, fixture(family + "/" + name));
      adapter->save(folder.file("a"), "some/base");
      const auto written = openSafetensors(folder.file("a/adapter_model.safetensors"));
      const auto original = openSafetensors(fixture(family + "/" + name + "/adapter_model.safetensors"));
      ASSERT_EQ(written->tensors().size(), original->tensors().size());
      for (const TensorInfo& info : original->tensors()) {
        const TensorInfo* copy = written->find(info.name);
        ASSERT_NE(copy, nullptr) << info.name;
        ASSERT_EQ(copy->shape, info.shape) << info.name;
        std::vector<float> a(static_cast<size_t>(elementCount(info.shape))), b(a.size());
        original->readRows(info, 0, info.shape[0], a.data());
        written->readRows(*copy, 0, info.shape[0], b.data());
        EXPECT_EQ(a, b) << info.name;
      }
      const PeftConfig config = readPeftConfig(folder.file("a"));
      EXPECT_EQ(config.baseModel, "some/base");
      EXPECT_EQ(config.spec.rank, adapter->layout().spec().rank);
      EXPECT_EQ(config.spec.rslora, name == "adapter-rslora");
      EXPECT_EQ(config.spec.targets, adapter->layout().spec().targets);
      EXPECT_FLOAT_EQ(config.spec.scale(), name == "adapter-rslora" ? 4 / std::sqrt(2.0f) : 2.0f);
      Adapter::load(model, folder.file("a"))->save(folder.file("b"), "some/base");
      for (const std::string file : {"adapter_config.json", "adapter_model.safetensors"}) {
        EXPECT_EQ(readFile(folder.file("a/" + file)), readFile(folder.file("b/" + file))) << file;
      }
    }
  }
}

TEST(Adapter, ConfigurationsAreWrittenAsAnyJsonWriterWould) {
  for (const std::vector<std::string>& targets : {std::vector<std::string>{}, {"q_proj", "down_proj"}}) {
    for (const double alpha : {8.0, 0.1}) {
      const std::string text = peftOptionsText({4, alpha, true, targets, "a \"path\"\n\xFF"}, "model.");
      EXPECT_EQ(text, nlohmann::ordered_json::parse(text).dump(2) + "\n");
      EXPECT_NE(text.find("\xEF\xBF\xBD"), std::string::npos) << "a byte that is no UTF-8 is replaced";
    }
  }
}

TEST(Adapter, AllLinearMeansAllSevenAndAPatternWhatItMet) {
  for (const std::string pattern : {"all-linear", ".*_proj"}) {
    const AdapterCopy copy([&](nlohmann::json& config) { config["target_modules"] = pattern; });
    EXPECT_EQ(readPeftConfig(copy.path()).spec.targets,
              (std::array<bool, kProjections>{true, true, true, true, true, true, true, false}));
    if (pattern == "all-linear") continue;
    writeFile(copy.path() + "/adapter_model.safetensors",
              readFile(fixture("llama-tiny/adapter-rslora/adapter_model.safetensors")));
    EXPECT_EQ(readPeftConfig(copy.path()).spec.targets,
              (std::array<bool, kProjections>{true, false, true, false, false, false, false, false}));
  }
}

TEST(Adapter, OptionsThatChangeTheMathematicsAreRefusedByName) {
  const std::vector<std::pair<std::string, nlohmann::json>> options = {{"peft_type", "LOHA"},
                                                                       {"use_dora", true},
                                                                       {"bias", "all"},
                                                                       {"rank_pattern", {{"q_proj", 8}}},
                                                                       {"alpha_pattern", {{"q_proj", 8}}},
                                                                       {"modules_to_save", {"lm_head"}},
                                                                       {"fan_in_fan_out", true},
                                                                       {"layers_to_transform", {1}},
                                                                       {"lora_bias", true},
                                                                       {"init_lora_weights", "pissa_niter_4"},
                                                                       {"target_modules", {"q_proj", "embed_tokens"}}};
  for (const auto& [option, value] : options) {
    const AdapterCopy copy([&](nlohmann::json& config) { config[option] = value; });
    expectError(ErrorCode::kModelUnsupported, {option, "adapter_config.json"}, [&] { readPeftConfig(copy.path()); });
  }
  const AdapterCopy rank([](nlohmann::json& config) { config["r"] = 0; });
  expectError(ErrorCode::kFileDamaged, {"r is 0"}, [&] { readPeftConfig(rank.path()); });
}

TEST(Adapter, ARankThatOnlyTheConfigurationClaimsTakesNoMemory) {
  const auto model = loadFixture(fixture("llama-tiny/model"), anyBackend());
  const AdapterCopy rank([](nlohmann::json& config) { config["r"] = 65536; });
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  expectError(ErrorCode::kTensorMismatch, {"[65536, 64]"}, [&] { Adapter::load(model, rank.path()); });
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 * 1024) << "KiB";
  const AdapterCopy targets([](nlohmann::json& config) { config["target_modules"] = {std::string(100'000, 'x')}; });
  const auto error = errorOf([&] { readPeftConfig(targets.path()); });
  ASSERT_TRUE(error.has_value());
  EXPECT_LT(std::string(error->what()).size(), 1000u);
}

TEST(Adapter, TensorsThatDoNotFitAreNamed) {
  const auto model = loadFixture(fixture("llama-tiny/model"), anyBackend());
  const AdapterCopy rank([](nlohmann::json& config) { config["r"] = 5; });
  expectError(ErrorCode::kTensorMismatch, {"layers.0.self_attn.q_proj.lora_A.weight", "[4, 64]", "[5, 64]"},
              [&] { Adapter::load(model, rank.path()); });
  const AdapterCopy fewer([](nlohmann::json& config) { config["target_modules"] = {"q_proj"}; });
  expectError(ErrorCode::kTensorMismatch, {"which adapter_config.json does not name"},
              [&] { Adapter::load(model, fewer.path()); });
  const auto smol = loadFixture(fixture("smol-tiny/model"), anyBackend());
  expectError(ErrorCode::kTensorMismatch, {"lora_A.weight"},
              [&] { Adapter::load(smol, fixture("llama-tiny/adapter")); });
  expectError(ErrorCode::kTensorMissing, {"layers.0.self_attn.k_proj.lora_A.weight"}, [&] {
    const TempDir folder;
    writeFile(folder.file("adapter_config.json"), readFile(fixture("llama-tiny/adapter-rslora/adapter_config.json")));
    nlohmann::json config = readJsonFile(folder.file("adapter_config.json"));
    config["target_modules"] = {"q_proj", "k_proj", "v_proj"};
    writeFile(folder.file("adapter_config.json"), config.dump());
    writeFile(folder.file("adapter_model.safetensors"),
              readFile(fixture("llama-tiny/adapter-rslora/adapter_model.safetensors")));
    Adapter::load(model, folder.path().string());
  });
}

}  // namespace
}  // namespace mlit::test
