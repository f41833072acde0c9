// The base products of weights: rows are brought to the product's type where they are not of it, and packed where they don't lie
// as the algorithm wants them, a chunk at a time. A quantised weight is widened a slice of its rows at a time.
#include <algorithm>
#include <string>

#include "backend/cuda/kernels/few_rows.h"
#include "backend/cuda/kernels/nf4.h"
#include "backend/cuda/kernels/weights.h"
#include "backend/cuda/weights.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

LtType ltType(ElementType type) { return type == ElementType::kF32 ? LtType::kF32 : LtType::kBF16; }

int64_t roundedUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Packed rows in a part of the workspace.
DevReal packedAt(std::byte* at, LtType type) {
  return {DevicePtr<std::byte>(at), type == LtType::kF32 ? ElementType::kF32 : ElementType::kBF16};
}

// Where the algorithm wants more rows than there are.
void zeroBelow(DevReal packed, int64_t ld, int64_t rows, int64_t padded, Stream& stream) {
  const int64_t bytes = ld * elementBytes(packed.type());
  if (padded > rows) fill(packed.bytes().raw() + rows * bytes, 0, static_cast<size_t>((padded - rows) * bytes), stream);
}

}  // namespace

// y [rows, width] (+)= x [rows, depth] · Wᵀ or W, in slices of W's rows: forward each gives columns of y, backward each is a part
// of y's sums.
struct CudaWeights::Product {
  const Weight& weight;
  bool forward;
  DevConstReal x;
  int64_t ldx, rows;
  DevReal y;
  int64_t ldy;
  bool accumulate;
  int64_t sliceRows;

  bool sliced() const { return sliceRows < weight.out; }
  int64_t depth() const { return forward ? weight.in : weight.out; }
  LtType inType() const { return weight.format == WeightFormat::kF32 ? LtType::kF32 : LtType::kBF16; }
  LtType outType() const {  // sums that are added to are float32
    const bool wide = weight.format == WeightFormat::kF32 || (!forward && sliced());
    return wide ? LtType::kF32 : ltType(y.type());
  }
  int64_t packedInput() const { return roundedUp(depth(), 16 / bytesOf(inType())); }
  ProductShape shape(int64_t slice) const {
    const int64_t ldw = isQuantised(weight.format) ? roundedUp(weight.in, 8) : weight.ld;
    return {forward, forward ? slice : weight.in, forward ? weight.in : slice, ldw, inType(), outType()};
  }
  bool takesInput(const ProductPlan& plan) const {
    return ltType(x.type()) == inType() && plan.takesInput(x.bytes().raw(), ldx);
  }
  bool takesOutput(const ProductPlan& plan) const {
    return ltType(y.type()) == outType() && plan.takesOutput(y.bytes().raw(), ldy);
  }
};

// Rows of a quantised weight in a slice: a function of the weight's shape, for the bits' sake. 0: too few fit.
int64_t CudaWeights::sliceRows(const Weight& w) const {
  if (!isQuantised(w.format)) return w.out;
  return std::min(w.out, static_cast<int64_t>(sizes_.slice) / (roundedUp(w.in, 8) * 2) / 8 * 8);
}

const void* CudaWeights::sliceOf(const Product& p, int64_t row, int64_t rows, Stream& stream) {
  const Weight& w = p.weight;
  const DevReal slice = packedAt(slice_, LtType::kBF16);
  const int64_t ld = p.shape(rows).ldw;
  if (!isQuantised(w.format)) return w.at(row);
  if (w.format == WeightFormat::kNF4) {
    dequantiseNf4(w.at(row), w.scalesAt(row), rows, w.in, slice, ld, stream);
  } else {
    dequantiseRows(reinterpret_cast<const int8_t*>(w.at(row)), w.ld, w.scalesAt(row), rows, w.in, slice, ld, stream);
  }
  return slice_;
}

