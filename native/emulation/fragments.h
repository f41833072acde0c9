// Which element of a matrix each register of each lane holds: the tables of the PTX ISA as functions, used by the emulator and
// compared with another source's in fragments_test.cpp. device/mma.cuh and device/ldmatrix.cuh name the sections.
#pragma once

namespace mlit::emulation {

struct Element {
  int row, column;
};

// mma with operands of `bits` bits, 16 (m16n8k16) or 8 (m16n8k32): element e of register r.
constexpr Element fragmentA(int bits, int lane, int r, int e) {
  const int packed = 32 / bits;
  return {lane / 4 + r % 2 * 8, lane % 4 * packed + e + r / 2 * packed * 4};
}
constexpr Element fragmentB(int bits, int lane, int r, int e) {
  const int packed = 32 / bits;
  return {lane % 4 * packed + e + r * packed * 4, lane / 4};
}
constexpr Element fragmentC(int lane, int r) { return {lane / 4 + r / 2 * 8, lane % 4 * 2 + r % 2}; }

// ldmatrix: element e (0, 1) of the register that holds one 8x8 matrix.
constexpr Element fragmentMatrix(bool transposed, int lane, int e) {
  const Element straight{lane / 4, lane % 4 * 2 + e};
  return transposed ? Element{straight.column, straight.row} : straight;
}

}  // namespace mlit::emulation
