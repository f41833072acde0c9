// Row-wise ops of the CPU backend: cut into ranges of rows, each range one kernel call.
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/cpu/row_tasks.h"

namespace mlit {
namespace {

GatedKind kindOf(GatedActivation act) {
  return act == GatedActivation::kSilu ? GatedKind::kSilu : GatedKind::kGeluTanh;
}

// exp and a division an element: worth several copies.
constexpr int64_t kActivationCost = 4;

}  // namespace

void CpuBackend::rmsNormForward(DevConstReal x, HeadRows xRows, DevConstF32 weight, float eps, DevReal y, int64_t ldy,
                                DevConstF32 addTo, DevF32 invRms) {
  const int64_t heads = xRows.heads, dim = xRows.dim;
  forRanges(pool_, xRows.rows, heads * dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rmsNormForward(x.floats() + first * xRows.ld, xRows.ld, count, heads, dim, weight.raw(), eps,
                                  y.floats() + first * ldy, ldy, addTo ? addTo.raw() + first * ldy : nullptr,
                                  invRms ? invRms.raw() + first * heads : nullptr);
  });
}

void CpuBackend::rmsNormBackward(DevConstReal dy, int64_t lddy, DevConstReal x, HeadRows xRows, DevConstF32 weight,
                                 DevConstF32 invRms, DevReal dx, int64_t lddx, bool accumulate) {
  const int64_t heads = xRows.heads, dim = xRows.dim;
  forRanges(pool_, xRows.rows, heads * dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rmsNormBackward(dy.floats() + first * lddy, lddy, x.floats() + first * xRows.ld, xRows.ld, count,
                                   heads, dim, weight.raw(), invRms.raw() + first * heads, dx.floats() + first * lddx,
                                   lddx, accumulate);
  });
}

void CpuBackend::rope(DevReal x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) {
  const float sign = direction < 0 ? -1.0f : 1.0f;
  forRanges(pool_, rows.rows, int64_t{rows.heads} * rows.dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rope(x.floats() + first * rows.ld, rows.ld, count, rows.heads, rows.dim, positions.raw() + first,
                        table.raw(), sign);
  });
}

void CpuBackend::gatedForward(GatedActivation act, DevConstReal gateUp, int64_t rows, int64_t f, DevReal h) {
  forRanges(pool_, rows, f * kActivationCost, [&](int64_t first, int64_t count) {
    kernels_.rows->gatedForward(kindOf(act), gateUp.floats() + first * 2 * f, count, f, h.floats() + first * f);
  });
}

void CpuBackend::gatedBackward(GatedActivation act, DevReal gateUp, int64_t rows, int64_t f, DevConstReal dh,
                               DevReal h) {
  forRanges(pool_, rows, f * kActivationCost, [&](int64_t first, int64_t count) {
    kernels_.rows->gatedBackward(kindOf(act), gateUp.floats() + first * 2 * f, count, f, dh.floats() + first * f,
                                 h ? h.floats() + first * f : nullptr);
  });
}

void CpuBackend::add(DevF32 y, DevConstReal x, int64_t n) {
  forRanges(pool_, n, 1,
            [&](int64_t first, int64_t count) { kernels_.rows->add(y.raw() + first, x.floats() + first, count); });
}

void CpuBackend::addToRows(DevReal y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) {
  forRanges(pool_, rows, n, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) kernels_.rows->add(y.floats() + r * ldy, x.raw(), n);
  });
}

void CpuBackend::scale(DevF32 y, float factor, int64_t n) {
  forRanges(pool_, n, 1, [&](int64_t first, int64_t count) { kernels_.rows->scale(y.raw() + first, factor, count); });
}

void CpuBackend::gatherRows(DevConstReal x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevReal out) {
  forRanges(pool_, n, d, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      std::memcpy(out.floats() + i * d, x.floats() + rows.raw()[i] * ldx, static_cast<size_t>(d) * sizeof(float));
    }
  });
}

void CpuBackend::scatterRows(DevConstReal in, DevConstI32 rows, int64_t n, int64_t d, DevReal x, int64_t ldx,
                             bool accumulate) {
  forRanges(pool_, n, d, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      float* to = x.floats() + rows.raw()[i] * ldx;
      if (accumulate) {
        kernels_.rows->add(to, in.floats() + i * d, d);
      } else {
        std::memcpy(to, in.floats() + i * d, static_cast<size_t>(d) * sizeof(float));
      }
    }
  });
}

}  // namespace mlit
