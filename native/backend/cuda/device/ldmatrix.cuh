// Fragments of 8x8 matrices of 16-bit elements from shared memory: ldmatrix (PTX ISA 9.7.14, "Warp-level matrix load
// instruction"). Lanes 8i..8i+7 name the rows of matrix i (16 bytes each, 16-byte aligned); lane l receives in register i the
// elements (l / 4, 2 (l % 4)) and the one after it of matrix i; transposed: (2 (l % 4), l / 4) and the one below it.
#pragma once

namespace mlit::cuda {

#ifdef __CUDACC__
namespace detail {
DEVICE unsigned sharedAddress(const void* shared) { return static_cast<unsigned>(__cvta_generic_to_shared(shared)); }
}  // namespace detail
#endif

DEVICE void ldmatrixX4(unsigned (&d)[4], const void* row SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(detail::sharedAddress(row))
               : "memory");
#else
  const auto r = emulation::ldmatrix(row, 4, false, {file, line});
  d[0] = r[0], d[1] = r[1], d[2] = r[2], d[3] = r[3];
#endif
}

DEVICE void ldmatrixX4Transposed(unsigned (&d)[4], const void* row SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(detail::sharedAddress(row))
               : "memory");
#else
  const auto r = emulation::ldmatrix(row, 4, true, {file, line});
  d[0] = r[0], d[1] = r[1], d[2] = r[2], d[3] = r[3];
#endif
}

// Rows come from lanes 0..15; the addresses of the others are not used.
DEVICE void ldmatrixX2(unsigned (&d)[2], const void* row SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(detail::sharedAddress(row))
               : "memory");
#else
  const auto r = emulation::ldmatrix(row, 2, false, {file, line});
  d[0] = r[0], d[1] = r[1];
#endif
}

DEVICE void ldmatrixX2Transposed(unsigned (&d)[2], const void* row SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(detail::sharedAddress(row))
               : "memory");
#else
  const auto r = emulation::ldmatrix(row, 2, true, {file, line});
  d[0] = r[0], d[1] = r[1];
#endif
}

}  // namespace mlit::cuda
