// Whether a card can be used, and a sentence that says why not: asked of the driver alone, which is opened at run time, so that this
// costs no context and needs no toolkit to be compiled and tested.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlit::cuda {

// What the plug-in was compiled by and for.
struct Build {
  int toolkitMajor = 0;
  std::string archs;  // as in -gencode, with commas: "80,90a,120+ptx"
};

struct Verdict {
  bool usable = false;
  std::string text;  // description, or reason
};

// Whether code compiled for `archs` runs on a card of this capability: the same major number and a minor number not above
// the card's; with an "a", exactly that card; with "+ptx", every later one.
bool archsCover(const std::string& archs, int major, int minor);

// The first driver that runs what a toolkit of this major number compiled, and the CUDA release that it reports.
struct DriverFloor {
  int driver;
  int cuda;  // 1000 * major + 10 * minor
};
DriverFloor driverFloor(int toolkitMajor);

// "535.104.05" of /proc/driver/nvidia/version's text, empty where it has none.
std::string kernelDriver(const std::string& procText);

class Driver {
 public:
  // Opens libcuda.so.1 and asks for its devices once; whatever fails becomes reason().
  explicit Driver(Build build);

  const std::string& reason() const { return reason_; }  // why there are no devices, else empty
  int32_t devices() const { return static_cast<int32_t>(devices_.size()); }
  Verdict judge(int32_t device) const;
  int cudaMajor() const { return cuda_ / 1000; }  // of the driver

 private:
  struct Device {
    std::string name;
    int major = 0, minor = 0;
    int64_t bytes = 0;
    bool prohibited = false;  // compute mode: nobody may use it
  };
  std::string open();

  Build build_;
  int cuda_ = 0;
  std::vector<Device> devices_;
  std::string reason_;
};

}  // namespace mlit::cuda
