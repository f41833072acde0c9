// Parsing of /proc/cpuinfo, /proc/meminfo and the control groups.
#include "addon/machine.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "backend/cpu/kernels.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace mlit::addon {
namespace {

#if defined(__x86_64__)
constexpr const char* kIsas[] = {"avx512", "avx2"};
constexpr const char* kFeatures[] = {"sse4_2",   "avx",      "avx2",     "fma",      "f16c",        "bmi2",
                                     "avx512f",  "avx512bw", "avx512cd", "avx512dq", "avx512vl",    "avx512_vnni",
                                     "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "avx512_bf16", "avx512_fp16"};
#else
constexpr const char* kIsas[] = {"neon"};
constexpr const char* kFeatures[] = {"asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"};
#endif

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

void readCpu(MachineReport& report) {
  std::ifstream file("/proc/cpuinfo");
  std::string flags;
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
    if (key == "model name" && report.cpuModel.empty()) report.cpuModel = value;
    if ((key == "flags" || key == "Features") && flags.empty()) flags = " " + value + " ";
  }
  if (report.cpuModel.empty()) report.cpuModel = "unknown";
  for (const char* feature : kFeatures) {
    if (flags.find(" " + std::string(feature) + " ") != std::string::npos) report.features.emplace_back(feature);
  }
}

void readMemory(MachineReport& report) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kibibytes = 0;
    if (!(words >> key >> kibibytes)) continue;
    if (key == "MemTotal:") report.totalBytes = kibibytes * 1024;
    if (key == "MemAvailable:") report.availableBytes = kibibytes * 1024;
  }
}

int64_t limitIn(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word) || word.empty() || word.find_first_not_of("0123456789") != std::string::npos) return 0;  // "max"
  if (word.size() > 18) return 0;
  const int64_t bytes = std::stoll(word);
  return bytes >= (int64_t{1} << 60) ? 0 : bytes;  // v1 writes "no limit" as a huge number
}

}  // namespace

int64_t cgroupMemoryLimit(const std::string& membershipFile, const std::string& mount) {
  int64_t limit = std::numeric_limits<int64_t>::max();
  std::ifstream membership(membershipFile);
  for (std::string line; std::getline(membership, line);) {  // "0::/a/b" in v2, "5:memory,hugetlb:/a/b" in v1
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",memory,") == std::string::npos) continue;
    const std::string top = unified ? mount : mount + "/memory";
    const std::string name = unified ? "/memory.max" : "/memory.limit_in_bytes";
    std::string path = line.substr(second + 1);
    for (;;) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      if (const int64_t bytes = limitIn(top + path + name); bytes > 0) limit = std::min(limit, bytes);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return limit == std::numeric_limits<int64_t>::max() ? 0 : limit;
}

MachineReport inspectMachine() {
  MachineReport report;
  readCpu(report);
  readMemory(report);
  report.usableProcessors = usableProcessors();
  report.limitBytes = cgroupMemoryLimit("/proc/self/cgroup", "/sys/fs/cgroup");
  for (const char* isa : kIsas) {
    try {
      kernelTable(isa);
      report.isas.push_back({isa, true, ""});
    } catch (const Error& error) {
      report.isas.push_back({isa, false, error.what()});
    }
  }
  return report;
}

}  // namespace mlit::addon
