// Finding NCCL at run time, as cuBLASLt is found.
#include "backend/cuda/nccl_api.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <vector>

namespace mlit::cuda {
namespace {

constexpr const char* kName = "libnccl.so.2";

std::vector<std::string> places() {
  std::vector<std::string> all{kName};
  const auto add = [&all](const std::string& pattern) {
    glob_t found{};
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) all.emplace_back(found.gl_pathv[i]);
    }
    globfree(&found);
  };
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const char* root = std::getenv(name);
    if (root == nullptr || *root == 0) continue;
    add(std::string(root) + "/lib/python3*/site-packages/nvidia/nccl/lib/" + kName);
    add(std::string(root) + "/lib/" + kName);
  }
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* root = std::getenv(name)) add(std::string(root) + "/lib64/" + kName);
  }
  add(std::string("/usr/local/cuda/lib64/") + kName);
  return all;
}

template <class F>
bool find(void* library, const char* name, F*& to) {
  to = reinterpret_cast<F*>(dlsym(library, name));
  return to != nullptr;
}

bool fill(void* library, NcclApi& api) {
  return find(library, "ncclGetVersion", api.getVersion) && find(library, "ncclGetErrorString", api.getErrorString) &&
         find(library, "ncclGetUniqueId", api.getUniqueId) && find(library, "ncclCommInitRank", api.commInitRank) &&
         find(library, "ncclCommDestroy", api.commDestroy) && find(library, "ncclCommAbort", api.commAbort) &&
         find(library, "ncclCommGetAsyncError", api.commGetAsyncError) &&
         find(library, "ncclGroupStart", api.groupStart) && find(library, "ncclGroupEnd", api.groupEnd) &&
         find(library, "ncclSend", api.send) && find(library, "ncclRecv", api.recv);
}

Nccl open() {
  Nccl found;
  for (const std::string& place : places()) {
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    int version = 0;
    if (!fill(library, found.api) || found.api.getVersion(&version) != NcclResult::kSuccess) {
      found.reason = place + " is no NCCL of 2.7 or later";
      dlclose(library);
      continue;
    }
    found.version = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                    std::to_string(version % 100);
    found.reason.clear();
    return found;
  }
  if (found.reason.empty())
    found.reason = std::string(kName) +
                   " was not found where the loader looks: install NCCL, or `pip install nvidia-nccl-cu13` into an "
                   "active environment";
  return found;
}

}  // namespace

const Nccl& nccl() {
  static const Nccl opened = open();
  return opened;
}

}  // namespace mlit::cuda
