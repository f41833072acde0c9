// Philox over lanes: each 64-bit lane holds one counter word in its lower half, what is above is never read.
#include "backend/cpu/kernels/dropout.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace MLIT_ISA_NAMESPACE {
namespace {

using CounterTag = hn::ScalableTag<uint64_t>;
using HalfTag = hn::RepartitionToNarrow<CounterTag>;
using WordTag = hn::Rebind<uint32_t, CounterTag>;
using BitsTag = hn::RebindToUnsigned<FloatTag>;
using Counters = hn::Vec<CounterTag>;

constexpr CounterTag kC;
constexpr HalfTag kH;
constexpr int64_t kSpan = 4 * static_cast<int64_t>(hn::MaxLanes(CounterTag()));  // features of one round of draws

HWY_INLINE Counters product(Counters a, Counters factor) {
  return hn::MulEven(hn::BitCast(kH, a), hn::BitCast(kH, factor));
}

// The 32 bits of kSpan features in order; block: the first one's index / 4.
HWY_INLINE void draw(const DropoutRows& d, int64_t row, int64_t block, uint32_t* bits) {
  Counters c0 = hn::Iota(kC, static_cast<uint64_t>(block));
  Counters c1 = hn::Set(kC, static_cast<uint32_t>(d.positions[row]));
  Counters c2 = hn::Set(kC, static_cast<uint32_t>(d.records[row]));
  Counters c3 = hn::Set(kC, uint64_t{d.module});
  const Counters m0 = hn::Set(kC, uint64_t{0xD2511F53u}), m1 = hn::Set(kC, uint64_t{0xCD9E8D57u});
  uint32_t k0 = static_cast<uint32_t>(d.key), k1 = static_cast<uint32_t>(d.key >> 32);
  for (int round = 0; round < 10; ++round) {
    const Counters p0 = product(c0, m0), p1 = product(c2, m1);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(kC, uint64_t{k0}));
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(kC, uint64_t{k1}));
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const WordTag words;
  hn::StoreInterleaved4(hn::TruncateTo(words, c0), hn::TruncateTo(words, c1), hn::TruncateTo(words, c2),
                        hn::TruncateTo(words, c3), words, bits);
}

void apply(const DropoutRows& d) {
  alignas(64) uint32_t bits[kSpan];
  const BitsTag kBits;
  const auto threshold = hn::Set(kBits, d.threshold);
  const Floats scale = set(d.scale);
  for (int64_t r = 0; r < d.rows; ++r) {
    const float* from = d.from + r * d.ldFrom;
    float* to = d.to + r * d.ldTo;
    for (int64_t begin = 0; begin < d.columns; begin += kSpan) {
      draw(d, r, (d.first + begin) / 4, bits);
      const int64_t count = d.columns - begin < kSpan ? d.columns - begin : kSpan;
      const auto kept = [&](int64_t i, Floats value) {
        const FloatMask dropped = hn::RebindMask(kF, hn::Lt(hn::LoadU(kBits, bits + i), threshold));
        return hn::IfThenZeroElse(dropped, hn::Mul(value, scale));
      };
      forVectors(
          count,
          [&](int64_t i) {
            const Floats value = kept(i, load(from + begin + i));
            store(d.add ? hn::Add(load(to + begin + i), value) : value, to + begin + i);
          },
          [&](int64_t i, int64_t n) {
            const Floats value = kept(i, loadFirst(from + begin + i, n));
            storeFirst(d.add ? hn::Add(loadFirst(to + begin + i, n), value) : value, to + begin + i, n);
          });
    }
  }
}

}  // namespace

const DropoutKernels dropoutKernels = {apply};

}  // namespace MLIT_ISA_NAMESPACE
}  // namespace mlit
