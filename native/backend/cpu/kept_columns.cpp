// What products of integers keep in float32, chosen by looking at a model at work: which columns of x are large is a trait of the
// model, the same for every text.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rounded_rows.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {
namespace {

// Only rows of a vocabulary have so much in common that it is worth taking out: the same condition as for their gradients.
bool hasMean(int64_t out) { return out >= kExactLargestWidth; }

// By what the bytes say: whatever it is, it is given back.
std::vector<float> meanRow(const CpuWeight& w) {
  std::vector<double> sums(static_cast<size_t>(w.in), 0.0);
  for (int64_t o = 0; o < w.out; ++o) {
    const uint8_t* const bytes = w.dotRows(o / kPanel, 0);
    const double scale = w.scales[o];
    for (int64_t i = 0; i < w.in; ++i) sums[static_cast<size_t>(i)] += (bytes[dotPlace(i, o % kPanel)] - 128) * scale;
  }
  std::vector<float> mean;
  for (const double sum : sums) mean.push_back(static_cast<float>(sum / static_cast<double>(w.out)));
  return mean;
}

}  // namespace

size_t keptBytes(int64_t out, int64_t in) {
  const auto panels = static_cast<size_t>((out + kPanel - 1) / kPanel), columns = static_cast<size_t>(keptColumns(in));
  const size_t vectors = columns == 0 ? 0 : static_cast<size_t>(in) * (hasMean(out) ? 2 : 1);
  return (columns * panels * kPanel + vectors) * sizeof(float);
}

void CpuBackend::watchColumns(bool watch) { watching_ = watch && integers_; }

// Each row counts by the shape of its columns, not by its size: the first token's is thousands of times the others'.
void CpuBackend::noteColumns(CpuWeight& w, const float* x, int64_t ldx, int64_t rows) {
  std::vector<double>& noted = w.kept.noted;
  noted.resize(static_cast<size_t>(w.in));
  for (int64_t r = 0; r < rows; ++r) {
    const float* const row = x + r * ldx;
    const double square = std::inner_product(row, row + w.in, row, 0.0);
    if (!(square > 0) || !std::isfinite(square)) continue;
    for (int64_t i = 0; i < w.in; ++i) noted[static_cast<size_t>(i)] += double{row[i]} * row[i] / square;
  }
}

bool CpuBackend::chooseColumns(WeightId id) {
  CpuWeight& w = weightAt(id);
  KeptColumns& kept = w.kept;
  const std::vector<double> noted = std::move(kept.noted);
  kept.noted.clear();
  const int64_t count = keptColumns(w.in);
  if (noted.empty() || count == 0 || !kept.columns.empty()) return false;
  std::vector<int32_t> order(static_cast<size_t>(w.in));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return noted[static_cast<size_t>(a)] > noted[static_cast<size_t>(b)]; });
  const auto bytes = static_cast<size_t>(count * w.panels() * kPanel) * sizeof(float);
  auto* const rows = static_cast<float*>(allocatePages(bytes));
  if (rows == nullptr) {
    throw Error(ErrorCode::kOutOfMemory,
                "the system refused " + std::to_string(bytes) + " bytes for the columns of a weight [" +
                    std::to_string(w.out) + ", " + std::to_string(w.in) + "] that stay in float32",
                {{"bytes", std::to_string(bytes)}});
  }
  std::fill_n(rows, bytes / sizeof(float), 0.0f);
  std::free(kept.rows);
  kept.rows = rows;
  kept.columns.assign(order.begin(), order.begin() + count);
  std::sort(kept.columns.begin(), kept.columns.end());
  kept.mask.assign(static_cast<size_t>(w.in), 1.0f);
  if (hasMean(w.out)) kept.mean = meanRow(w);
  for (const int32_t column : kept.columns) {
    kept.mask[static_cast<size_t>(column)] = 0;
    if (!kept.mean.empty()) kept.mean[static_cast<size_t>(column)] = 0;
  }
  return true;
}

}  // namespace mlit
