// Small models on the CUDA backend and on the CPU with the same weights.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/device_under_test.h"
#include "test/model_support.h"

namespace mlit::test {

inline constexpr const char* kZoo[] = {"zoo/llama3-scaled", "zoo/mistral-window", "zoo/qwen2", "zoo/qwen3",
                                       "zoo/gemma3-conditional"};
inline constexpr const char* kFamilies[] = {"gemma3-tiny", "llama-tiny", "zoo/llama3-scaled",     "zoo/mistral-window",
                                            "zoo/qwen2",   "zoo/qwen3",  "zoo/gemma3-conditional"};

inline std::shared_ptr<Model> loadAsBf16(const Fixture& f, std::shared_ptr<Backend> backend) {
  Model::Options options;
  options.format = WeightFormat::kBF16;
  return Model::load(f.path("model"), std::move(backend), options);
}
inline std::shared_ptr<Model> onCard(const Fixture& f) {
  return loadAsBf16(f, std::make_shared<cuda::CudaBackend>(0, device::cublasLt()));
}
inline std::shared_ptr<Model> onCpu(const Fixture& f) { return loadAsBf16(f, createCpuBackend(1)); }

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
