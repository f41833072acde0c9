#include "backend/cuda/test/card/card.h"

#include <cstdlib>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/probe.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/test/device_under_test.h"

namespace mlit::test {

namespace {

const cuda::Driver& driver() {
  static const cuda::Driver asked(cuda::Build{MLIT_CUDA_TOOLKIT_MAJOR, MLIT_CUDA_ARCHS});
  return asked;
}

const cuda::CublasLt& library() {
  static const cuda::CublasLt opened = cuda::openCublasLt(driver().cudaMajor());
  return opened;
}

}  // namespace

std::string card::unavailable() {
  if (const cuda::Verdict verdict = driver().judge(0); !verdict.usable) return verdict.text;
  if (library().library == nullptr) return library().reason;
  return cuda::imageReason(0);
}

nlohmann::json card::describe() {
  const cuda::DeviceProperties properties = cuda::deviceProperties(0);
  return {{"name", properties.name},
          {"description", driver().judge(0).text},
          {"computeCapability", std::to_string(properties.major) + "." + std::to_string(properties.minor)},
          {"processors", properties.processors},
          {"memoryBytes", properties.totalBytes},
          {"toolkit", MLIT_CUDA_TOOLKIT},
          {"architectures", MLIT_CUDA_ARCHS},
          {"cublasLtVersion", library().version}};
}

const cuda::CublasLtApi& device::cublasLt() {
  static const cuda::CublasLtApi api = cuda::cublasLtApi(library().library);
  return api;
}

}  // namespace mlit::test
