// Marks functions that kernels of the CUDA backend call too.
#pragma once

#ifdef __CUDACC__
#define MLIT_HOST_DEVICE __host__ __device__
#else
#define MLIT_HOST_DEVICE
#endif
