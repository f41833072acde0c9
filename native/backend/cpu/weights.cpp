// Frozen weights are converted once, while a checkpoint is read row by row, into the panels that every product reads;
// no second copy exists, so gathering an embedding row walks through a panel too.
#include "backend/cpu/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "core/error.h"
#include "core/nf4.h"

namespace mlit {
namespace {

constexpr int64_t kChunk = 1024;  // inputs converted at a time: [kChunk][kPanel] floats are a quarter of a megabyte

// Of one input of a panel.
size_t inputBytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return kPanel * 4;
    case WeightFormat::kBF16:
      return kPanel * 2;
    case WeightFormat::kI8Channel:
      return kPanel;
    case WeightFormat::kNF4:
      return kPanel / 2;
  }
  return kPanel * 4;
}

size_t panelBytes(int64_t in, WeightFormat format) {
  const int64_t inputs = format == WeightFormat::kI8Channel ? (in + kPanel - 1) / kPanel * kPanel : in;
  return static_cast<size_t>(inputs) * inputBytes(format);
}

// padded: outputs in whole panels.
size_t scaleCount(size_t padded, int64_t in, WeightFormat format) {
  if (format == WeightFormat::kI8Channel) return padded;
  return format == WeightFormat::kNF4 ? padded * static_cast<size_t>(nf4Blocks(in)) : 0;
}

// Round to nearest even; NaN stays NaN.
uint16_t toBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float fromBf16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

float largestOf(const float* row, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(row[i]));
  return largest;
}

int8_t toI8(float value, float scale) {
  if (!(scale > 0)) return 0;
  return static_cast<int8_t>(std::clamp(std::nearbyint(value / scale), -127.0f, 127.0f));
}

// NF4: the scales of input `input` of a panel, one for each of its outputs.
float* scalesAt(const CpuWeight& w, int64_t panel, int64_t input) {
  return w.scales + (panel * nf4Blocks(w.in) + input / kNf4Block) * kPanel;
}

const float* orNull(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

void setScales(const DotKernels& dot, CpuWeight& w, int64_t panel, int64_t output, const float* row) {
  if (w.format == WeightFormat::kI8Channel) {
    w.scales[panel * kPanel + output] = dot.largest({w.in, row, orNull(w.kept.mean), orNull(w.kept.mask)}) / 127.0f;
  }
  if (w.format != WeightFormat::kNF4) return;
  for (int64_t i = 0; i < w.in; i += kNf4Block) {
    scalesAt(w, panel, i)[output] = largestOf(row + i, std::min(kNf4Block, w.in - i));
  }
}

// Two outputs a byte, the even one in the low half.
unsigned codeAt(const std::byte* row, int64_t output) {
  return static_cast<unsigned>(row[output / 2]) >> (output % 2 * 4) & 0xFu;
}
void setCode(std::byte* row, int64_t output, unsigned code) {
  const auto shift = static_cast<unsigned>(output % 2 * 4);
  const unsigned others = static_cast<unsigned>(row[output / 2]) & ~(0xFu << shift);
  row[output / 2] = static_cast<std::byte>(others | code << shift);
}

void decodeNf4(const CpuWeight& w, int64_t panel, int64_t first, int64_t count, float* to) {
  float levels[16];
  for (unsigned code = 0; code < 16; ++code) levels[code] = nf4Level(code);
  for (int64_t i = 0; i < count; ++i, to += kPanel) {
    const std::byte* const row = w.data + (panel * w.in + first + i) * (kPanel / 2);
    const float* const scales = scalesAt(w, panel, first + i);
    for (int64_t j = 0; j < kPanel; j += 2) {
      const auto both = static_cast<unsigned>(row[j / 2]);
      to[j] = levels[both & 0xFu] * scales[j];
      to[j + 1] = levels[both >> 4] * scales[j + 1];
    }
  }
}

// Inputs [first, first + count): their bytes, and of those that are kept what is kept. block may be spoilt.
void encodeBytes(const DotKernels& dot, CpuWeight& w, int64_t panel, int64_t first, int64_t count, int64_t begin,
                 int64_t end, float* block) {
  const KeptColumns& kept = w.kept;
  const auto columns = static_cast<int64_t>(kept.columns.size());
  for (int64_t c = 0; c < columns; ++c) {
    const int64_t i = kept.columns[static_cast<size_t>(c)] - first;
    if (i < 0 || i >= count) continue;
    float* const from = block + i * kPanel;
    for (int64_t j = begin; j < end; ++j) kept.rows[(panel * kPanel + j) * columns + c] = from[j];
    std::fill_n(from, kPanel, 0.0f);  // the mean is 0 there, too
  }
  auto* const to = reinterpret_cast<uint8_t*>(w.data) + static_cast<size_t>(panel) * panelBytes(w.in, w.format);
  const float* const mean = kept.mean.empty() ? nullptr : kept.mean.data() + first;
  if (begin == 0 && end == kPanel) {
    return dot.encode(block, mean, w.scales + panel * kPanel, count, to + dotPlace(first, 0));
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = begin; j < end; ++j) {
      const int code = toI8(block[i * kPanel + j] - (mean == nullptr ? 0 : mean[i]), w.scales[panel * kPanel + j]);
      to[dotPlace(first + i, j)] = static_cast<uint8_t>(128 + code);
    }
  }
}

