// What is written for other programs must be the model that was read: rows against the committed checkpoints of both kinds,
// merging against its definition, files against the readers.
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <random>

#include "checkpoint/gguf.h"
#include "core/half.h"
#include "export/config_json.h"
#include "export/gguf_model.h"
#include "export/safetensors_folder.h"
#include "model_support.h"

namespace mlit::test {
namespace {

class Export : public ::testing::TestWithParam<std::string> {
 protected:
  std::string path(const std::string& below) const { return fixture(GetParam() + "/" + below); }
  // A family of the zoo has one.
  std::vector<std::string> adapters() const {
    return std::filesystem::exists(path("adapter-rslora")) ? std::vector<std::string>{"adapter", "adapter-rslora"}
                                                           : std::vector<std::string>{"adapter"};
  }
  ThreadPool pool_{2};
  TempDir folder_;
};

std::vector<float> rowsOf(const TensorSource& source, const std::string& name) {
  const TensorInfo* tensor = source.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + name);
  std::vector<float> values(static_cast<size_t>(elementCount(tensor->shape)));
  source.readRows(*tensor, 0, elementCount(tensor->shape) / tensor->shape.back(), values.data());
  return values;
}

std::vector<float> rowsOf(WeightRows& rows, const ExportTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(elementCount(tensor.shape)));
  rows.read(tensor, 0, tensor.rows(), values.data());
  return values;
}

// A multimodal model is exported as its text part: the decoder under a plain one's names, and nothing of what sees.
void expectSameTensors(const TensorSource& found, const TensorSource& expected) {
  const std::string inner = "model.language_model.", seeing[] = {"model.vision_tower.", "model.multi_modal_projector."};
  size_t count = 0;
  for (const TensorInfo& tensor : expected.tensors()) {
    if (tensor.name.starts_with(seeing[0]) || tensor.name.starts_with(seeing[1])) continue;
    ++count;
    const std::string name = tensor.name.starts_with(inner) ? "model." + tensor.name.substr(inner.size()) : tensor.name;
    if (name == "rope_freqs.weight") {  // computed by either writer on its own
      EXPECT_LE(maxError(rowsOf(found, name), rowsOf(expected, name)), 1e-6);
    } else {
      EXPECT_EQ(rowsOf(found, name), rowsOf(expected, tensor.name)) << name;
    }
  }
  EXPECT_EQ(found.tensors().size(), count);
}

std::vector<GgufEntry> tokenizerOf(const GgufFile& file) {
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with("tokenizer.")) entries.push_back({key, file.storedValue(key)});
  return entries;
}

TEST_P(Export, ReadsTheSameRowsFromBothFilesAndFromMemory) {
  const auto folder = checkpointRows(path("model"), pool_), gguf = checkpointRows(path("model.gguf"), pool_);
  const auto resident = residentRows(loadFixture(path("model"), backendFactories().front()));
  for (const ExportTensor& tensor : exportTensors(folder->config(), !folder->config().tiedHead)) {
    const std::vector<float> expected = rowsOf(*folder, tensor);
    EXPECT_EQ(rowsOf(*gguf, tensor), expected) << tensor.name;
    EXPECT_EQ(rowsOf(*resident, tensor), expected) << tensor.name;
    if (!tensor.isMatrix()) continue;
    std::vector<float> part(static_cast<size_t>(3 * tensor.columns()));
    gguf->read(tensor, 5, 3, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), expected.begin() + 5 * tensor.columns())) << tensor.name;
  }
}

TEST_P(Export, WritesTheTensorsOfEitherKindFromTheOther) {
  const auto gguf = checkpointRows(path("model.gguf"), pool_), folder = checkpointRows(path("model"), pool_);
  exportSafetensors(*gguf, {folder_.path().string(), DType::kF32, uint64_t{1} << 40, nullptr}, pool_, {});
  expectSameTensors(*openSafetensors(folder_.file("model.safetensors")), *openSafetensors(path("model")));
  exportGguf(*folder, {folder_.file("made.gguf"), DType::kF32, nullptr, tokenizerOf(*openGguf(path("model.gguf")))},
             pool_, {});
  expectSameTensors(*openGguf(folder_.file("made.gguf")), *openGguf(path("model.gguf")));
}

