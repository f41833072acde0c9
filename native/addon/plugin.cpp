// Opening the plug-in. RTLD_LOCAL keeps its symbols to itself; what it throws is still our mlit::Error, because libstdc++ compares
// types by name.
#include "addon/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "core/error.h"

namespace mlit::addon {
int32_t cudaIndex(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:")) return -1;
  const char* begin = device.data() + 5;
  const char* end = device.data() + device.size();
  int32_t index = -1;
  const auto [stop, error] = std::from_chars(begin, end, index);
  return error == std::errc() && stop == end && begin != end ? index : -1;
}

std::string addonFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&addonFolder), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

const Plugin& Plugin::cuda() {
  static const Plugin* const only = new Plugin(addonFolder() + "/mlit_cuda.so");
  return *only;
}

Plugin::Plugin(const std::string& path) {
  reason_ = open(path);
  if (!reason_.empty()) table_ = nullptr;
}

std::string Plugin::open(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return "this build has no CUDA backend: there is no " + path;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* said = dlerror();
    return path + " could not be opened: " + (said == nullptr ? "for no reason that the loader gives" : said);
  }
  const auto init = reinterpret_cast<PluginInit>(dlsym(library, kPluginInit));
  score_ = reinterpret_cast<PluginScore>(dlsym(library, kPluginScore));
  table_ = init == nullptr ? nullptr : init();
  if (score_ == nullptr || table_ == nullptr)
    return path + " is no plug-in of mlit-native: it has no table of functions";
  const std::string remedy =
      "; both have to come from one build: install the package anew, or build with `npm run setup`";
  if (table_->version != kPluginVersion) {
    return path + " is a plug-in of version " + std::to_string(table_->version) + ", and this addon takes version " +
           std::to_string(kPluginVersion) + remedy;
  }
  if (const std::string interface = table_->interface; interface != MLIT_INTERFACE) {
    return path + " was built for the backend interface " + interface + ", and this addon has " + MLIT_INTERFACE +
           remedy;
  }
  return "";
}

DeviceReport Plugin::device(int32_t index) const {
  if (table_ == nullptr) return {false, reason_, ""};
  std::array<char, 4096> text{};
  const bool usable = score_(index, text.data(), text.size()) > 0;
  text.back() = 0;
  return usable ? DeviceReport{true, "", text.data()} : DeviceReport{false, text.data(), ""};
}

std::vector<DeviceReport> Plugin::devices() const {
  std::vector<DeviceReport> reports{device(0)};
  const int32_t count = table_ == nullptr ? 0 : table_->devices();
  for (int32_t i = 1; i < count; ++i) reports.push_back(device(i));
  return reports;
}

std::unique_ptr<Backend> Plugin::create(int32_t index) const {
  const DeviceReport report = device(index);
  if (!report.usable) {
    const std::string name = "cuda:" + std::to_string(index);
    throw Error(ErrorCode::kDeviceUnavailable, "device " + name + " can't be used: " + report.reason,
                {{"device", name}});
  }
  return std::unique_ptr<Backend>(table_->create(index));
}

std::string Plugin::whyNoRanks() const { return table_ == nullptr ? reason_ : table_->whyNoRanks(); }

std::string Plugin::makeRanksId() const {
  std::string id(kRanksIdBytes, '\0');
  table_->makeRanksId(reinterpret_cast<std::byte*>(id.data()));
  return id;
}

std::unique_ptr<Exchange> Plugin::joinRanks(Backend& backend, int32_t index, const std::string& id, int32_t rank,
                                            int32_t size) const {
  return std::unique_ptr<Exchange>(
      table_->joinRanks(&backend, index, reinterpret_cast<const std::byte*>(id.data()), rank, size));
}

std::string resolveDevice(const std::string& device, const std::string& isa) {
  if (device == "cpu") return "cpu";
  if (device == "auto") return isa == "auto" && Plugin::cuda().device(0).usable ? "cuda:0" : "cpu";
  const int32_t index = cudaIndex(device);
  if (index < 0) {
    throw Error(ErrorCode::kInvalidArgument, "device is '" + device + "'; expected auto, cpu, cuda or cuda:N",
                {{"device", device}});
  }
  std::string name = "cuda:" + std::to_string(index);
  if (const DeviceReport report = Plugin::cuda().device(index); !report.usable) {
    throw Error(ErrorCode::kDeviceUnavailable, "device " + name + " can't be used: " + report.reason,
                {{"device", name}});
  }
  return name;
}

std::unique_ptr<Backend> createBackend(const std::string& device, int threads, const std::string& isa, bool integers) {
  const std::string resolved = resolveDevice(device, isa);
  if (resolved == "cpu") return createCpuBackend(threads, isa, integers);
  if (integers) {
    throw Error(ErrorCode::kInvalidArgument,
                "compute is int8, which is the processor's; device " + resolved + " computes in its own way",
                {{"field", "compute"}, {"device", resolved}});
  }
  return Plugin::cuda().create(cudaIndex(resolved));
}

}  // namespace mlit::addon
