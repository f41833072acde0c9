// Documents, packed batches and the committed references, in the shape that model and training tests want them.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "backend_cases.h"
#include "checkpoint/json_file.h"
#include "checkpoint/peft.h"
#include "checkpoint/safetensors.h"
#include "model/adapter.h"
#include "support.h"
#include "train/session.h"

namespace mlit::test {

struct Document {
  std::vector<int32_t> tokens;
  std::vector<float> weights;  // of tokens[i] as a target
  int32_t adapter = 0;
};

inline Document documentOf(const nlohmann::json& json, int32_t adapter = 0) {
  Document document{json["tokens"].get<std::vector<int32_t>>(), {}, adapter};
  if (json.contains("weights")) document.weights = json["weights"].get<std::vector<float>>();
  return document;
}

// Every token but the first is a target of weight 1.
inline Document plainDocument(const std::vector<int32_t>& tokens, int32_t adapter = 0) {
  std::vector<float> weights(tokens.size(), 1.0f);
  weights[0] = 0;
  return {tokens, weights, adapter};
}

// Owns the arrays of a PackedBatch.
struct BatchData {
  std::vector<int32_t> tokens, positions, cuSeqlens = {0}, targets, adapters, records;
  std::vector<float> weights;

  explicit BatchData(const std::vector<Document>& documents) {
    for (const Document& document : documents) {
      for (size_t i = 0; i < document.tokens.size(); ++i) {
        const bool last = i + 1 == document.tokens.size();
        tokens.push_back(document.tokens[i]);
        positions.push_back(static_cast<int32_t>(i));
        targets.push_back(last ? -1 : document.tokens[i + 1]);
        weights.push_back(last ? 0.0f : document.weights[i + 1]);
      }
      cuSeqlens.push_back(static_cast<int32_t>(tokens.size()));
      adapters.push_back(document.adapter);
    }
  }
  PackedBatch view() const { return {tokens, positions, cuSeqlens, targets, weights, adapters, records}; }
};

// One family's folder of test/fixtures.
struct Fixture {
  std::string family;
  nlohmann::json expected;
  std::unique_ptr<TensorSource> tensors;

  explicit Fixture(const std::string& name)
      : family(name),
        expected(readJsonFile(path("expected.json"))),
        tensors(openSafetensors(path("expected.safetensors"))) {}
  std::string path(const std::string& below) const { return fixture(family + "/" + below); }

  std::vector<float> tensor(const std::string& name) const {
    const TensorInfo* info = tensors->find(name);
    if (info == nullptr) throw std::runtime_error("the fixture has no tensor " + name);
    std::vector<float> values(static_cast<size_t>(elementCount(info->shape)));
    tensors->readRows(*info, 0, info->shape.size() > 1 ? elementCount(info->shape) / info->shape.back() : 1,
                      values.data());
    return values;
  }
  std::vector<Document> packedDocuments(const std::vector<int32_t>& adapterOf = {0, 0, 0}) const {
    std::vector<Document> documents;
    for (const auto& json : expected["packed"]["documents"])
      documents.push_back(documentOf(json, adapterOf[documents.size()]));
    return documents;
  }
  std::vector<int32_t> sequence(const std::string& name) const {
    return expected["sequences"][name].get<std::vector<int32_t>>();
  }
};

inline double maxAbs(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values)
    largest = std::isfinite(value) ? std::max(largest, std::abs(static_cast<double>(value))) : INFINITY;
  return largest;
}

// Largest difference relative to the reference's largest element; infinite where anything is not a number.
inline double maxError(const std::vector<float>& found, const std::vector<float>& reference) {
  if (found.size() != reference.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - static_cast<double>(reference[i]));
    largest = std::isfinite(difference) ? std::max(largest, difference) : INFINITY;
  }
  return largest / std::max(maxAbs(reference), 1e-30);
}

// Relative error in the L2 norm.
inline double l2Error(const std::vector<float>& found, const std::vector<float>& reference) {
  if (found.size() != reference.size()) return INFINITY;
  double difference = 0, total = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double delta = static_cast<double>(found[i]) - static_cast<double>(reference[i]);
    difference += delta * delta;
    total += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
  }
  const double error = std::sqrt(difference / std::max(total, 1e-60));
  return std::isfinite(error) ? error : INFINITY;
}

// One factor of a flat vector in the form that files have: A [rank, in], B [out, rank].
inline std::vector<float> factorOf(const AdapterLayout& layout, const std::vector<float>& flat, const AdapterSlot& slot,
                                   char factor) {
  const int64_t rank = layout.spec().rank;
  if (factor == 'A') return {flat.begin() + slot.aOffset, flat.begin() + slot.aOffset + rank * slot.in};
  std::vector<float> b(static_cast<size_t>(rank * slot.out));
  for (int64_t r = 0; r < rank; ++r) {
    for (int64_t o = 0; o < slot.out; ++o)
      b[static_cast<size_t>(o * rank + r)] = flat[static_cast<size_t>(slot.bOffset + r * slot.out + o)];
  }
  return b;
}

inline std::string keyOf(const AdapterSlot& slot, char factor, const std::string& modulePath = "model.") {
  return peftTensorName(modulePath, slot.layer, projectionName(slot.projection), factor);
}

// Largest l2Error over all factors against fixture tensors prefix + key; `scale` multiplies what was found.
inline double worstFactorError(const Fixture& fixture, const std::string& prefix, const AdapterLayout& layout,
                               std::vector<float> flat, float scale, const std::string& modulePath = "model.") {
  for (float& value : flat) value *= scale;
  double worst = 0;
  for (const AdapterSlot& slot : layout.slots()) {
    for (const char factor : {'A', 'B'}) {
      worst = std::max(worst, l2Error(factorOf(layout, flat, slot, factor),
                                      fixture.tensor(prefix + keyOf(slot, factor, modulePath))));
    }
  }
  return worst;
}

inline double sumOf(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

inline double l2Norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

inline std::shared_ptr<Model> loadFixture(const std::string& path, const BackendFactory& factory,
                                          WeightFormat format = WeightFormat::kF32) {
  Model::Options options;
  options.format = format;
  return Model::load(path, std::shared_ptr<Backend>(factory.create()), options);
}

inline TrainOptions smallOptions(int64_t maxTokens = 64, int64_t chunkRows = 7, int64_t vocabulary = 402) {
  TrainOptions options;
  options.maxTokens = maxTokens;
  options.logitsBytes = static_cast<size_t>(chunkRows * vocabulary) * sizeof(float);
  return options;
}

}  // namespace mlit::test
