// libcuda.so.1 for tests: MLIT_DOUBLE_DRIVER is "VERSION INIT_CODE" and then "MAJOR.MINOR.MODE" for each card, as in
// "13000 0 9.0.0 7.5.0". CUDA_VISIBLE_DEVICES is honoured as far as an empty value goes, which hides everything.
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Card {
  int major = 0, minor = 0, mode = 0;
};

struct World {
  int version = 0, init = 0;
  std::vector<Card> cards;

  World() {
    const char* told = std::getenv("MLIT_DOUBLE_DRIVER");
    std::stringstream text(told == nullptr ? "" : told);
    text >> version >> init;
    for (std::string word; text >> word;) {
      Card card;
      if (std::sscanf(word.c_str(), "%d.%d.%d", &card.major, &card.minor, &card.mode) == 3) cards.push_back(card);
    }
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible != nullptr && *visible == 0) init = 100;
  }
};

const World& world() {
  static const World made;
  return made;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int cuInit(unsigned) { return world().init; }
EXPORTED int cuDriverGetVersion(int* version) {
  *version = world().version;
  return 0;
}
EXPORTED int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(world().cards.size());
  return 0;
}
EXPORTED int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
EXPORTED int cuDeviceGetName(char* name, int capacity, int device) {
  std::snprintf(name, static_cast<size_t>(capacity), "Card %d", device);
  return 0;
}
EXPORTED int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{80} << 30;
  return 0;
}
EXPORTED int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const Card& card = world().cards[static_cast<size_t>(device)];
  *value = attribute == 75 ? card.major : attribute == 76 ? card.minor : card.mode;
  return 0;
}
EXPORTED int cuGetErrorName(int code, const char** name) {
  *name = code == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : nullptr;
  return code == 803 ? 0 : 1;
}