void CudaWeights::multiplyRows(const Product& p, int64_t firstRow, int64_t count, int64_t padded, Stream& stream) {
  const ProductPlan& plan = matmul_.plan(p.shape(p.sliceRows));
  DevConstReal x = p.x + firstRow * p.ldx;
  int64_t ldx = p.ldx;
  if (padded > count || !p.takesInput(plan)) {
    ldx = p.packedInput();
    const DevReal packed = packedAt(in_, p.inType());
    convertRows(x, p.ldx, count, p.depth(), packed, ldx, stream);
    zeroBelow(packed, ldx, count, padded, stream);
    x = packed;
  }
  const bool inPlace = padded == count && p.takesOutput(plan);
  for (int64_t row = 0; row < p.weight.out; row += p.sliceRows) {
    const int64_t slice = std::min(p.sliceRows, p.weight.out - row);
    const ProductPlan& ofSlice = matmul_.plan(p.shape(slice));
    const int64_t columns = p.forward ? slice : p.weight.in, ldy = inPlace ? p.ldy : columns;
    const DevReal y = p.y + (firstRow * p.ldy + (p.forward ? row : 0));
    const DevReal to = inPlace ? y : packedAt(out_, p.outType());
    const bool first = p.forward || row == 0, last = p.forward || row + slice == p.weight.out;
    if (!inPlace && first && p.accumulate) {
      convertRows(y, p.ldy, count, columns, to, ldy, stream);
      zeroBelow(to, ldy, count, padded, stream);
    }
    const void* const w = sliceOf(p, row, slice, stream);
    matmul_.run(ofSlice, w, (p.forward ? x : x + row).bytes().raw(), ldx, padded, to.bytes().raw(), ldy,
                p.accumulate || !first, stream);
    if (!inPlace && last) convertRows(to, ldy, count, columns, y, p.ldy, stream);
  }
}

// In chunks of rows that the algorithms take, and of which the packed copies fit where there are any.
void CudaWeights::multiply(const Product& p, Stream& stream) {
  if (p.rows == 0) return;
  int64_t least = 1, most = Matmul::kMostRows;
  for (int64_t row = 0; row < p.weight.out; row += p.sliceRows) {
    const ProductPlan& plan = matmul_.plan(p.shape(std::min(p.sliceRows, p.weight.out - row)));
    least = std::max(least, plan.leastRows());
    most = std::min(most, plan.mostRows());
  }
  const ProductPlan& plan = matmul_.plan(p.shape(p.sliceRows));
  const int64_t packedIn = static_cast<int64_t>(sizes_.in) / (p.packedInput() * bytesOf(p.inType()));
  const int64_t packedOut = static_cast<int64_t>(sizes_.out) / (plan.packedOutput() * bytesOf(p.outType()));
  if (!p.takesInput(plan)) most = std::min(most, packedIn);
  if (!p.takesOutput(plan)) most = std::min(most, packedOut);
  if (const int64_t fitting = std::min(packedIn, packedOut); fitting < least) {
    throw Error(ErrorCode::kInternal, "the CUDA backend's workspace holds " + std::to_string(fitting) +
                                          " rows of a product with a weight [" + std::to_string(p.weight.out) + ", " +
                                          std::to_string(p.weight.in) + "] and needs " + std::to_string(least));
  }
  for (int64_t row = 0; row < p.rows; row += most) {
    const int64_t count = std::min(most, p.rows - row);
    multiplyRows(p, row, count, std::max(count, least), stream);
  }
}

void CudaWeights::forward(WeightId id, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                          Stream& stream) {
  const Weight& w = weightAt(id);
  multiply({w, true, x, ldx, rows, y, ldy, false, sliceRows(w)}, stream);
}

// Rows that can't be read where they lie are packed, as many at a time as there is room for.
void CudaWeights::sample(WeightId id, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                         Stream& stream) {
  const Weight& w = weightAt(id);
  if (w.format == WeightFormat::kF32) return forward(id, x, ldx, rows, y, ldy, stream);
  const NarrowWeight weight{w.format, w.at(0), isQuantised(w.format) ? w.scalesAt(0) : nullptr, w.out, w.in};
  if (takesRows(x, ldx)) return fewRows(weight, x, ldx, rows, y, ldy, stream);
  const DevReal packed = packedAt(in_, LtType::kBF16);
  const int64_t ld = roundedUp(w.in, 8), most = static_cast<int64_t>(sizes_.in) / (ld * 2);
  for (int64_t row = 0; row < rows; row += most) {
    const int64_t count = std::min(most, rows - row);
    convertRows(x + row * ldx, ldx, count, w.in, packed, ld, stream);
    fewRows(weight, packed, ld, count, y + row * ldy, ldy, stream);
  }
}

void CudaWeights::backward(WeightId id, DevConstReal dy, int64_t lddy, int64_t rows, DevReal dx, int64_t lddx,
                           bool accumulate, Stream& stream) {
  const Weight& w = weightAt(id);
  multiply({w, false, dy, lddy, rows, dx, lddx, accumulate, sliceRows(w)}, stream);
}

}  // namespace mlit::cuda
