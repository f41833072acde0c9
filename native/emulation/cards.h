// What a launch may ask of each architecture that is built for: CUDA C++ Programming Guide, "Technical Specifications per Compute
// Capability"; processors and memory are those of one card of it.
#pragma once

#include <cstddef>
#include <string_view>

namespace mlit::emulation {

struct Card {
  std::string_view name;
  int major, minor;
  int processors;
  size_t memoryGiB;
  size_t sharedKiBPerBlock;      // with opt-in
  size_t sharedKiBPerProcessor;  // 1 KiB of it is the system's for each resident block
  int threadsPerProcessor;
  int blocksPerProcessor;
};

inline constexpr Card kCards[] = {
    {"NVIDIA A100", 8, 0, 108, 80, 163, 164, 2048, 32},
    {"NVIDIA GeForce RTX 3090", 8, 6, 82, 24, 99, 100, 1536, 16},
    {"NVIDIA GeForce RTX 4090", 8, 9, 128, 24, 99, 100, 1536, 24},
    {"NVIDIA H100", 9, 0, 132, 80, 227, 228, 2048, 32},
    {"NVIDIA B200", 10, 0, 148, 180, 227, 228, 2048, 32},
    {"NVIDIA GeForce RTX 5090", 12, 0, 170, 32, 99, 100, 1536, 24},
};

// By compute capability times ten: 80, 86, 89, 90, 100, 120.
inline const Card& cardOf(int architecture) {
  for (const Card& card : kCards) {
    if (card.major * 10 + card.minor == architecture) return card;
  }
  return kCards[0];
}

// The same for every one of them.
inline constexpr unsigned kThreadsPerBlock = 1024, kBlockZ = 64, kGridX = 2147483647, kGridYZ = 65535;
inline constexpr size_t kStaticSharedBytes = size_t{48} * 1024;

}  // namespace mlit::emulation
