// Kernels made from PTX: which of them a launch means, and their accesses to memory. Without any, launches run the source.
#include "emulation/translated.h"

#include <cmath>
#include <cstring>
#include <unordered_map>

#include "emulation/machine.h"
#include "emulation/symbols.h"

namespace mlit::emulation {

namespace {

struct File {
  std::string source;
  std::vector<TranslatedKernel> kernels;
};
std::vector<File>& files() {
  static std::vector<File> all;
  return all;
}

const TranslatedKernel* search(const void* kernel) {
  const std::optional<Symbol> symbol = symbolAt(kernel);
  if (!symbol) return nullptr;
  for (const File& file : files()) {
    if (!symbol->file.empty() && symbol->file != file.source)
      continue;  // names of unnamed namespaces are the file's own
    for (const TranslatedKernel& k : file.kernels) {
      if (symbol->name == k.name) return &k;
    }
  }
  return nullptr;
}

// An access in its space: the host's address, or the end of the launch where it must not be made.
char* place(uint64_t at, ptx::Space space, size_t bytes, bool write, bool readOnly, const void* code) {
  const Inside inside;
  const auto* address = reinterpret_cast<char*>(space == ptx::Space::kShared ? ptx::sharedBase() + at : at);
  const Thread& t = *machine.current;
  const bool own = reinterpret_cast<uintptr_t>(address) - machine.stackLow < kStackBytes;
  const auto refuse = [&](Kind kind, const char* what) {
    report(kind, std::string(write ? "write" : "read") + " of " + std::to_string(bytes) + " bytes " + what, code);
    abandonLaunch();
  };
  if (own || space == ptx::Space::kLocal) {
    const auto offset = static_cast<size_t>(address - t.local);
    if (offset > t.localBytes || bytes > t.localBytes - offset)
      refuse(Kind::kOutOfBounds, "past a thread's own memory");
    if (offset % bytes != 0) refuse(Kind::kMisaligned, "of a thread's own memory");
    return const_cast<char*>(address);
  }
  if (space == ptx::Space::kShared && !machine.shared.holds(address)) refuse(Kind::kWild, "outside of shared memory");
  if (space == ptx::Space::kGlobal && machine.shared.holds(address)) refuse(Kind::kWild, "of shared memory as global");
  if (!touch(address, bytes, write, true, code)) abandonLaunch();
  noteReadOnly(address, bytes, write, readOnly, code);
  return const_cast<char*>(address);
}

}  // namespace

bool runsTranslated() { return !files().empty(); }

const TranslatedKernel* translationOf(const void* kernel) {
  static std::unordered_map<const void*, const TranslatedKernel*> known;
  const auto [entry, isNew] = known.try_emplace(kernel, nullptr);
  if (isNew) entry->second = search(kernel);
  return entry->second;
}

namespace ptx {

#define CODE __builtin_extract_return_addr(__builtin_return_address(0))

Translation::Translation(const char* source, std::initializer_list<TranslatedKernel> kernels) {
  files().push_back({source, kernels});
}

uint64_t sharedBase() { return reinterpret_cast<uint64_t>(machine.shared.base); }
uint64_t sharedOffset(const void* key, size_t bytes, size_t alignment) {
  return reinterpret_cast<uint64_t>(sharedSlot(key, bytes, alignment)) - sharedBase();
}
uint64_t dynamicSharedOffset() { return reinterpret_cast<uint64_t>(dynamicShared()) - sharedBase(); }

void beginLocal(void* at, size_t bytes) {
  std::memset(at, 0xFF, bytes);
  machine.current->local = static_cast<char*>(at);
  machine.current->localBytes = bytes;
}

template <class T>
T load(uint64_t at, Space space, bool readOnly) {
  T value;
  std::memcpy(&value, place(at, space, sizeof(T), false, readOnly, CODE), sizeof(T));
  return value;
}
template <class T>
void store(uint64_t at, Space space, T value) {
  std::memcpy(place(at, space, sizeof(T), true, false, CODE), &value, sizeof(T));
}
#define INSTANCES(type)                            \
  template type load<type>(uint64_t, Space, bool); \
  template void store<type>(uint64_t, Space, type);
INSTANCES(uint8_t)
INSTANCES(uint16_t)
INSTANCES(uint32_t)
INSTANCES(uint64_t)

void loadVector(void* to, uint64_t at, Space space, size_t bytes, bool readOnly) {
  std::memcpy(to, place(at, space, bytes, false, readOnly, CODE), bytes);
}
void storeVector(uint64_t at, const void* from, Space space, size_t bytes) {
  std::memcpy(place(at, space, bytes, true, false, CODE), from, bytes);
}

Shuffled shuffle(ShuffleKind kind, unsigned mask, uint32_t value, uint32_t operand, uint32_t limits, Site site) {
  const int own = static_cast<int>(machine.current->id % 32), width = 32 - static_cast<int>(limits >> 8 & 31);
  const int by = static_cast<int>(operand & 31), first = own / width * width, last = first + width - 1;
  const uint32_t clamp = kind == ShuffleKind::kUp ? 0 : 31;
  if ((limits & 31) != clamp || (width & (width - 1)) != 0) {
    report(Kind::kCollective, "a shuffle with other limits than CUDA's functions give", nullptr, &site);
    abandonLaunch();
  }
  const auto bits = static_cast<uint32_t>(emulation::shuffle(kind, mask, value, by, width, site));
  switch (kind) {
    case ShuffleKind::kUp:
      return {bits, own - by >= first};
    case ShuffleKind::kDown:
      return {bits, own + by <= last};
    case ShuffleKind::kXor:
      return {bits, (own ^ by) <= last};
    default:
      return {bits, true};
  }
}

float inexactly(float value, float argument, int units) {
  return emulation::inexact(value, bits<uint32_t>(argument), units);
}
// Of zero and of subnormals the ISA has exactly 1, which products of many powers lean on.
float exp2Approximately(float x) { return flush(x) == 0 ? 1.0f : inexactly(std::exp2(x), x, 2); }
// Their errors are absolute: about 2^-22 and 2^-21.
float log2Approximately(float x) {
  const float y = std::log2(x);
  return std::fabs(y) < 0.25f ? y + inexactly(0x1p-23f, x, 1 << 20) - 0x1p-23f : inexactly(y, x, 2);
}
float sineApproximately(float x) { return std::sin(x) + inexactly(0x1p-22f, x, 1 << 20) - 0x1p-22f; }
float cosineApproximately(float x) { return std::cos(x) + inexactly(0x1p-22f, x, 1 << 20) - 0x1p-22f; }
float divideApproximately(float a, float b) {
  if (std::fabs(b) > 0x1p126f && std::isfinite(b))
    return std::isinf(a) ? NAN : std::copysign(0.0f, a) * std::copysign(1.0f, b);
  return inexactly(a / b, a, 2);
}

}  // namespace ptx
}  // namespace mlit::emulation
