// What the emulated cuBLASLt keeps, and the algorithms that it makes up. Shared by its two sources.
#pragma once

#include <string>

#include "emulation/cublaslt.h"
#include "emulation/machine.h"

namespace mlit::emulation {

struct LibraryObject {
  enum class Kind { kHandle, kDesc, kLayout, kPreference } kind;
  // A layout, column-major.
  cuda::LtType type = cuda::LtType::kF32;
  int64_t rows = 0, cols = 0, ld = 0;
  // A descriptor.
  bool transposedA = false, transposedB = false;
  // A preference, with the library's defaults.
  uint64_t workspaceBytes = 0;
  uint32_t reductionSchemes = 7;
  uint32_t alignments[4] = {256, 256, 256, 256};
};

// D [m x n] = op(A) · B (+ C), of depth k.
struct Problem {
  int64_t m, n, k;
  bool transposed;  // A lies as [k x m]
  LibraryObject a, b, d;
};

// What stands in an LtAlgorithm's 64 bytes.
struct Algorithm {
  uint64_t magic, order;
  int64_t m, k;
  uint32_t workspaceBytes, leastRows, mostRows;
  uint8_t transposed, split, in, out;
  uint8_t pointers[4], leading[4];  // alignments that it wants, as powers of two: of A, B, C and D
  uint8_t reserved[8];
};
static_assert(sizeof(Algorithm) == sizeof(cuda::LtAlgorithm));

// A finding: the library would not say so, or the caller is wrong whatever it says.
void reportMisuse(const char* call, const std::string& what);

// Rounded down to a power of two, at most 256.
uint8_t alignmentPower(uint64_t bytes);
int elementSize(cuda::LtType type);

std::vector<Algorithm> algorithmsFor(const Problem& problem, const LibraryObject& preference);
// Why the algorithm refuses the problem's numbers of rows or leading dimensions; empty where it takes them.
std::string refusal(const Algorithm& algorithm, const Problem& problem);
void runProduct(const Algorithm& algorithm, const Problem& problem, const void* a, const void* b, float alpha,
                float beta, void* d, void* workspace);

}  // namespace mlit::emulation
