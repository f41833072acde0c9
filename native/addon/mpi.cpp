// Opening mlit_mpi.so, once. RTLD_GLOBAL, because MPI opens parts of its own that expect to find the library's symbols.
#include "addon/mpi.h"

#include <dlfcn.h>
#include <unistd.h>

#include "addon/plugin.h"
#include "core/error.h"
#include "ranks/mpi/table.h"

namespace mlit::addon {
namespace {

struct Opened {
  const MpiTable* table = nullptr;
  std::string reason;
};

Opened open(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return {nullptr, "this build has no MPI: there is no " + path};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const char* said = dlerror();
    return {nullptr,
            path + " could not be opened: " + (said == nullptr ? "for no reason that the loader gives" : said)};
  }
  const auto init = reinterpret_cast<MpiInit>(dlsym(library, kMpiInit));
  const MpiTable* table = init == nullptr ? nullptr : init();
  if (table == nullptr) return {nullptr, path + " is no plug-in of mlit-native: it has no table of functions"};
  if (table->version != kMpiTableVersion || std::string(table->interface) != MLIT_MPI_INTERFACE)
    return {nullptr, path + " is of another build; build both with `npm run setup`"};
  return {table, ""};
}

const Opened& opened() {
  static const Opened* const only = new Opened(open(addonFolder() + "/mlit_mpi.so"));
  return *only;
}

}  // namespace

const std::string& whyNotMpi() { return opened().reason; }

std::unique_ptr<Exchange> joinByMpi() {
  if (opened().table == nullptr) throw Error(ErrorCode::kDeviceUnavailable, opened().reason);
  return std::unique_ptr<Exchange>(opened().table->join());
}

}  // namespace mlit::addon
