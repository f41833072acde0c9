// Small models of each family on the CUDA backend and on the CPU, made from a seed: the base's bfloat16 weights are the same
// numbers in both.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <vector>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/device_under_test.h"
#include "bench/gpu/seeded_model.h"
#include "core/philox.h"
#include "test/model_support.h"

namespace mlit::bench {
inline void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }
}  // namespace mlit::bench

namespace mlit::test {

using bench::Family;

// Heads of 8, 12 and 16, grouped and not; windows shorter than a document; a head of its own. Gemma's sixth layer is a global one.
inline constexpr bench::Shape kFamilies[] = {
    {"gemma3", Family::kGemma3, 32, 6, 48, 4, 1, 16, 402, 512, true, 8},
    {"llama3", Family::kLlama3, 32, 2, 48, 4, 2, 8, 322, 256, false, 0},
    {"mistral", Family::kMistral, 32, 2, 48, 4, 2, 8, 320, 256, false, 9},
    {"qwen2", Family::kQwen2, 32, 2, 48, 4, 2, 8, 321, 256, true, 0},
    {"qwen3", Family::kQwen3, 32, 2, 48, 4, 2, 12, 321, 256, true, 0},
};
inline const bench::Shape& familyShape(const std::string& name) {
  for (const bench::Shape& shape : kFamilies) {
    if (name == shape.name) return shape;
  }
  throw std::runtime_error("no family " + name);
}

inline std::shared_ptr<Backend> cardBackend() { return std::make_shared<cuda::CudaBackend>(0, device::cublasLt()); }
inline std::shared_ptr<Model> onCard(const bench::Shape& shape, WeightFormat format = WeightFormat::kBF16) {
  return bench::seededModel(shape, 1, cardBackend(), format);
}
inline std::shared_ptr<Model> onCpu(const bench::Shape& shape, WeightFormat format = WeightFormat::kBF16) {
  return bench::seededModel(shape, 1, createCpuBackend(1), format);
}

// A committed model, for tests of the emulator alone.
inline std::shared_ptr<Model> onCard(const Fixture& f) {
  Model::Options options;
  options.format = WeightFormat::kBF16;
  return Model::load(f.path("model"), cardBackend(), options);
}

inline AdapterSpec smallSpec() {
  AdapterSpec spec;
  spec.rank = 3;
  spec.alpha = 6;
  return spec;
}
inline std::shared_ptr<Adapter> smallAdapter(const std::shared_ptr<Model>& model) {
  return bench::seededAdapter(model, smallSpec(), 2);
}

// Three documents, the first six tokens of each a prompt, targets of different weight.
inline std::vector<Document> smallDocuments(const bench::Shape& shape,
                                            const std::vector<int32_t>& adapters = {0, 0, 0}) {
  std::vector<Document> documents;
  for (const size_t length : {size_t{19}, size_t{14}, size_t{11}}) {
    Document document;
    document.adapter = adapters[documents.size()];
    for (size_t i = 0; i < length; ++i) {
      const auto draw = philox(9, length, i);
      document.tokens.push_back(static_cast<int32_t>(3 + draw[0] % static_cast<uint32_t>(shape.vocabulary - 3)));
      document.weights.push_back(i < 6 ? 0.0f : 0.25f + unitFloat(draw[1]));
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

inline TrainOptions trainOptions(const Model& model) { return smallOptions(128, 7, model.config().vocabulary); }

inline AdamWParams stepParams(double learningRate, double totalWeight) {
  AdamWParams params;
  params.learningRate = static_cast<float>(learningRate);
  params.gradScale = static_cast<float>(1 / totalWeight);
  return params;
}

// A fresh card for each test, and no finding at its end.
template <class Base>
class CardTest : public Base {
 protected:
  void SetUp() override { device::begin(1); }
  void TearDown() override {
    device::expectNothingFound();
    EXPECT_EQ(device::hostCounts().liveBytes, 0u) << "device memory that nobody gave back";
  }
};
using OnCardAlone = CardTest<::testing::Test>;
template <class T>
using OnCardWith = CardTest<::testing::TestWithParam<T>>;

}  // namespace mlit::test
