// What `mlit doctor` says of the machine: read from /proc and the control groups, so that what is reported is what the
// process may really use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlit::addon {

struct IsaReport {
  std::string name;
  bool usable = false;
  std::string reason;  // why not
};

struct MachineReport {
  std::string cpuModel;
  std::vector<std::string> features;  // of those that matter to a kernel
  int usableProcessors = 0;
  std::vector<IsaReport> isas;  // every one compiled in, widest first
  int64_t totalBytes = 0;
  int64_t availableBytes = 0;
  int64_t limitBytes = 0;  // the tightest control group's, 0 = none
};

MachineReport inspectMachine();

// The tightest memory limit of the control groups, v1 or v2, that membershipFile (/proc/self/cgroup) names below mount
// (/sys/fs/cgroup), parents included; 0 where there is none.
int64_t cgroupMemoryLimit(const std::string& membershipFile, const std::string& mount);

}  // namespace mlit::addon