// Of a row as its bytes, the mean and the kept columns have it, where `from` is what it was made of.
RoundingError roundingErrorOf(const CpuWeight& w, int64_t row, const float* from) {
  const KeptColumns& kept = w.kept;
  const uint8_t* const bytes = w.dotRows(row / kPanel, 0);
  RoundingError sums;
  for (int64_t i = 0; i < w.in; ++i) {
    const auto at = static_cast<size_t>(i);
    const double was = double{from[i]}, mean = kept.mean.empty() ? 0.0 : double{kept.mean[at]};
    const double is = (bytes[dotPlace(i, row % kPanel)] - 128) * double{w.scales[row]} + mean;
    sums.size += was * was;
    if (kept.mask.empty() || kept.mask[at] != 0) sums.error += (is - was) * (is - was);
  }
  return sums;
}

// Writes columns [begin, end) of inputs [first, first + count) of a panel from the transposed floats block [count][kPanel].
void encode(CpuWeight& w, int64_t panel, int64_t first, int64_t count, int64_t begin, int64_t end, const float* block) {
  const int64_t base = (panel * w.in + first) * kPanel;
  for (int64_t i = 0; i < count; ++i) {
    const float* from = block + i * kPanel;
    const int64_t at = base + i * kPanel;
    switch (w.format) {
      case WeightFormat::kF32: {
        std::memcpy(reinterpret_cast<float*>(w.data) + at + begin, from + begin,
                    static_cast<size_t>(end - begin) * sizeof(float));
        break;
      }
      case WeightFormat::kBF16: {
        auto* to = reinterpret_cast<uint16_t*>(w.data) + at;
        for (int64_t j = begin; j < end; ++j) to[bf16Place(j)] = toBf16(from[j]);
        break;
      }
      case WeightFormat::kI8Channel:
        break;  // encodeBytes
      case WeightFormat::kNF4: {
        const float* const scales = scalesAt(w, panel, first + i);
        for (int64_t j = begin; j < end; ++j) setCode(w.data + at / 2, j, nf4Code(from[j] * nf4Inverse(scales[j])));
        break;
      }
    }
  }
}

}  // namespace

CpuWeight::~CpuWeight() {
  std::free(data);
  std::free(scales);
  std::free(kept.rows);
}

const std::byte* CpuWeight::panelAt(int64_t panel) const {
  return data + static_cast<size_t>(panel) * panelBytes(in, format);
}

const float* CpuWeight::panelRows(const KernelTable& kernels, int64_t panel, int64_t first, int64_t count,
                                  float* buffer) const {
  const int64_t at = (panel * in + first) * kPanel;
  switch (format) {
    case WeightFormat::kF32:
      return reinterpret_cast<const float*>(data) + at;
    case WeightFormat::kBF16:
      kernels.gemm->decodeBf16(reinterpret_cast<const uint16_t*>(data) + at, count, buffer);
      break;
    case WeightFormat::kI8Channel:
      kernels.dot->decode(dotRows(panel, first), scales + panel * kPanel, count, buffer);
      break;
    case WeightFormat::kNF4:
      decodeNf4(*this, panel, first, count, buffer);
      break;
  }
  return buffer;
}

