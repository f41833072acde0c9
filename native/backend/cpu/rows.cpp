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

void CpuBackend::rmsNormForward(DevConstF32 x, HeadRows xRows, DevConstF32 weight, float eps, DevF32 y, int64_t ldy,
                                DevConstF32 addTo, DevF32 invRms) {
  const int64_t heads = xRows.heads, dim = xRows.dim;
  forRanges(pool_, xRows.rows, heads * dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rmsNormForward(x.raw() + first * xRows.ld, xRows.ld, count, heads, dim, weight.raw(), eps,
                                  y.raw() + first * ldy, ldy, addTo ? addTo.raw() + first * ldy : nullptr,
                                  invRms ? invRms.raw() + first * heads : nullptr);
  });
}

void CpuBackend::rmsNormBackward(DevConstF32 dy, int64_t lddy, DevConstF32 x, HeadRows xRows, DevConstF32 weight,
                                 DevConstF32 invRms, DevF32 dx, int64_t lddx, bool accumulate) {
  const int64_t heads = xRows.heads, dim = xRows.dim;
  forRanges(pool_, xRows.rows, heads * dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rmsNormBackward(dy.raw() + first * lddy, lddy, x.raw() + first * xRows.ld, xRows.ld, count, heads,
                                   dim, weight.raw(), invRms.raw() + first * heads, dx.raw() + first * lddx, lddx,
                                   accumulate);
  });
}

void CpuBackend::rope(DevF32 x, HeadRows rows, DevConstI32 positions, DevConstF32 table, int direction) {
  const float sign = direction < 0 ? -1.0f : 1.0f;
  forRanges(pool_, rows.rows, int64_t{rows.heads} * rows.dim, [&](int64_t first, int64_t count) {
    kernels_.rows->rope(x.raw() + first * rows.ld, rows.ld, count, rows.heads, rows.dim, positions.raw() + first,
                        table.raw(), sign);
  });
}

void CpuBackend::gatedForward(GatedActivation act, DevConstF32 gateUp, int64_t rows, int64_t f, DevF32 h) {
  forRanges(pool_, rows, f * kActivationCost, [&](int64_t first, int64_t count) {
    kernels_.rows->gatedForward(kindOf(act), gateUp.raw() + first * 2 * f, count, f, h.raw() + first * f);
  });
}

void CpuBackend::gatedBackward(GatedActivation act, DevF32 gateUp, int64_t rows, int64_t f, DevConstF32 dh, DevF32 h) {
  forRanges(pool_, rows, f * kActivationCost, [&](int64_t first, int64_t count) {
    kernels_.rows->gatedBackward(kindOf(act), gateUp.raw() + first * 2 * f, count, f, dh.raw() + first * f,
                                 h ? h.raw() + first * f : nullptr);
  });
}

void CpuBackend::add(DevF32 y, DevConstF32 x, int64_t n) {
  forRanges(pool_, n, 1,
            [&](int64_t first, int64_t count) { kernels_.rows->add(y.raw() + first, x.raw() + first, count); });
}

void CpuBackend::addToRows(DevF32 y, int64_t ldy, int64_t rows, DevConstF32 x, int64_t n) {
  forRanges(pool_, rows, n, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) kernels_.rows->add(y.raw() + r * ldy, x.raw(), n);
  });
}

void CpuBackend::scale(DevF32 y, float factor, int64_t n) {
  forRanges(pool_, n, 1, [&](int64_t first, int64_t count) { kernels_.rows->scale(y.raw() + first, factor, count); });
}

void CpuBackend::gatherRows(DevConstF32 x, int64_t ldx, DevConstI32 rows, int64_t n, int64_t d, DevF32 out) {
  forRanges(pool_, n, d, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      std::memcpy(out.raw() + i * d, x.raw() + rows.raw()[i] * ldx, static_cast<size_t>(d) * sizeof(float));
    }
  });
}

void CpuBackend::scatterRows(DevConstF32 in, DevConstI32 rows, int64_t n, int64_t d, DevF32 x, int64_t ldx,
                             bool accumulate) {
  forRanges(pool_, n, d, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      float* to = x.raw() + rows.raw()[i] * ldx;
      if (accumulate) {
        kernels_.rows->add(to, in.raw() + i * d, d);
      } else {
        std::memcpy(to, in.raw() + i * d, static_cast<size_t>(d) * sizeof(float));
      }
    }
  });
}

}  // namespace mlit
