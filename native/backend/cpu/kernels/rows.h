// What the row-wise ops need from vector code: each kernel handles a range of rows on one thread, and no row's
// arithmetic depends on how many others are in the range.
#pragma once

#include <cstdint>

namespace mlit {

enum class GatedKind : int { kSilu, kGeluTanh };

struct RowKernels {
  void (*rmsNormForward)(const float* x, int64_t ldx, int64_t rows, int64_t heads, int64_t dim, const float* weight,
                         float eps, float* y, int64_t ldy, const float* addTo, float* invRms);
  void (*rmsNormBackward)(const float* dy, int64_t lddy, const float* x, int64_t ldx, int64_t rows, int64_t heads,
                          int64_t dim, const float* weight, const float* invRms, float* dx, int64_t lddx,
                          bool accumulate);
  // dWeight[0..columns) += sum over rows and heads of dy * x * invRms, of the columns at hand; dim floats apart a head.
  void (*rmsNormWeightGradient)(const float* dy, int64_t lddy, const float* x, int64_t ldx, int64_t rows, int64_t heads,
                                int64_t dim, const float* invRms, int64_t columns, float* dWeight);
  void (*columnSums)(const float* x, int64_t ldx, int64_t rows, int64_t columns, float* sums);  // sums[i] += ...
  void (*rope)(float* x, int64_t ld, int64_t rows, int64_t heads, int64_t dim, const int32_t* positions,
               const float* table, float direction);
  void (*gatedForward)(GatedKind kind, const float* gateUp, int64_t rows, int64_t f, float* h);
  void (*gatedBackward)(GatedKind kind, float* gateUp, int64_t rows, int64_t f, const float* dh, float* h);
  void (*add)(float* y, const float* x, int64_t n);
  void (*scale)(float* y, float factor, int64_t n);
  void (*addScaled)(float* y, const float* x, float factor, int64_t n);  // y += factor * x
};

}  // namespace mlit