TEST_P(Export, WritesAGgufWhoseConfigurationIsTheFolders) {
  const auto folder = checkpointRows(path("model"), pool_);
  const auto original = openGguf(path("model.gguf"));
  exportGguf(*folder, {folder_.file("made.gguf"), DType::kBF16, nullptr, tokenizerOf(*original)}, pool_, {});
  const ModelConfig made = readModelConfig(folder_.file("made.gguf")), own = folder->config();
  EXPECT_EQ(made.attentionScale, own.attentionScale);
  EXPECT_EQ(made.layerIsLocal, own.layerIsLocal);
  EXPECT_EQ(made.window, own.window);
  EXPECT_EQ(made.rope.base, own.rope.base);
  if (own.rope.scaling == RopeSpec::Scaling::kLlama3) {
    EXPECT_EQ(made.rope.divisors, rotaryDivisors(own.rope, own.headDim));
  } else {
    EXPECT_TRUE(made.rope.divisors.empty());
    EXPECT_EQ(made.rope.scaling, own.rope.scaling);
    EXPECT_EQ(made.rope.factor, own.rope.factor);
  }
  EXPECT_EQ(made.architecture, own.architecture);
  EXPECT_EQ(made.qkvBias, own.qkvBias);
  EXPECT_EQ(made.qkNorm, own.qkNorm);
  EXPECT_EQ(made.ropeLocal.base, own.ropeLocal.base);
  EXPECT_EQ(made.contextLength, own.contextLength);
  EXPECT_EQ(made.headDim, own.headDim);
  EXPECT_EQ(made.rmsEps, own.rmsEps);
  EXPECT_EQ(made.tiedHead, own.tiedHead);
}

TEST_P(Export, MergesAnAdapterAsItIsComputed) {
  const Fixture reference(GetParam());
  for (const std::string& name : adapters()) {
    const auto base = checkpointRows(path("model"), pool_);
    const HostAdapter adapter = readPeftAdapter(base->config(), path(name));
    exportSafetensors(*base, {folder_.path().string(), DType::kF32, uint64_t{1} << 40, &adapter}, pool_, {});
    const auto merged = openSafetensors(folder_.file("model.safetensors"));
    const auto peft = openSafetensors(path(name) + "/adapter_model.safetensors");
    const AdapterSpec& spec = adapter.layout.spec();
    const std::string modules = base->config().modulePath;
    size_t changed = 0;
    for (const ExportTensor& tensor : exportTensors(base->config(), !base->config().tiedHead)) {
      const std::vector<float> before = rowsOf(*base, tensor), after = rowsOf(*merged, tensor.name);
      const AdapterSlot* slot = slotOf(adapter, tensor);
      if (slot == nullptr) {
        if (tensor.isMatrix()) {
          EXPECT_EQ(after, before) << tensor.name;
        }
        continue;
      }
      ++changed;
      const std::vector<float> a = rowsOf(*peft, keyOf(*slot, 'A', modules)),
                               b = rowsOf(*peft, keyOf(*slot, 'B', modules));
      for (int64_t o = 0; o < slot->out; ++o) {
        for (int64_t i = 0; i < slot->in; ++i) {
          double sum = 0;
          for (int64_t r = 0; r < spec.rank; ++r)
            sum += static_cast<double>(b[static_cast<size_t>(o * spec.rank + r)]) *
                   static_cast<double>(a[static_cast<size_t>(r * slot->in + i)]);
          const auto at = static_cast<size_t>(o * slot->in + i);
          ASSERT_EQ(after[at],
                    static_cast<float>(static_cast<double>(before[at]) + static_cast<double>(spec.scale()) * sum))
              << tensor.name;
        }
      }
    }
    EXPECT_EQ(changed, adapter.layout.slots().size());
  }
}

// base + scale · B·A, all in GGUF's order of rows, must be the merged GGUF.
TEST_P(Export, WritesGgufAdaptersInTheBaseFilesOrderOfRows) {
  for (const std::string& name : adapters()) {
    const auto base = checkpointRows(path("model.gguf"), pool_);
    const HostAdapter adapter = readPeftAdapter(base->config(), path(name));
    exportGguf(*base, {folder_.file("merged.gguf"), DType::kF32, &adapter, {}}, pool_, {});
    exportGgufAdapter(base->config(), adapter, folder_.file("lora.gguf"), DType::kF32, {ggufText("general.name", "x")});
    const auto original = openGguf(path("model.gguf")), merged = openGguf(folder_.file("merged.gguf")),
               lora = openGguf(folder_.file("lora.gguf"));
    EXPECT_EQ(lora->text("general.type"), "adapter");
    EXPECT_EQ(lora->text("adapter.type"), "lora");
    EXPECT_EQ(lora->text("general.architecture"), original->text("general.architecture"));
    EXPECT_EQ(lora->tensors().size(), 2 * adapter.layout.slots().size());
    for (const TensorInfo& tensor : lora->tensors()) {
      if (!tensor.name.ends_with(".lora_a")) continue;
      const std::string target = tensor.name.substr(0, tensor.name.size() - 7);
      const std::vector<float> a = rowsOf(*lora, tensor.name), b = rowsOf(*lora, target + ".lora_b"),
                               before = rowsOf(*original, target), after = rowsOf(*merged, target);
      const int64_t rank = tensor.shape[0], in = tensor.shape[1], out = static_cast<int64_t>(before.size()) / in;
      std::vector<float> found(before.size());
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t i = 0; i < in; ++i) {
          double sum = 0;
          for (int64_t r = 0; r < rank; ++r)
            sum += static_cast<double>(b[static_cast<size_t>(o * rank + r)]) *
                   static_cast<double>(a[static_cast<size_t>(r * in + i)]);
          const auto at = static_cast<size_t>(o * in + i);
          found[at] = static_cast<float>(static_cast<double>(before[at]) +
                                         lora->number("adapter.lora.alpha") / static_cast<double>(rank) * sum);
        }
      }
      EXPECT_LE(maxError(found, after), 1e-6) << target;
    }
  }
}

