// The entry points of mlit_cuda.so.
#include "backend/plugin.h"

#include <cstdio>
#include <exception>
#include <string>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/probe.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

const Driver& driver() {
  static const Driver asked(Build{MLIT_CUDA_TOOLKIT_MAJOR, MLIT_CUDA_ARCHS});
  return asked;
}

const CublasLt& cublasLt() {
  static const CublasLt opened = openCublasLt(driver().cudaMajor());
  return opened;
}

Verdict judge(int32_t device) {
  Verdict verdict = driver().judge(device);
  if (!verdict.usable) return verdict;
  if (cublasLt().library == nullptr) return {false, cublasLt().reason};
  return verdict;
}

Backend* create(int32_t device) {
  std::string reason;
  if (const Verdict verdict = judge(device); !verdict.usable) {
    reason = verdict.text;
  } else {
    reason = imageReason(device);
  }
  if (reason.empty()) return createCudaBackend(device, cublasLt()).release();
  throw Error(ErrorCode::kDeviceUnavailable, reason, {{"device", "cuda:" + std::to_string(device)}});
}

}  // namespace
}  // namespace mlit::cuda

extern "C" {

__attribute__((visibility("default"))) const mlit::PluginTable* mlit_backend_init() {
  static const mlit::PluginTable table{
      mlit::kPluginVersion, MLIT_INTERFACE,         [] { return mlit::cuda::driver().devices(); },
      mlit::cuda::create,   mlit::cuda::whyNoRanks, mlit::cuda::makeRanksId,
      mlit::cuda::joinRanks};
  return &table;
}

__attribute__((visibility("default"))) int32_t mlit_backend_score(int32_t device, char* text, size_t capacity) {
  try {
    const mlit::cuda::Verdict verdict = mlit::cuda::judge(device);
    std::snprintf(text, capacity, "%s", verdict.text.c_str());
    return verdict.usable ? 100 : 0;
  } catch (const std::exception& error) {
    std::snprintf(text, capacity, "%s", error.what());
    return 0;
  }
}

}  // extern "C"
