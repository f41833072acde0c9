// What a kernel's translation unit calls in the emulator: who am I, barriers, collectives of a warp, asynchronous copies and
// accesses wider than the compiler's own. Kernels reach these through the names of dialect.h and of the device headers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlit::emulation {

#define MLIT_EMULATION_CONST __attribute__((const))
MLIT_EMULATION_CONST unsigned threadIndex(int axis);
MLIT_EMULATION_CONST unsigned blockIndex(int axis);
MLIT_EMULATION_CONST unsigned blockSize(int axis);
MLIT_EMULATION_CONST unsigned gridSize(int axis);

// Where a call stands in the source; equal sites of two lanes are the same call.
struct Site {
  const char* file;
  int line;
};

void* sharedSlot(const void* key, size_t bytes, size_t alignment);  // a __shared__ variable of the running block
unsigned char* dynamicShared();

int blockBarrier(int value, Site site);  // the number of threads with value != 0
void warpBarrier(unsigned mask, Site site);

enum class ShuffleKind { kIndex, kXor, kUp, kDown };
uint64_t shuffle(ShuffleKind kind, unsigned mask, uint64_t bits, int operand, int width, Site site);
unsigned ballot(unsigned mask, bool value, Site site);
unsigned matchAny(unsigned mask, uint64_t bits, Site site);

using F32x4 = float __attribute__((vector_size(16)));
using S32x4 = int32_t __attribute__((vector_size(16)));
using U32x4 = uint32_t __attribute__((vector_size(16)));
F32x4 mmaM16N8K16(F32x4 c, U32x4 a, uint64_t b, Site site);  // bf16 operands; b: register 0 in the low half
S32x4 mmaM16N8K32(S32x4 c, U32x4 a, uint64_t b, Site site);  // s8 operands
U32x4 ldmatrix(const void* row, int matrices, bool transposed, Site site);

void copyAsync(void* shared, const void* global, int bytes, int sourceBytes);
void copyAsyncCommit();
void copyAsyncWait(int pending);

// An access of one piece, checked for its natural alignment.
void loadWide(void* to, const void* from, size_t bytes);
void storeWide(void* to, const void* from, size_t bytes);

unsigned atomicAdd(unsigned* shared, unsigned value);  // what was there before

float exp2Approximate(float x);

}  // namespace mlit::emulation
