#include "bench/gpu/documents.h"

#include <algorithm>
#include <cmath>

#include "core/philox.h"

namespace mlit::bench {

Documents::Documents(int64_t totalTokens, int64_t maxLength, int32_t vocabulary, uint64_t seed) {
  constexpr double kShortest = 32;
  const double octaves = std::log2(std::max(1.0, static_cast<double>(maxLength) / kShortest));
  for (int64_t left = totalTokens, number = 0; left > 0; ++number) {
    const double drawn = kShortest * std::exp2(octaves * unitFloat(philox(seed, 1, static_cast<uint64_t>(number))[0]));
    int64_t length = std::min<int64_t>({static_cast<int64_t>(drawn), maxLength, left});
    if (left - length < 2) length = left;  // a document of one token teaches nothing
    const int64_t prompt = std::max<int64_t>(1, length / 3);
    for (int64_t i = 0; i < length; ++i) {
      const uint32_t draw = philox(seed, 2 + static_cast<uint64_t>(number), static_cast<uint64_t>(i))[0];
      tokens.push_back(static_cast<int32_t>(2 + draw % static_cast<uint32_t>(vocabulary - 2)));
      positions.push_back(static_cast<int32_t>(i));
    }
    for (int64_t i = 0; i < length; ++i) {
      const bool learnt = i + 1 >= prompt && i + 1 < length;
      targets.push_back(learnt ? tokens[tokens.size() - static_cast<size_t>(length - i) + 1] : -1);
      weights.push_back(learnt ? 1.0f : 0.0f);
    }
    cuSeqlens.push_back(static_cast<int32_t>(tokens.size()));
    adapters.push_back(0);
    lengths.push_back({length, length - prompt});
    left -= length;
  }
}

int64_t Documents::supervised() const {
  int64_t sum = 0;
  for (const Lengths& document : lengths) sum += document.supervised;
  return sum;
}

}  // namespace mlit::bench
