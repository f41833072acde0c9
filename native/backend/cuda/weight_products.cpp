// The base products of weights: rows are brought to the product's type where they are not of it, and packed where they don't lie
// as the algorithm wants them, a chunk at a time. An int8 weight is widened a slice of y's columns at a time, so that each
// element of y is one sum in float32.
#include <algorithm>
#include <string>

#include "backend/cuda/kernels/weights.h"
#include "backend/cuda/weights.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

LtType ltType(ElementType type) { return type == ElementType::kF32 ? LtType::kF32 : LtType::kBF16; }
ElementType elementType(LtType type) { return type == LtType::kF32 ? ElementType::kF32 : ElementType::kBF16; }

int64_t roundedUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Rows packed in a part of the workspace, with zeros below them where the algorithm wants more.
DevReal packedAt(std::byte* at, LtType type) { return {DevicePtr<std::byte>(at), elementType(type)}; }
void zeroBelow(DevReal packed, int64_t ld, int64_t rows, int64_t padded, Stream& stream) {
  if (padded == rows) return;
  const int64_t bytes = ld * elementBytes(packed.type());
  fill((packed.bytes() + rows * bytes).raw(), 0, static_cast<size_t>((padded - rows) * bytes), stream);
}

}  // namespace

// y [rows, width] (+)= x [rows, depth] · Wᵀ or W.
struct CudaWeights::Product {
  const Weight& weight;
  bool forward;
  DevConstReal x;
  int64_t ldx, rows;
  DevReal y;
  int64_t ldy;
  bool accumulate;

  int64_t width() const { return forward ? weight.out : weight.in; }
  int64_t depth() const { return forward ? weight.in : weight.out; }
  LtType inType() const { return weight.format == WeightFormat::kF32 ? LtType::kF32 : LtType::kBF16; }
  LtType outType() const { return weight.format == WeightFormat::kF32 ? LtType::kF32 : ltType(y.type()); }
  // Of columns [first, first + columns) of y.
  ProductShape shape(int64_t columns) const {
    const int64_t ldw = weight.format != WeightFormat::kI8Channel ? weight.ld
                        : forward                                 ? roundedUp(weight.in, 8)
                                                                  : roundedUp(columns, 8);
    return {forward, columns, depth(), ldw, inType(), outType()};
  }
};

bool CudaWeights::takesInput(const Product& p, const ProductPlan& plan, DevConstReal x, int64_t ldx) {
  return ltType(x.type()) == p.inType() && plan.takesInput(x.bytes().raw(), ldx);
}
bool CudaWeights::takesOutput(const Product& p, const ProductPlan& plan, DevReal y, int64_t ldy) {
  return ltType(y.type()) == p.outType() && plan.takesOutput(y.bytes().raw(), ldy);
}

// Columns of y that a slice of an int8 weight makes: a function of the weight's shape, for the bits' sake. 0: none fit.
int64_t CudaWeights::sliceWidth(const Weight& w, bool forward) const {
  if (w.format != WeightFormat::kI8Channel) return forward ? w.out : w.in;
  const int64_t perColumn = (forward ? roundedUp(w.in, 8) : w.out) * 2;
  return std::min(static_cast<int64_t>(sizes_.slice) / perColumn / 8 * 8, roundedUp(forward ? w.out : w.in, 8));
}

void CudaWeights::multiplyRows(const Product& p, int64_t firstRow, int64_t count, Stream& stream) {
  const int64_t step = sliceWidth(p.weight, p.forward);
  const bool whole = p.weight.format != WeightFormat::kI8Channel;
  int64_t padded = count;
  for (int64_t column = 0; column < p.width(); column += step) {
    padded = std::max(padded, matmul_.plan(p.shape(std::min(step, p.width() - column))).leastRows());
  }
  DevConstReal x = p.x + firstRow * p.ldx;
  int64_t ldx = p.ldx;
  const ProductPlan& first = matmul_.plan(p.shape(std::min(step, p.width())));
  if (padded > count || !takesInput(p, first, x, ldx)) {
    ldx = first.packedInput();
    const DevReal packed = packedAt(in_, p.inType());
    convertRows(x, p.ldx, count, p.depth(), packed, ldx, stream);
    zeroBelow(packed, ldx, count, padded, stream);
    x = packed;
  }
  for (int64_t column = 0; column < p.width(); column += step) {
    const int64_t columns = std::min(step, p.width() - column);
    const ProductPlan& plan = matmul_.plan(p.shape(columns));
    const void* w = p.weight.at(0, 0);
    if (!whole) {
      const int64_t row = p.forward ? column : 0, rows = p.forward ? columns : p.weight.out;
      dequantiseRows(reinterpret_cast<const int8_t*>(p.weight.at(row, p.forward ? 0 : column)), p.weight.ld,
                     p.weight.scales() + row, rows, p.forward ? p.weight.in : columns, packedAt(slice_, LtType::kBF16),
                     p.shape(columns).ldw, stream);
      w = slice_;
    }
    const DevReal y = p.y + (firstRow * p.ldy + column);
    if (padded == count && takesOutput(p, plan, y, p.ldy)) {
      matmul_.run(plan, w, x.bytes().raw(), ldx, count, y.bytes().raw(), p.ldy, p.accumulate, stream);
      continue;
    }
    const int64_t ldy = plan.packedOutput();
    const DevReal packed = packedAt(out_, p.outType());
    if (p.accumulate) {
      convertRows(y, p.ldy, count, columns, packed, ldy, stream);
      zeroBelow(packed, ldy, count, padded, stream);
    }
    matmul_.run(plan, w, x.bytes().raw(), ldx, padded, packed.bytes().raw(), ldy, p.accumulate, stream);
    convertRows(packed, ldy, count, columns, y, p.ldy, stream);
  }
}

// In chunks of rows whose packed copies fit, where there are any.
void CudaWeights::multiply(const Product& p, Stream& stream) {
  if (p.rows == 0) return;
  const int64_t step = std::min(sliceWidth(p.weight, p.forward), p.width());
  const ProductPlan& plan = matmul_.plan(p.shape(step));
  const int64_t packedIn = static_cast<int64_t>(sizes_.in) / (plan.packedInput() * bytesOf(p.inType()));
  const int64_t packedOut = static_cast<int64_t>(sizes_.out) / (step * bytesOf(p.outType()));
  int64_t most = Matmul::kMostRows;
  if (!takesInput(p, plan, p.x, p.ldx)) most = std::min(most, packedIn);
  if (!takesOutput(p, plan, p.y, p.ldy)) most = std::min(most, packedOut);
  if (const int64_t fitting = std::min(packedIn, packedOut); fitting < plan.leastRows()) {
    throw Error(ErrorCode::kInternal, "the CUDA backend's workspace holds " + std::to_string(fitting) +
                                          " rows of a product with a weight [" + std::to_string(p.weight.out) + ", " +
                                          std::to_string(p.weight.in) + "] and needs " +
                                          std::to_string(plan.leastRows()));
  }
  for (int64_t row = 0; row < p.rows; row += most) multiplyRows(p, row, std::min(most, p.rows - row), stream);
}

void CudaWeights::forward(WeightId id, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                          Stream& stream) {
  multiply({weightAt(id), true, x, ldx, rows, y, ldy, false}, stream);
}

void CudaWeights::backward(WeightId id, DevConstReal dy, int64_t lddy, int64_t rows, DevReal dx, int64_t lddx,
                           bool accumulate, Stream& stream) {
  multiply({weightAt(id), false, dy, lddy, rows, dx, lddx, accumulate}, stream);
}

}  // namespace mlit::cuda
