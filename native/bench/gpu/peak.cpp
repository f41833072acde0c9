#include "bench/gpu/peak.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <vector>

namespace mlit::bench {

namespace {

std::vector<std::string> wordsOf(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

const cuda::Card* cardOfName(const std::string& driversName, uint64_t memoryBytes) {
  const std::vector<std::string> listed = wordsOf(driversName);
  const std::set<std::string> words(listed.begin(), listed.end());
  for (const char* other : {"ti", "d", "super", "laptop", "nvl", "max"}) {
    if (words.contains(other)) return nullptr;
  }
  // The table has the SXM boards; only A100's run at the same rate as its PCIe ones.
  if (words.contains("pcie") && !words.contains("a100") && !words.contains("a10")) return nullptr;
  const cuda::Card* best = nullptr;
  const auto memory = static_cast<int64_t>(memoryBytes >> 20);
  for (const cuda::Card& card : cuda::cards()) {
    std::vector<std::string> model = wordsOf(card.name);
    model.pop_back();  // its memory
    if (!std::all_of(model.begin(), model.end(), [&](const std::string& word) { return words.contains(word); }))
      continue;
    if (best == nullptr || std::abs(card.memoryMiB - memory) < std::abs(best->memoryMiB - memory)) best = &card;
  }
  return best;
}

}  // namespace mlit::bench
