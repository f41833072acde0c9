// Where cuBLASLt is looked for. Release 13 wants driver 580, so an older driver is only offered release 12.
#include "backend/cuda/cublaslt.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>

namespace mlit::cuda {
namespace {

void addMatches(std::vector<std::string>& folders, const std::string& pattern) {
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) folders.emplace_back(found.gl_pathv[i]);
  }
  globfree(&found);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// As lib/model/cache.ts has it.
std::string cacheFolder() {
  if (const std::string own = variable("MLIT_CACHE"); !own.empty()) return own;
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/mlit";
  return variable("HOME") + "/.cache/mlit";
}

}  // namespace

std::vector<std::string> cublasLtFolders() {
  std::vector<std::string> folders;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string root = variable(name);
    if (root.empty()) continue;
    addMatches(folders, root + "/lib/python3*/site-packages/nvidia/cu13/lib");
    addMatches(folders, root + "/lib/python3*/site-packages/nvidia/cublas/lib");
    addMatches(folders, root + "/lib");
  }
  addMatches(folders, cacheFolder() + "/cuda/cublas-*/nvidia/cu13/lib");
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string root = variable(name); !root.empty()) addMatches(folders, root + "/lib64");
  }
  addMatches(folders, "/usr/local/cuda/lib64");
  return folders;
}

CublasLt openCublasLt(int driverCudaMajor) {
  std::vector<std::string> names{"libcublasLt.so.12"};
  if (driverCudaMajor >= 13) names.insert(names.begin(), "libcublasLt.so.13");
  const std::vector<std::string> folders = cublasLtFolders();
  std::string damaged;
  for (const std::string& name : names) {
    std::vector<std::string> places{name};
    for (const std::string& folder : folders) places.push_back(folder + "/" + name);
    for (const std::string& place : places) {
      void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) continue;
      if (const auto version = reinterpret_cast<size_t (*)()>(dlsym(library, "cublasLtGetVersion"))) {
        return {library, place, version(), ""};
      }
      damaged = place;
      dlclose(library);
    }
  }
  CublasLt none;
  if (!damaged.empty()) {
    none.reason = damaged + " has no cublasLtGetVersion: it is none of NVIDIA's";
    return none;
  }
  for (size_t i = 0; i < names.size(); ++i) none.reason += (i == 0 ? "" : " and ") + names[i];
  none.reason += names.size() == 1 ? " was not found" : " were not found";
  none.reason += " where the loader looks";
  for (const std::string& folder : folders) none.reason += ", in " + folder;
  none.reason += ": install CUDA's cuBLAS, or `pip install nvidia-cublas` into an active environment";
  return none;
}

}  // namespace mlit::cuda
