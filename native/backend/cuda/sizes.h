// What the backend takes on any card, without the runtime: a plan says it of a card that is not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

namespace mlit::cuda {

// How the workspace is divided, in bytes; each a multiple of 256. The bits of a product with such a weight follow `slice`, which
// says in how many parts it is taken; the others decide speed alone.
struct WeightWorkspace {
  size_t product = size_t{32} << 20;  // of cuBLASLt itself; NVIDIA's advice for compute capability 9.0 and later
  size_t slice = size_t{64} << 20;    // rows of an int8 or NF4 weight as bfloat16
  size_t in = size_t{32} << 20;       // rows of x or dy, brought to the product's type or packed; rows for a weight
  size_t out = size_t{32} << 20;      // rows of y or dx that the product can't write where they belong

  size_t bytes() const { return product + slice + in + out; }
};

inline constexpr ElementType kActivationType = ElementType::kBF16;
inline constexpr size_t kStagingBytes = size_t{8} << 20;  // page-locked memory of the host
inline constexpr size_t kLengthsBytes = size_t{1} << 20;  // of documents: 262,143 of them in one micro-batch
inline constexpr size_t kAheadBytes = size_t{64} << 10;   // of what is sent ahead of ops: 2,730 rows that are sampled
inline constexpr size_t kInboxBytes = size_t{4}
                                      << 20;  // of uploads that come while the device computes; page-locked, too

inline size_t cudaFixedBytes() { return WeightWorkspace{}.bytes() + kLengthsBytes + kAheadBytes + kInboxBytes; }

// Formats that are decoded to bfloat16, a slice at a time, before cuBLASLt multiplies them.
inline bool isQuantised(WeightFormat format) {
  return format == WeightFormat::kI8Channel || format == WeightFormat::kNF4;
}
// Columns from row to row: rows are padded to 16 bytes, so that a product takes a weight of any width as it lies; of NF4 to
// whole blocks, two columns a byte.
int64_t paddedRow(int64_t in, WeightFormat format);
int64_t rowBytes(int64_t in, WeightFormat format);
// Scales of one row: none, one, or one a block.
int64_t rowScales(int64_t in, WeightFormat format);
// Of the matrix, up to where scales may begin.
size_t matrixBytes(int64_t out, int64_t in, WeightFormat format);
size_t weightBytes(int64_t out, int64_t in, WeightFormat format);

// What a loss takes of logits at a time on a card of so much memory: a 64th of it, rounded down to a power of two, from 64 to 512 MiB.
// The head's matrix is read once for each such chunk. The card's whole memory counts, not what is free: bits follow the chunks.
size_t cudaLogitsBytes(int64_t memoryBytes);

}  // namespace mlit::cuda
