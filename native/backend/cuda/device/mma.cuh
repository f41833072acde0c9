// Tensor-core products of one warp: mma.sync (PTX ISA 9.7.14, "Matrix Fragments for mma.m16n8k16 with floating point type" and
// "... mma.m16n8k32"). With g = lane / 4 and t = lane % 4, registers hold, low element first:
//   m16n8k16 bf16  a: (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8), each with the column after it;  b: (2t, g) (2t+8, g), each with
//                  the row after it;  c, d: (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1)
//   m16n8k32 s8    a: (g, 4t) (g+8, 4t) (g, 4t+16) (g+8, 4t+16), each with the three columns after it;  b: (4t, g) (4t+16, g), each
//                  with the three rows after it;  c, d as above
// The order in which the k products are added is not specified.
#pragma once

namespace mlit::cuda {

// c += a·b, bf16 operands, f32 accumulators.
DEVICE void mmaM16N8K16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2] SITE) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const auto d =
      emulation::mmaM16N8K16(emulation::F32x4{c[0], c[1], c[2], c[3]}, emulation::U32x4{a[0], a[1], a[2], a[3]},
                             static_cast<uint64_t>(b[1]) << 32 | b[0], {file, line});
  c[0] = d[0], c[1] = d[1], c[2] = d[2], c[3] = d[3];
#endif
}

// c += a·b, signed 8-bit operands, 32-bit accumulators that wrap.
DEVICE void mmaM16N8K32(int (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2] SITE) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const auto d =
      emulation::mmaM16N8K32(emulation::S32x4{c[0], c[1], c[2], c[3]}, emulation::U32x4{a[0], a[1], a[2], a[3]},
                             static_cast<uint64_t>(b[1]) << 32 | b[0], {file, line});
  c[0] = d[0], c[1] = d[1], c[2] = d[2], c[3] = d[3];
#endif
}

}  // namespace mlit::cuda
