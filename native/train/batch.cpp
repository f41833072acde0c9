// Every number of a batch becomes an address sooner or later, so every one is checked here, once.
#include "train/batch.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"

namespace mlit {

namespace {

[[noreturn]] void refuse(const std::string& field, const std::string& value, const std::string& expected) {
  throw Error(ErrorCode::kInvalidArgument, "batch: " + field + " is " + value + ", expected " + expected,
              {{"field", field}, {"value", value}, {"expected", expected}});
}

std::string at(const char* field, size_t index) { return std::string(field) + "[" + std::to_string(index) + "]"; }

void checkLengths(const PackedBatch& b, const BatchLimits& limits) {
  const size_t n = b.tokens.size();
  const auto length = [&](const char* field, size_t found, size_t expected) {
    if (found != expected)
      refuse(std::string("the length of ") + field, std::to_string(found), std::to_string(expected));
  };
  if (n == 0) refuse("the number of tokens", "0", "at least 1");
  if (static_cast<int64_t>(n) > limits.maxTokens) {
    refuse("the number of tokens", std::to_string(n), "at most microTokens = " + std::to_string(limits.maxTokens));
  }
  length("positions", b.positions.size(), n);
  length("targets", b.targets.size(), n);
  length("weights", b.weights.size(), n);
  if (b.cuSeqlens.size() < 2) refuse("the length of cuSeqlens", std::to_string(b.cuSeqlens.size()), "documents + 1");
  length("adapters", b.adapters.size(), b.cuSeqlens.size() - 1);
  if (!b.records.empty()) length("records", b.records.size(), b.cuSeqlens.size() - 1);
}

void checkDocuments(const PackedBatch& b, const BatchLimits& limits) {
  if (b.cuSeqlens.front() != 0) refuse("cuSeqlens[0]", std::to_string(b.cuSeqlens.front()), "0");
  for (size_t i = 1; i < b.cuSeqlens.size(); ++i) {
    if (b.cuSeqlens[i] <= b.cuSeqlens[i - 1]) {
      refuse(at("cuSeqlens", i), std::to_string(b.cuSeqlens[i]),
             "more than " + std::to_string(b.cuSeqlens[i - 1]) + ": no document is empty");
    }
  }
  if (b.cuSeqlens.back() != static_cast<int32_t>(b.tokens.size())) {
    refuse("the last of cuSeqlens", std::to_string(b.cuSeqlens.back()),
           "the number of tokens, " + std::to_string(b.tokens.size()));
  }
  for (size_t i = 0; i < b.adapters.size(); ++i) {
    if (!limits.bareBase && b.adapters[i] != 0)
      refuse(at("adapters", i), std::to_string(b.adapters[i]), "0, the model itself: it is being tuned in full");
    if (!b.records.empty() && b.records[i] < 0) refuse(at("records", i), std::to_string(b.records[i]), "0 or more");
    if (b.adapters[i] < -1 || b.adapters[i] >= limits.adapters) {
      refuse(at("adapters", i), std::to_string(b.adapters[i]), "-1 to " + std::to_string(limits.adapters - 1));
    }
  }
}

void checkTokens(const PackedBatch& b, const BatchLimits& limits) {
  const std::string ids = "0 to " + std::to_string(limits.vocabulary - 1);
  for (size_t i = 0; i < b.tokens.size(); ++i) {
    if (b.tokens[i] < 0 || b.tokens[i] >= limits.vocabulary) refuse(at("tokens", i), std::to_string(b.tokens[i]), ids);
    if (b.targets[i] < -1 || b.targets[i] >= limits.vocabulary) {
      refuse(at("targets", i), std::to_string(b.targets[i]), "-1 (none) or " + ids);
    }
    if (b.positions[i] < 0 || b.positions[i] >= limits.positions) {
      refuse(at("positions", i), std::to_string(b.positions[i]),
             "0 to " + std::to_string(limits.positions - 1) + " (context and microTokens)");
    }
    if (!std::isfinite(b.weights[i])) refuse(at("weights", i), std::to_string(b.weights[i]), "a finite number");
    if (b.weights[i] != 0 && b.targets[i] < 0)
      refuse(at("weights", i), std::to_string(b.weights[i]), "0, since this row has no target");
  }
}

}  // namespace

void readBatch(const PackedBatch& packed, const BatchLimits& limits, Supervision supervision, Batch& batch) {
  checkLengths(packed, limits);
  checkDocuments(packed, limits);
  checkTokens(packed, limits);
  batch.tokens.assign(packed.tokens.begin(), packed.tokens.end());
  batch.positions.assign(packed.positions.begin(), packed.positions.end());
  batch.cuSeqlens.assign(packed.cuSeqlens.begin(), packed.cuSeqlens.end());
  batch.records.clear(), batch.rowRecords.clear(), batch.rowPositions.clear();
  batch.rows.clear(), batch.targets.clear(), batch.weights.clear(), batch.owners.clear();
  std::vector<AdapterRows> all, supervised;
  for (size_t document = 0; document + 1 < packed.cuSeqlens.size(); ++document) {
    const int32_t begin = packed.cuSeqlens[document], end = packed.cuSeqlens[document + 1],
                  adapter = packed.adapters[document];
    const auto firstSupervised = static_cast<int32_t>(batch.rows.size());
    for (int32_t row = begin; row < end; ++row) {
      const auto i = static_cast<size_t>(row);
      if (packed.targets[i] < 0 || (supervision == Supervision::kWeighted && packed.weights[i] == 0)) continue;
      batch.rows.push_back(row);
      batch.targets.push_back(packed.targets[i]);
      batch.weights.push_back(packed.weights[i]);
      batch.owners.push_back(adapter < 0 ? limits.adapters : adapter);
    }
    if (!packed.records.empty()) {
      batch.records.resize(static_cast<size_t>(end), packed.records[document]);
      batch.rowRecords.resize(batch.rows.size(), packed.records[document]);
    }
    all.push_back({begin, end, adapter});
    supervised.push_back({firstSupervised, static_cast<int32_t>(batch.rows.size()), adapter});
  }
  if (static_cast<int64_t>(batch.rows.size()) > limits.maxTargets) {
    refuse("the number of rows with a target", std::to_string(batch.rows.size()),
           "at most maxTargets = " + std::to_string(limits.maxTargets));
  }
  batch.all = {static_cast<int64_t>(packed.tokens.size()), mergeAdapterRows(all), {}};
  batch.supervised = {static_cast<int64_t>(batch.rows.size()), mergeAdapterRows(supervised), {}};
  for (const int32_t row : batch.rows) batch.rowPositions.push_back(batch.positions[static_cast<size_t>(row)]);
}

}  // namespace mlit
