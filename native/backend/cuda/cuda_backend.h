// The two things that the plug-in's entry points need from what is compiled by nvcc.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/cublaslt.h"

namespace mlit::cuda {

// Why no code in this library runs on the device, as the CUDA runtime sees it; empty where some does. Makes the device's context.
std::string imageReason(int device);

// Throws mlit::Error: kDeviceUnavailable, kOutOfMemory.
std::unique_ptr<Backend> createCudaBackend(int device, const CublasLt& cublasLt);

}  // namespace mlit::cuda
