// The CUDA backend as the addon sees it: a library beside it that may be missing, of another build, or of no use on this machine, each
// of which is a sentence for `mlit doctor` and for whoever asked for the device.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/plugin.h"

namespace mlit::addon {

struct DeviceReport {
  bool usable = false;
  std::string reason, description;  // one of them is empty
};

class Plugin {
 public:
  // mlit_cuda.so in the addon's own folder, opened at the first call and never closed. Any thread.
  static const Plugin& cuda();

  // Device 0's where there is none to be counted: its reason is why.
  std::vector<DeviceReport> devices() const;
  DeviceReport device(int32_t index) const;
  // Throws kDeviceUnavailable with the device's reason, and what the plug-in throws.
  std::unique_ptr<Backend> create(int32_t index) const;

  // Cards of several ranks: see PluginTable.
  std::string whyNoRanks() const;
  std::string makeRanksId() const;
  std::unique_ptr<Exchange> joinRanks(Backend& backend, int32_t index, const std::string& id, int32_t rank,
                                      int32_t size) const;

 private:
  explicit Plugin(const std::string& path);
  std::string open(const std::string& path);

  std::string reason_;  // why there is no table
  const PluginTable* table_ = nullptr;
  PluginScore score_ = nullptr;
};

// The number of "cuda" or "cuda:N", or -1.
int32_t cudaIndex(const std::string& device);

// The folder that this addon was loaded from, where its plug-ins are.
std::string addonFolder();

// "cpu" or "cuda:N" for "auto", "cpu", "cuda" (= "cuda:0") or "cuda:N". auto is the first card where it is usable, and the processor
// where it is not, or where an instruction set of the processor is asked for. Throws kDeviceUnavailable with the reason, or
// kInvalidArgument for another text.
std::string resolveDevice(const std::string& device, const std::string& isa = "auto");

// On the compute thread: a backend of its own on a resolved device.
// integers: of the processor, whether its products with int8 weights are of integers.
std::unique_ptr<Backend> createBackend(const std::string& device, int threads, const std::string& isa,
                                       bool integers = false);

}  // namespace mlit::addon
