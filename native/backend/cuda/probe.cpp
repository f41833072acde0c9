// The driver's answers, by the seven functions of its C interface that are needed. It reads CUDA_VISIBLE_DEVICES itself: a device that
// is hidden by it does not exist here, so a reason that may come from it shows its value.
#include "backend/cuda/probe.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace mlit::cuda {
namespace {

constexpr int kNoDevice = 100;  // CUDA_ERROR_NO_DEVICE
enum Attribute { kComputeMode = 20, kCapabilityMajor = 75, kCapabilityMinor = 76 };
constexpr int kModeProhibited = 2;

struct Api {
  int (*init)(unsigned);
  int (*driverVersion)(int*);
  int (*deviceCount)(int*);
  int (*deviceGet)(int*, int);
  int (*deviceName)(char*, int, int);
  int (*deviceBytes)(size_t*, int);
  int (*deviceAttribute)(int*, int, int);
  int (*errorName)(int, const char**);
};

template <class F>
bool resolve(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

std::string releaseText(int cuda) { return std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10); }

std::string visibleText() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible == nullptr ? "" : std::string(" (CUDA_VISIBLE_DEVICES is '") + visible + "')";
}

std::string errorText(const Api& api, int code) {
  const char* name = nullptr;
  if (api.errorName(code, &name) != 0 || name == nullptr) return "error " + std::to_string(code);
  return std::string(name) + " (" + std::to_string(code) + ")";
}

std::string installedDriver() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::stringstream text;
  text << file.rdbuf();
  const std::string version = kernelDriver(text.str());
  return version.empty() ? "the driver" : "driver " + version;
}

}  // namespace

bool archsCover(const std::string& archs, int major, int minor) {
  std::stringstream list(archs);
  for (std::string arch; std::getline(list, arch, ',');) {
    const int number = std::atoi(arch.c_str());
    const bool exact = arch.find('a') != std::string::npos;
    const bool ptx = arch.find("+ptx") != std::string::npos;
    if (exact ? number == major * 10 + minor : number / 10 == major && number % 10 <= minor) return true;
    if (ptx && number <= major * 10 + minor) return true;
  }
  return false;
}

DriverFloor driverFloor(int toolkitMajor) {
  return toolkitMajor >= 13 ? DriverFloor{580, 13000} : DriverFloor{525, 12000};
}

std::string kernelDriver(const std::string& procText) {
  std::stringstream words(procText.substr(0, procText.find('\n')));
  for (std::string word; words >> word;) {
    const bool numbers = word.find_first_not_of("0123456789.") == std::string::npos;
    if (numbers && word.find('.') != std::string::npos) return word;
  }
  return "";
}

Driver::Driver(Build build) : build_(std::move(build)) {
  reason_ = open();
  if (!reason_.empty()) devices_.clear();
}

std::string Driver::open() {
  const DriverFloor floor = driverFloor(build_.toolkitMajor);
  const std::string needed = "driver " + std::to_string(floor.driver) + " or later is needed";
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* said = dlerror();
    return "no NVIDIA driver: " + std::string(said == nullptr ? "libcuda.so.1 was not found" : said) + "; " + needed;
  }
  Api api{};
  if (!resolve(library, "cuInit", api.init) || !resolve(library, "cuDriverGetVersion", api.driverVersion) ||
      !resolve(library, "cuDeviceGetCount", api.deviceCount) || !resolve(library, "cuDeviceGet", api.deviceGet) ||
      !resolve(library, "cuDeviceGetName", api.deviceName) ||
      !resolve(library, "cuDeviceTotalMem_v2", api.deviceBytes) ||
      !resolve(library, "cuDeviceGetAttribute", api.deviceAttribute) ||
      !resolve(library, "cuGetErrorName", api.errorName)) {
    return "libcuda.so.1 lacks a function of every driver since 2013: it is none of NVIDIA's; " + needed;
  }
  // May be asked before cuInit, which an old driver refuses for reasons that say less.
  if (const int code = api.driverVersion(&cuda_); code != 0) return "cuDriverGetVersion: " + errorText(api, code);
  if (cuda_ < floor.cuda) {
    return installedDriver() + " is too old: it runs CUDA " + releaseText(cuda_) + ", and this build is of CUDA " +
           std::to_string(build_.toolkitMajor) + "; " + needed;
  }
  int count = 0;
  int code = api.init(0);
  if (code == 0) code = api.deviceCount(&count);
  if (code == kNoDevice || (code == 0 && count == 0)) return "the driver shows no device" + visibleText();
  if (code != 0) return "the driver does not start: " + errorText(api, code) + visibleText();
  for (int i = 0; i < count; ++i) {
    Device device;
    char name[128] = "";
    int handle = 0, mode = 0;
    size_t bytes = 0;
    code = api.deviceGet(&handle, i);
    if (code == 0) code = api.deviceName(name, static_cast<int>(sizeof name) - 1, handle);
    if (code == 0) code = api.deviceBytes(&bytes, handle);
    if (code == 0) code = api.deviceAttribute(&device.major, kCapabilityMajor, handle);
    if (code == 0) code = api.deviceAttribute(&device.minor, kCapabilityMinor, handle);
    if (code == 0) code = api.deviceAttribute(&mode, kComputeMode, handle);
    if (code != 0) return "device " + std::to_string(i) + " does not answer: " + errorText(api, code);
    device.name = name;
    device.bytes = static_cast<int64_t>(bytes);
    device.prohibited = mode == kModeProhibited;
    devices_.push_back(std::move(device));
  }
  return "";
}

Verdict Driver::judge(int32_t index) const {
  if (!reason_.empty()) return {false, reason_};
  if (index < 0 || index >= devices()) {
    return {false, "there is no device " + std::to_string(index) + ": the driver shows " + std::to_string(devices()) +
                       ", numbered from 0" + visibleText()};
  }
  const Device& device = devices_[static_cast<size_t>(index)];
  const std::string capability = std::to_string(device.major) + "." + std::to_string(device.minor);
  if (device.major < 8) {
    return {false, device.name + " has compute capability " + capability + "; 8.0 or later is needed"};
  }
  if (!archsCover(build_.archs, device.major, device.minor)) {
    return {false, device.name + " has compute capability " + capability + ", which this build was not compiled for (" +
                       build_.archs + ")"};
  }
  if (device.prohibited) {
    return {false, device.name + " is in compute mode 'prohibited': `nvidia-smi -c DEFAULT` as root ends that"};
  }
  char memory[32];
  std::snprintf(memory, sizeof memory, "%.1f GiB", static_cast<double>(device.bytes) / (1 << 30));
  return {true, device.name + ", " + memory + ", compute capability " + capability + ", driver of CUDA " +
                    releaseText(cuda_)};
}

}  // namespace mlit::cuda