GemmAhead CpuWeight::stored(int64_t panel, int64_t first, int64_t count, int64_t panelCount) const {
  const auto bytes = static_cast<int64_t>(inputBytes(format));
  return {panelAt(panel) + first * bytes, count * bytes, static_cast<int64_t>(panelBytes(in, format)), panelCount};
}

CpuWeight& CpuBackend::weightAt(WeightId weight) {
  const auto index = static_cast<size_t>(weight.index);
  if (!weight || index >= weights_.size() || !weights_[index]) {
    throw Error(ErrorCode::kInternal, "weight " + std::to_string(weight.index) + " does not exist on the CPU backend");
  }
  return *weights_[index];
}

size_t CpuBackend::weightBytes(int64_t out, int64_t in, WeightFormat format) const {
  const auto panels = static_cast<size_t>((out + kPanel - 1) / kPanel);
  const size_t kept = integers_ && format == WeightFormat::kI8Channel ? keptBytes(out, in) : 0;
  return panels * panelBytes(in, format) + scaleCount(panels * kPanel, in, format) * sizeof(float) + kept;
}

WeightId CpuBackend::createWeight(int64_t out, int64_t in, WeightFormat format) {
  if (out < 1 || in < 1) {
    throw Error(ErrorCode::kInternal, "a weight must have at least one row and column, got [" + std::to_string(out) +
                                          ", " + std::to_string(in) + "]");
  }
  auto weight = std::make_unique<CpuWeight>();
  weight->out = out;
  weight->in = in;
  weight->format = format;
  const auto panels = static_cast<size_t>(weight->panels());
  const size_t bytes = panels * panelBytes(in, format), scales = scaleCount(panels * kPanel, in, format);
  weight->data = static_cast<std::byte*>(allocatePages(bytes));
  if (scales > 0) weight->scales = static_cast<float*>(allocatePages(scales * sizeof(float)));
  if (weight->data == nullptr || (scales > 0 && weight->scales == nullptr)) {
    throw Error(ErrorCode::kOutOfMemory,
                "the system refused " + std::to_string(bytes) + " bytes for a weight [" + std::to_string(out) + ", " +
                    std::to_string(in) + "]",
                {{"bytes", std::to_string(bytes)}});
  }
  // Padding must be zero for good; rows that are never set are zero as well.
  pool_.run(weight->panels(), [&](int64_t panel, int) {
    const size_t size = panelBytes(in, format);
    const int zero = format == WeightFormat::kI8Channel ? 128 : 0;
    std::memset(weight->data + static_cast<size_t>(panel) * size, zero, size);
  });
  if (weight->scales != nullptr) std::fill_n(weight->scales, scales, 0.0f);

  const auto free = std::find(weights_.begin(), weights_.end(), nullptr);
  const auto index = static_cast<int32_t>(free - weights_.begin());
  if (free == weights_.end()) {
    weights_.push_back(std::move(weight));
  } else {
    *free = std::move(weight);
  }
  return WeightId{index};
}

