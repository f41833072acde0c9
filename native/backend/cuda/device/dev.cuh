// The only header that a kernel includes: CUDA for nvcc, or the emulator's dialect of it for the host compiler, and one header
// for each family of instructions. docs/cuda.md says what a kernel may do.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
// A variable shared by the block. Emulated: a place of the block's arena with red zones around it.
#define SHARED(Type, name) __shared__ Type name
// The block's dynamic shared memory: always bytes, always aligned for any use.
#define DYN_SMEM(name) extern __shared__ __align__(1024) unsigned char name[]
#define UNROLL _Pragma("unroll")
#define UNROLL_4 _Pragma("unroll 4")
#else
#include "emulation/dialect.h"
#define SHARED(Type, name)          \
  static const char name##_key = 0; \
  Type& name = *static_cast<Type*>(mlit::emulation::sharedSlot(&name##_key, sizeof(Type), alignof(Type)))
#define DYN_SMEM(name) unsigned char* const name = mlit::emulation::dynamicShared()
#define UNROLL _Pragma("GCC unroll 32")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

// For functions of the device headers.
#define DEVICE __device__ __forceinline__
#ifdef __CUDACC__
#define SITE
#define SITE_ONLY
#else
#define SITE , const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SITE_ONLY const char *file = __builtin_FILE(), int line = __builtin_LINE()
#endif

#include "backend/cuda/device/cp_async.cuh"
#include "backend/cuda/device/launch.cuh"
#include "backend/cuda/device/ldmatrix.cuh"
#include "backend/cuda/device/math.cuh"
#include "backend/cuda/device/mma.cuh"
#include "backend/cuda/device/vector.cuh"
#include "backend/cuda/device/warp.cuh"
