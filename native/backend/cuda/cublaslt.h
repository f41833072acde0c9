// NVIDIA's matrix products, opened at run time: the library is several hundred MB, and a build that linked it would load nowhere else.
#pragma once

#include <string>
#include <vector>

namespace mlit::cuda {

struct CublasLt {
  void* library = nullptr;  // for dlsym; never closed
  std::string path;         // as it was opened
  size_t version = 0;       // cublasLtGetVersion(): 130100 = 13.1
  std::string reason;       // why library is null
};

// Folders beyond the loader's own that may hold it: of NVIDIA's wheels in a virtual environment or in mlit's cache, of conda, of a
// toolkit.
std::vector<std::string> cublasLtFolders();

// The release that the driver runs, then the one before; by name, then in the folders.
CublasLt openCublasLt(int driverCudaMajor);

}  // namespace mlit::cuda