void CpuBackend::setWeightRows(WeightId id, int64_t firstRow, int64_t count, const float* host) {
  CpuWeight& w = weightAt(id);
  if (firstRow < 0 || count < 0 || firstRow > w.out - count) {
    throw Error(ErrorCode::kInternal, "rows " + std::to_string(firstRow) + ".." + std::to_string(firstRow + count) +
                                          " are outside a weight of " + std::to_string(w.out) + " rows");
  }
  if (count == 0) return;
  if (integers_ && w.format == WeightFormat::kI8Channel) w.rounded.resize(static_cast<size_t>(w.panels()));
  const int64_t firstPanel = firstRow / kPanel;
  const int64_t lastPanel = (firstRow + count - 1) / kPanel;
  pool_.run(lastPanel - firstPanel + 1, [&](int64_t task, int thread) {
    const int64_t panel = firstPanel + task;
    const int64_t begin = std::max<int64_t>(firstRow - panel * kPanel, 0);
    const int64_t end = std::min<int64_t>(firstRow + count - panel * kPanel, kPanel);
    const float* rows = host + (panel * kPanel + begin - firstRow) * w.in;
    for (int64_t j = begin; j < end; ++j) setScales(*kernels_.dot, w, panel, j, rows + (j - begin) * w.in);
    float* block = scratch(thread);
    const bool measured = integers_ && w.format == WeightFormat::kI8Channel && begin == 0;
    for (int64_t first = 0; first < w.in; first += kChunk) {
      const int64_t inputs = std::min(kChunk, w.in - first);
      // The row [begin] becomes column 0 of the block; shift it to where encode() looks for it.
      float* shifted = block + kChunk * kPanel;
      kernels_.gemm->transpose(rows + first, w.in, end - begin, inputs, block, kPanel);
      if (begin > 0) {
        for (int64_t i = 0; i < inputs; ++i) {
          std::memcpy(shifted + i * kPanel + begin, block + i * kPanel,
                      static_cast<size_t>(end - begin) * sizeof(float));
        }
      }
      float* const from = begin > 0 ? shifted : block;
      if (w.format == WeightFormat::kI8Channel) {
        encodeBytes(*kernels_.dot, w, panel, first, inputs, begin, end, from);
      } else {
        encode(w, panel, first, inputs, begin, end, from);
      }
    }
    if (measured) w.rounded[static_cast<size_t>(panel)] = roundingErrorOf(w, panel * kPanel, rows);
  });
}

RoundingError CpuBackend::roundingError(WeightId id) {
  RoundingError all;
  for (const auto& [error, size] : weightAt(id).rounded) all.error += error, all.size += size;
  return all;
}

void CpuBackend::refreshWeightRows(WeightId id, int64_t firstRow, int64_t count, DevConstF32 rows) {
  setWeightRows(id, firstRow, count, rows.raw());
}

void CpuBackend::destroyWeight(WeightId weight) {
  weightAt(weight);
  weights_[static_cast<size_t>(weight.index)].reset();
}

void CpuBackend::gatherWeightRows(WeightId id, DevConstI32 ids, int64_t n, float scale, DevF32 out) {
  const CpuWeight& w = weightAt(id);
  constexpr int64_t kRowsPerTask = 16;
  pool_.run((n + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    for (int64_t r = task * kRowsPerTask; r < std::min(n, (task + 1) * kRowsPerTask); ++r) {
      const int64_t row = ids.raw()[r];
      const int64_t base = row / kPanel * w.in * kPanel + row % kPanel;
      float* to = out.raw() + r * w.in;
      switch (w.format) {
        case WeightFormat::kF32:
          for (int64_t i = 0; i < w.in; ++i) to[i] = scale * reinterpret_cast<const float*>(w.data)[base + i * kPanel];
          break;
        case WeightFormat::kBF16:
          for (int64_t i = 0; i < w.in; ++i) {
            const int64_t at = base - row % kPanel + i * kPanel + bf16Place(row % kPanel);
            to[i] = scale * fromBf16(reinterpret_cast<const uint16_t*>(w.data)[at]);
          }
          break;
        case WeightFormat::kI8Channel:
          for (int64_t i = 0; i < w.in; ++i) {
            const int code = w.dotRows(row / kPanel, 0)[dotPlace(i, row % kPanel)];
            const float mean = w.kept.mean.empty() ? 0 : w.kept.mean[static_cast<size_t>(i)];
            to[i] = scale * (static_cast<float>(code - 128) * w.scales[row] + mean);
          }
          for (size_t c = 0; c < w.kept.columns.size(); ++c)
            to[w.kept.columns[c]] = scale * w.kept.rows[static_cast<size_t>(row) * w.kept.columns.size() + c];
          break;
        case WeightFormat::kNF4:
          for (int64_t i = 0; i < w.in; ++i) {
            const std::byte* const codes = w.data + (row / kPanel * w.in + i) * (kPanel / 2);
            to[i] = scale * (nf4Level(codeAt(codes, row % kPanel)) * scalesAt(w, row / kPanel, i)[row % kPanel]);
          }
          break;
      }
    }
  });
}

}  // namespace mlit
