// Lists that scripts keep of what is decided in the sources: bytes of shared memory, from which docs/cuda-kernels.md tells how full a
// processor is, and shapes of known models, which the roofline's page reads and the benchmark has compiled in.
#include <filesystem>
#include <fstream>
#include <numeric>
#include <tuple>

#include "backend/cuda/test/model_on_card.h"
#include "bench/gpu/shapes.h"
#include "emulation/asked.h"

namespace mlit::test {
namespace {

using nlohmann::json;

std::string scriptsFolder() { return fixture("../../scripts/cuda"); }

json readJson(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return json::parse(file);
}

// Inputs on a card that are given back with it.
struct Inputs {
  cuda::CudaBackend backend{0, device::cublasLt()};
  std::vector<DevicePtr<std::byte>> owned;

  template <class T>
  DevicePtr<std::byte> upload(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    owned.push_back(backend.allocate(bytes));
    backend.upload(owned.back(), values.data(), bytes);
    return owned.back();
  }
  DevI32 integers(const std::vector<int32_t>& values) { return upload(values).as<int32_t>(); }
  DevF32 floats(int64_t n) { return upload(std::vector<float>(static_cast<size_t>(n), 1.0f)).as<float>(); }
  DevReal reals(int64_t n) {
    return {upload(std::vector<uint16_t>(static_cast<size_t>(n), 0x3F00)), ElementType::kBF16};  // 0.5
  }
  ~Inputs() {
    for (const DevicePtr<std::byte> each : owned) backend.release(each, 0);
  }
};

using DynamicShared = OnCardAlone;
TEST_F(DynamicShared, IsWhatTheListHas) {
  const json list = readJson(scriptsFolder() + "/dynamic-shared.json");
  json seen;
  const auto take = [&](const std::string& name, const std::string& argument = "") {
    const auto asked =
        emulation::dynamicBytes().find(name == "overRows" && argument.ends_with("128") ? "weightGradient" : name);
    ASSERT_NE(asked, emulation::dynamicBytes().end()) << name;
    (argument.empty() ? seen[name] : seen[name][argument]) = asked->second;
  };

  Inputs in;
  constexpr int32_t kRows = 64;  // and so for the prompts' kernel as well
  std::vector<int32_t> positions(kRows), pages(kRows / kKvPageTokens);
  const std::vector<int32_t> tables(kRows, 0), lengths = {0, kRows};
  std::iota(positions.begin(), positions.end(), 0), std::iota(pages.begin(), pages.end(), 0);
  for (const int32_t dim : {32, 64, 128, 256}) {
    const AttentionShape shape{2, 1, dim, 0.125f, 0};
    const int64_t width = int64_t{2} * dim, n = kRows * width;
    const DevReal q = in.reals(n), k = in.reals(n), v = in.reals(n), out = in.reals(n), dq = in.reals(n),
                  dk = in.reals(n), dv = in.reals(n);
    const DevF32 lse = in.floats(kRows * 2), delta = in.floats(kRows * 2);
    in.backend.attentionForward(shape, lengths, q, width, k, v, dim, out, width, lse);
    in.backend.attentionBackward(shape, lengths, q, width, k, v, dim, out, out, width, lse, delta, dq, width, dk, dv,
                                 dim);
    in.backend.attentionCached(shape, q, width, kRows, in.integers(positions), in.integers(tables), in.integers(pages),
                               kRows - 1, in.reals(2 * n), out, width);
    for (const char* const kernel : {"Forward", "KeyGradient", "QueryGradient", "Cached", "Prompt"}) {
      take(std::string("attention") + kernel, std::to_string(dim));
    }
  }
  {
    const auto model = onCard(familyShape("qwen3"));
    TrainSession session(model, {smallAdapter(model)}, trainOptions(*model));
    session.forwardBackward(BatchData(smallDocuments(familyShape("qwen3"))).view());
  }
  in.backend.weightGradient(in.reals(kRows * 64), 64, kRows, in.reals(kRows * 64), 64, 64, 64, in.floats(64 * 64));
  take("intoRank"), take("outOfRank");
  take("overRows", "BlockShape<64, 64"), take("overRows", "BlockShape<128, 128");
  EXPECT_EQ(seen, list);
  for (const auto& [name, bytes] : emulation::dynamicBytes()) {
    EXPECT_TRUE(bytes == 0 || list.contains(name) || name == "weightGradient") << name << " is not in the list";
  }
}

TEST(KnownShapes, AreTheSameToTheBenchmarkAndToTheRoofline) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scriptsFolder() + "/shapes")) {
    const std::string name = entry.path().filename().string();
    const ModelConfig read = configFromHuggingFace(entry.path().string()),
                      made = bench::configOf(bench::findShape(name));
    const auto fields = [](const ModelConfig& c) {
      const auto rope = [](const RopeSpec& r) {
        return std::tuple(r.base, r.scaling, r.factor, r.lowFreqFactor, r.highFreqFactor, r.originalContext);
      };
      return std::tuple(c.architecture, c.layers, c.hidden, c.feedForward, c.heads, c.kvHeads, c.headDim, c.vocabulary,
                        c.contextLength, c.window, c.layerIsLocal, c.tiedHead, c.qkvBias, c.qkNorm, c.postNorms,
                        c.activation, c.rmsEps, c.embeddingScale, c.attentionScale, rope(c.rope), rope(c.ropeLocal));
    };
    EXPECT_EQ(fields(read), fields(made)) << name;
    ++count;
  }
  EXPECT_EQ(count, 3u);
}

}  // namespace
}  // namespace mlit::test
