// The two things that the plug-in's entry points need from what is compiled by nvcc.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/cublaslt.h"
#include "backend/exchange.h"

namespace mlit::cuda {

// Why no code in this library runs on the device, as the CUDA runtime sees it; empty where some does. Makes the device's context.
std::string imageReason(int device);

// Of PluginTable: what is compiled by nvcc, or stands in for it.
const char* whyNoRanks();
void makeRanksId(std::byte* id);
Exchange* joinRanks(Backend* backend, int32_t device, const std::byte* id, int32_t rank, int32_t size);

// Throws mlit::Error: kDeviceUnavailable, kOutOfMemory.
std::unique_ptr<Backend> createCudaBackend(int device, const CublasLt& cublasLt);

}  // namespace mlit::cuda
