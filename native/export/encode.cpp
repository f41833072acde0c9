// The one place where an exported number is computed.
#include "export/encode.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "checkpoint/dequant.h"
#include "core/error.h"
#include "core/half.h"
#include "model/loader.h"

namespace mlit {

namespace {

// 1 MiB: a model that was tuned is written with all its training still there.
constexpr int64_t kBlockFloats = int64_t{1} << 18;

// To float32 with what was cut off kept in the last bit ("round to odd"): rounding that to a type with two bits less or
// fewer gives what rounding the float64 would have given.
float roundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || std::isnan(nearest)) return nearest;
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;  // towards zero
  return std::bit_cast<float>(bits | 1u);
}

void store(float value, DType dtype, uint8_t* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, &value, sizeof value);
  } else {
    const uint16_t bits = dtype == DType::kF16 ? floatToHalf(value) : floatToBfloat16(value);
    std::memcpy(to, &bits, sizeof bits);
  }
}

}  // namespace

void encodeRows(const float* rows, int64_t first, int64_t count, int64_t in, const LoraTerm* term, DType dtype,
                uint8_t* to) {
  const int64_t size = blockShape(dtype).bytes;
  std::vector<double> sum(term != nullptr ? static_cast<size_t>(in) : 0);
  for (int64_t row = 0; row < count; ++row) {
    const float* w = rows + row * in;
    if (term == nullptr) {
      for (int64_t i = 0; i < in; ++i, to += size) store(w[i], dtype, to);
      continue;
    }
    for (double& value : sum) value = 0;
    for (int32_t r = 0; r < term->rank; ++r) {
      const double b = term->bT[r * term->out + first + row];
      const float* a = term->a + r * in;
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += b * static_cast<double>(a[i]);
    }
    for (size_t i = 0; i < sum.size(); ++i, to += size) {
      const double merged = static_cast<double>(w[i]) + term->scale * sum[i];
      store(dtype == DType::kF32 ? static_cast<float>(merged) : roundToOdd(merged), dtype, to);
    }
  }
}

TensorEncoder::TensorEncoder(WeightRows& rows, const HostAdapter* adapter, ThreadPool& pool, const ExportWatch& watch,
                             int64_t totalElements)
    : rows_(rows), adapter_(adapter), pool_(pool), watch_(watch), total_(totalElements) {}

void TensorEncoder::encode(const ExportTensor& tensor, DType dtype, Container container, const Sink& sink) {
  const AdapterSlot* slot = adapter_ != nullptr ? slotOf(*adapter_, tensor) : nullptr;
  LoraTerm term;
  if (slot != nullptr) {
    const AdapterSpec& spec = adapter_->layout.spec();
    const float* flat = adapter_->flat.data();
    term = {spec.rank, spec.scale(), flat + slot->aOffset, flat + slot->bOffset, slot->out};
  }
  const int64_t in = tensor.columns(), row = in * blockShape(dtype).bytes;
  const bool interleave = container == Container::kGguf && tensor.rotaryHeads > 0;
  const int64_t unit = interleave ? tensor.rows() / tensor.rotaryHeads : 1;  // rows that must stay together
  const int64_t step = std::max<int64_t>(1, kBlockFloats / (in * unit)) * unit;
  const float offset =
      tensor.isNorm() && container == Container::kSafetensors ? tensorNames(rows_.config(), false).normOffset : 0;
  for (int64_t first = 0; first < tensor.rows(); first += step) {
    if (watch_.cancel != nullptr && watch_.cancel->load(std::memory_order_relaxed))
      throw Error(ErrorCode::kCancelled, "the export of " + rows_.path() + " was cancelled");
    const int64_t count = std::min(step, tensor.rows() - first);
    buffer_.resize(static_cast<size_t>(count * in));
    encoded_.resize(static_cast<size_t>(count * row));
    rows_.read(tensor, first, count, buffer_.data());
    if (offset != 0) {
      for (float& value : buffer_) value -= offset;
    }
    const int64_t share = std::max<int64_t>(1, (count + 4 * pool_.threads() - 1) / (4 * pool_.threads()));
    pool_.run((count + share - 1) / share, [&](int64_t task, int) {
      const int64_t begin = task * share;
      encodeRows(buffer_.data() + begin * in, first + begin, std::min(share, count - begin), in,
                 slot != nullptr ? &term : nullptr, dtype, encoded_.data() + begin * row);
    });
    const uint8_t* bytes = encoded_.data();
    if (interleave) {
      ordered_.resize(encoded_.size());
      for (int64_t r = 0; r < count; ++r) {
        std::memcpy(ordered_.data() + interleavedRow(r, unit) * row, encoded_.data() + r * row,
                    static_cast<size_t>(row));
      }
      bytes = ordered_.data();
    }
    sink(bytes, static_cast<size_t>(count * row));
    doneElements_ += count * in;
    if (watch_.progress) watch_.progress(static_cast<double>(doneElements_) / static_cast<double>(total_));
  }
}

}  // namespace mlit
