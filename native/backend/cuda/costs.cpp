// What ops on rows, the loss, sampling and the optimiser move; products are in cost_products.cpp, attention in cost_attention.cpp.
#include "backend/cuda/costs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/sizes.h"

namespace mlit::cuda {

namespace {

constexpr double kNormPart = 16384, kMostNormParts = 2048;  // of optimizer.cu
constexpr size_t kRemembered = size_t{1} << 20;  // of uploads: tables are larger, and nobody asks for what they say

double size(DevConstReal reals) { return static_cast<double>(mlit::elementBytes(reals.type())); }
double product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

// Sums over rows, in parts that a second launch adds to what is there.
Cost columnSums(double rows, int64_t columns, double bytes) {
  constexpr double kPartRows = 128, kMostParts = 512;  // of gradients.cu
  const double width = 4.0 * static_cast<double>(columns);
  const double parts = std::clamp(std::ceil(rows / kPartRows), 1.0, kMostParts) * width;
  return {bytes + parts + width, parts + width, 0, 2};
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  readBytes += other.readBytes;
  writtenBytes += other.writtenBytes;
  tensorFlops += other.tensorFlops;
  launches += other.launches;
  return *this;
}

ElementType CostBackend::activationType() const { return kActivationType; }
size_t CostBackend::fixedBytes() const { return cudaFixedBytes(); }
size_t CostBackend::weightBytes(int64_t out, int64_t in, WeightFormat format) const {
  return cuda::weightBytes(out, in, format);
}

DevicePtr<std::byte> CostBackend::allocate(size_t bytes) {
  constexpr uintptr_t kAlignment = 256;
  const uintptr_t at = nextAddress_;
  nextAddress_ += (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  return DevicePtr<std::byte>(reinterpret_cast<std::byte*>(at));  // NOLINT: never dereferenced
}

void CostBackend::upload(DevicePtr<std::byte> to, const void* from, size_t bytes) {
  note("upload", {0, static_cast<double>(bytes), 0, 0});
  if (bytes % sizeof(int32_t) != 0 || bytes > kRemembered) return;
  std::vector<int32_t>& kept = uploads_[reinterpret_cast<uintptr_t>(to.raw())];
  kept.resize(bytes / sizeof(int32_t));
  std::memcpy(kept.data(), from, bytes);
}

void CostBackend::download(void* to, DevicePtr<const std::byte>, size_t bytes) {
  std::memset(to, 0, bytes);
  note("download", {static_cast<double>(bytes), 0, 0, 0});
}

void CostBackend::zero(DevicePtr<std::byte>, size_t bytes) { note("zero", {0, static_cast<double>(bytes), 0, 0}); }

void CostBackend::copy(DevicePtr<std::byte>, DevicePtr<const std::byte>, size_t bytes) {
  note("copy", {static_cast<double>(bytes), static_cast<double>(bytes), 0, 0});
}

std::span<const int32_t> CostBackend::integersAt(DevConstI32 at, int64_t n) const {
  const auto address = reinterpret_cast<uintptr_t>(at.raw());
  auto found = uploads_.upper_bound(address);
  if (found == uploads_.begin()) return {};
  --found;
  const size_t first = (address - found->first) / sizeof(int32_t);
  if (first + static_cast<size_t>(n) > found->second.size()) return {};
  return std::span(found->second).subspan(first, static_cast<size_t>(n));
}

int64_t CostBackend::differentAt(DevConstI32 at, int64_t n) const {
  const std::span<const int32_t> known = integersAt(at, n);
  if (known.empty()) return n;
  std::vector<int32_t> different(known.begin(), known.end());
  std::sort(different.begin(), different.end());
  return std::unique(different.begin(), different.end()) - different.begin();
}

WeightId CostBackend::createWeight(int64_t out, int64_t in, WeightFormat format) {
  weights_.push_back({out, in, format});
  return {static_cast<int32_t>(weights_.size()) - 1};
}

double CostBackend::elementsOf(WeightId weight) const { return product(weightAt(weight).out, weightAt(weight).in); }
double CostBackend::bytesOf(WeightId weight) const {
  const Weight& w = weightAt(weight);
  return static_cast<double>(cuda::weightBytes(w.out, w.in, w.format));
}

void CostBackend::refreshWeightRows(WeightId weight, int64_t, int64_t count, DevConstF32) {
  const Weight& w = weightAt(weight);
  note("refreshWeightRows", {4 * product(count, w.in), product(count, rowBytes(w.in, w.format)), 0, 1});
}

void CostBackend::gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float, DevF32) {
  const Weight& w = weightAt(weight);
  const int64_t row = rowBytes(w.in, w.format) + 4 * rowScales(w.in, w.format);
  note("gatherWeightRows",
       {product(differentAt(ids, n), row) + 4.0 * static_cast<double>(n), 4 * product(n, w.in), 0, n > 0});
}

void CostBackend::rmsNormWeightGradient(DevConstReal dy, int64_t, DevConstReal x, HeadRows rows, DevConstF32, DevF32) {
  const double groups = product(rows.rows, rows.heads);
  note("rmsNormWeightGradient",
       columnSums(groups, rows.dim, groups * (rows.dim * (size(dy) + size(x)) + sizeof(float))));
}

void CostBackend::biasGradient(DevConstReal dy, int64_t, int64_t rows, int64_t n, DevF32) {
  note("biasGradient", columnSums(static_cast<double>(rows), n, product(rows, n) * size(dy)));
}

void CostBackend::gatherGradient(DevConstF32, DevConstI32, int64_t n, int64_t d, float, DevF32) {
  note("gatherGradient", {8 * product(n, d), 4 * product(n, d), 0, 1});
}

void CostBackend::rmsNormForward(DevConstReal x, HeadRows rows, DevConstF32, float, DevReal y, int64_t,
                                 DevConstF32 addTo, DevF32 invRms) {
  const double groups = product(rows.rows, rows.heads), n = groups * rows.dim;
  note("rmsNormForward",
       {n * size(x) + 4.0 * rows.dim + (addTo ? 4 * n : 0), n * size(y) + (invRms ? 4 * groups : 0), 0, n > 0});
}

void CostBackend::rmsNormBackward(DevConstReal dy, int64_t, DevConstReal x, HeadRows rows, DevConstF32, DevConstF32,
                                  DevReal dx, int64_t, bool accumulate) {
  const double groups = product(rows.rows, rows.heads), n = groups * rows.dim;
  note("rmsNormBackward",
       {n * (size(dy) + size(x) + (accumulate ? size(dx) : 0)) + 4 * groups + 4.0 * rows.dim, n * size(dx), 0, n > 0});
}

void CostBackend::rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32, int) {
  const double n = product(rows.rows, rows.heads) * rows.dim;
  const double table = 4 * product(differentAt(positions, rows.rows), rows.dim);
  note("rope", {n * size(x) + 4.0 * static_cast<double>(rows.rows) + table, n * size(x), 0, n > 0});
}

void CostBackend::gatedForward(GatedActivation, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) {
  const double n = product(rows, f);
  note("gatedForward", {2 * n * size(gateUp), n * size(h), 0, n > 0});
}

void CostBackend::gatedBackward(GatedActivation, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh, DevReal h) {
  const double n = product(rows, f);
  note("gatedBackward", {n * (2 * size(gateUp) + size(dh)), n * (2 * size(gateUp) + (h ? size(h) : 0)), 0, n > 0});
}

void CostBackend::add(DevF32, DevConstReal x, int64_t n) {
  const auto elements = static_cast<double>(n);
  note("add", {elements * (4 + size(x)), 4 * elements, 0, n > 0});
}

void CostBackend::addToRows(DevReal y, int64_t, int64_t rows, DevConstF32, int64_t n) {
  const double elements = product(rows, n);
  note("addToRows", {elements * size(y) + 4.0 * static_cast<double>(n), elements * size(y), 0, elements > 0});
}

void CostBackend::scale(DevF32, float, int64_t n) {
  note("scale", {4.0 * static_cast<double>(n), 4.0 * static_cast<double>(n), 0, n > 0});
}

void CostBackend::gatherRows(DevConstReal x, int64_t, DevConstI32, int64_t n, int64_t d, DevReal) {
  const double elements = product(n, d);
  note("gatherRows", {elements * size(x) + 4.0 * static_cast<double>(n), elements * size(x), 0, elements > 0});
}

void CostBackend::scatterRows(DevConstReal in, DevConstI32, int64_t n, int64_t d, DevReal x, int64_t, bool accumulate) {
  const double elements = product(n, d);
  note("scatterRows", {elements * (size(in) + (accumulate ? size(x) : 0)) + 4.0 * static_cast<double>(n),
                       elements * size(x), 0, elements > 0});
}

void CostBackend::crossEntropy(DevF32, int64_t n, int64_t vocabulary, DevConstI32, DevConstF32 weights, DevF32) {
  const double logits = product(n, vocabulary), rows = static_cast<double>(n);
  const double gradient = weights ? logits * static_cast<double>(mlit::elementBytes(kActivationType)) : 0;
  note("crossEntropy", {4 * logits + (weights ? 8 : 4) * rows, gradient + 4 * rows, 0, n > 0});
}

// Every row's logits are looked at for the maximum, those of rows that draw once more for the masses, and one chunk for the token.
// How much finer top-k and top-p have to look depends on the numbers, and is left out.
void CostBackend::sampleRows(DevF32, int64_t n, int64_t vocabulary, int64_t, std::span<const SampleParams> params,
                             DevI32, DevF32) {
  constexpr int64_t kChunk = 512;
  constexpr double kOfChunk = 20, kOfRow = 8,
                   kAsked = 24;  // bytes: of what launches leave each other, results, SampleRow
  const auto drawing = std::ranges::count_if(params, [](const SampleParams& each) { return each.temperature > 0; });
  const auto rows = static_cast<double>(n);
  const double left = product(n, (vocabulary + kChunk - 1) / kChunk) * kOfChunk;
  note("sampleRows",
       {4 * product(n + drawing, vocabulary) + 4 * product(n, std::min(vocabulary, kChunk)) + left + kAsked * rows,
        left + (kOfRow + kAsked) * rows, 0, n > 0 ? 3 : 0});
}

void CostBackend::sumSquares(DevConstF32, int64_t n, DevF32) {
  const double parts = 8.0 * std::min(std::ceil(static_cast<double>(n) / kNormPart), kMostNormParts);
  note("sumSquares", {4.0 * static_cast<double>(n) + parts, 4 + parts, 0, 2});
}

void CostBackend::adamW(DevF32, DevConstF32, DevF32, DevF32, int64_t n, DevConstF32, const AdamWParams&) {
  note("adamW", {16.0 * static_cast<double>(n), 12.0 * static_cast<double>(n), 0, n > 0});
}

}  // namespace mlit::cuda