TEST_P(Export, FindsEveryTruncation) {
  const auto rows = checkpointRows(path("model.gguf"), pool_);
  exportSafetensors(*rows, {folder_.path().string(), DType::kBF16, uint64_t{1} << 40, nullptr}, pool_, {});
  exportGguf(*rows, {folder_.file("made.gguf"), DType::kBF16, nullptr, {}}, pool_, {});
  for (const std::string name : {"model.safetensors", "made.gguf"}) {
    const std::string whole = readFile(folder_.file(name));
    const std::string cut = folder_.file("cut-" + name);
    for (size_t i = 0; i < 60; ++i) {
      const size_t length = i < 40 ? whole.size() * i / 40 : whole.size() - 33 - (i - 40);
      writeFile(cut, whole.substr(0, length));
      const auto error = errorOf([&] {
        if (name == "made.gguf") {
          openGguf(cut);
        } else {
          openSafetensors(cut);
        }
      });
      ASSERT_TRUE(error) << name << " cut to " << length;
      EXPECT_EQ(error->code(), ErrorCode::kFileDamaged) << name << " cut to " << length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Export,
                         ::testing::Values("llama-tiny", "smol-tiny", "gemma3-tiny", "zoo/llama3-scaled",
                                           "zoo/mistral-window", "zoo/mistral-spm", "zoo/qwen2", "zoo/qwen3",
                                           "zoo/gemma3-conditional"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

// What the two types next to a value are, to see that the stored one is the nearest.
float decode(DType dtype, uint16_t bits) { return dtype == DType::kF16 ? halfToFloat(bits) : bfloat16ToFloat(bits); }

TEST(ExportEncode, RoundsTheMergedWeightOnceToTheNearest) {
  constexpr int64_t kIn = 257;
  constexpr int32_t kRank = 5;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> w(kIn), a(kRank * kIn), b(kRank);
  for (auto* values : {&w, &a, &b})
    for (float& value : *values) value = normal(random) * 0.1f;
  const LoraTerm term{kRank, 1.7, a.data(), b.data(), 1};
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> stored(kIn);
    encodeRows(w.data(), 0, 1, kIn, &term, dtype, reinterpret_cast<uint8_t*>(stored.data()));
    for (size_t i = 0; i < stored.size(); ++i) {
      double sum = 0;
      for (size_t r = 0; r < kRank; ++r) sum += static_cast<double>(b[r]) * static_cast<double>(a[r * kIn + i]);
      const double exact = static_cast<double>(w[i]) + 1.7 * sum;
      const double error = std::abs(static_cast<double>(decode(dtype, stored[i])) - exact);
      for (const int step : {-1, 1}) {
        const auto other = static_cast<uint16_t>(stored[i] + step);
        EXPECT_LE(error, std::abs(static_cast<double>(decode(dtype, other)) - exact)) << i;
      }
    }
  }
}

// By way of float32 this would be a tie, and go down.
TEST(ExportEncode, DoesNotRoundTwice) {
  const float one = 1, a = 1, b = 1;
  for (const auto& [dtype, half, up] :
       {std::tuple(DType::kBF16, 0x1p-8, 0x3F81), std::tuple(DType::kF16, 0x1p-11, 0x3C01)}) {
    const LoraTerm term{1, half + 0x1p-40, &a, &b, 1};
    uint16_t stored = 0;
    encodeRows(&one, 0, 1, 1, &term, dtype, reinterpret_cast<uint8_t*>(&stored));
    EXPECT_EQ(stored, up);
  }
}

TEST(ExportGguf, KeepsExactTypesOfMetadata) {
  const TempDir folder;
  const std::string file = folder.file("a.gguf");
  const std::vector<GgufEntry> entries = {ggufU32("u", 7),
                                          ggufF32("f", 0.5f),
                                          ggufBool("b", true),
                                          ggufText("t", "ä"),
                                          ggufTexts("ts", {"", "x"}),
                                          ggufI32s("is", {-1, 2}),
                                          ggufF32s("fs", {1.5f}),
                                          ggufBools("bs", {true, false})};
  GgufStream stream(file, entries, {{"w", DType::kF32, {3, 2}}, {"v", DType::kBF16, {5}}});
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};
  stream.write(w.data(), 24);
  const std::vector<uint16_t> v(5, 0x3F80);
  stream.write(v.data(), 10);
  stream.commit();
  const auto made = openGguf(file);
  for (const GgufEntry& entry : entries) EXPECT_EQ(made->storedValue(entry.key), entry.value) << entry.key;
  EXPECT_EQ(made->integer("u"), 7);
  EXPECT_EQ(std::get<std::vector<std::string>>(made->metadata().at("ts")), (std::vector<std::string>{"", "x"}));
  EXPECT_EQ(std::get<std::vector<bool>>(made->metadata().at("bs")), (std::vector<bool>{true, false}));
  EXPECT_EQ(rowsOf(*made, "w"), w);
  EXPECT_EQ(rowsOf(*made, "v"), std::vector<float>(5, 1.0f));
  expectError(ErrorCode::kInvalidArgument, {"twice"}, [&] {
    GgufStream(folder.file("b.gguf"), {ggufU32("u", 1), ggufU32("u", 2)}, {});
  });
  expectError(ErrorCode::kInternal, {"not complete"}, [&] {
    GgufStream half(folder.file("b.gguf"), {}, {{"w", DType::kF32, {3}}});
    half.commit();
  });
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.gguf"});
}

TEST(ExportGguf, RefusesAnotherNumberOfTokensThanRows) {
  const TempDir folder;
  ThreadPool pool(1);
  const auto rows = checkpointRows(fixture("smol-tiny/model"), pool);
  const GgufExport options{folder.file("a.gguf"), DType::kF32, nullptr, {ggufTexts("tokenizer.ggml.tokens", {"a"})}};
  expectError(ErrorCode::kInvalidArgument, {"token for each of the"}, [&] { exportGguf(*rows, options, pool, {}); });
}

// Llama 3's stretched frequencies go through a GGUF as divisors and come back as the rule that they are.
TEST(ExportConfig, GivesLlama3ScalingBack) {
  const auto rows = [] {
    ThreadPool pool(1);
    return checkpointRows(fixture("llama-tiny/model"), pool)->config();
  }();
  ModelConfig config = rows;
  config.rope.base = 500000;
  config.rope.scaling = RopeSpec::Scaling::kLlama3;
  config.rope.factor = 32;
  config.rope.lowFreqFactor = 1;
  config.rope.highFreqFactor = 4;
  config.rope.originalContext = 8192;
  ModelConfig divided = config;
  divided.rope.scaling = RopeSpec::Scaling::kNone;
  divided.rope.divisors = rotaryDivisors(config.rope, config.headDim);
  const auto json = nlohmann::json::parse(configJson(divided, "x.gguf"));
  EXPECT_EQ(json["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(json["rope_scaling"]["factor"], 32.0);
  EXPECT_EQ(json, nlohmann::json::parse(configJson(config, "x.gguf")));
  config.rope.originalContext = 3000;
  divided.rope.divisors = rotaryDivisors(config.rope, config.headDim);
  EXPECT_EQ(nlohmann::json::parse(configJson(divided, "x.gguf"))["rope_scaling"]["original_max_position_embeddings"],
            3000);
  divided.rope.divisors[1] = 3;
  expectError(ErrorCode::kModelUnsupported, {"rope_freqs.weight", "element 1 is 3", "export as gguf"},
              [&] { configJson(divided, "x.gguf"); });
}

TEST(ExportFiles, SayThatTheDiskIsFullAndLeaveNothing) {
  const TempDir folder;
  ThreadPool pool(1);
  const auto rows = checkpointRows(fixture("smol-tiny/model.gguf"), pool);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{200'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const auto safetensors = errorOf([&] {
    exportSafetensors(*rows, {folder.path().string(), DType::kF32, uint64_t{1} << 40, nullptr}, pool, {});
  });
  const auto gguf = errorOf([&] { exportGguf(*rows, {folder.file("a.gguf"), DType::kF32, nullptr, {}}, pool, {}); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  for (const auto* error : {&safetensors, &gguf}) {
    ASSERT_TRUE(*error);
    EXPECT_EQ((*error)->code(), ErrorCode::kFileIo) << (*error)->what();
  }
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace mlit::test
