// What a warp does together. Each lane leaves its operands and waits; the last of the mask to come computes for all. Lanes that
// come to different calls, or never come, are findings.
#include <cmath>
#include <cstring>

#include "emulation/fragments.h"
#include "emulation/machine.h"

namespace mlit::emulation {

namespace {

enum CallKind { kCallBarrier = 10, kCallBallot, kCallMatch, kCallMma16, kCallMma32, kCallMatrix };

// compute(lanes' operands) runs once, in the last lane.
template <class Compute>
void together(int kind, unsigned mask, Site site, void* operand, Compute compute) {
  const Inside inside;
  Thread& t = *machine.current;
  Warp& w = machine.warp();
  const unsigned bit = 1u << (t.id % 32);
  const auto fail = [&](const std::string& why) {
    report(Kind::kCollective, why, nullptr, &site);
    abandonLaunch();
  };
  if (!(mask & bit)) fail("a lane outside of its own mask");
  if (mask & w.ended) fail("a lane of the mask has ended");
  t.site = site;
  size_t at = 0;
  while (at < w.pending.size() && !(w.pending[at].mask & mask)) ++at;
  if (at == w.pending.size()) w.pending.push_back({mask, 0, kind, site});
  Rendezvous& r = w.pending[at];
  if (r.mask != mask || r.kind != kind || r.site.line != site.line || std::strcmp(r.site.file, site.file) != 0) {
    fail("other lanes of the mask are at " + emulation::at(r.site) + ",");
  }
  r.arrived |= bit;
  w.operands[t.id % 32] = operand;
  if (r.arrived != mask) {
    t.waits = Waits::kCollective;
    yieldToScheduler();
    return;
  }
  w.pending.erase(w.pending.begin() + static_cast<std::ptrdiff_t>(at));
  compute(w.operands);
  w.ready |= mask & ~bit;
}

struct ShuffleOperand {
  uint64_t in, out;
  int operand, width;
};
struct VoteOperand {
  uint64_t in;
  unsigned out;
};
template <class Accumulators>
struct MmaOperand {
  Accumulators c;
  U32x4 a;
  uint32_t b[2];
};

float bfloat(uint32_t half) { return __builtin_bit_cast(float, half << 16); }

}  // namespace

void warpBarrier(unsigned mask, Site site) {
  together(kCallBarrier, mask, site, nullptr, [mask](void**) {
    if (mask == ~0u) ++machine.warp().epoch;  // a part of the warp orders nothing here
  });
  machine.refreshSelf();
}

uint64_t shuffle(ShuffleKind kind, unsigned mask, uint64_t bits, int operand, int width, Site site) {
  ShuffleOperand mine{bits, bits, operand, width};
  together(static_cast<int>(kind), mask, site, &mine, [&](void** operands) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1)) continue;
      auto& o = *static_cast<ShuffleOperand*>(operands[lane]);
      const int first = lane / o.width * o.width;
      int from = lane;
      if (kind == ShuffleKind::kIndex) from = first + (o.operand & (o.width - 1));
      if (kind == ShuffleKind::kXor) from = lane ^ o.operand;
      if (kind == ShuffleKind::kUp) from = lane - o.operand < first ? lane : lane - o.operand;
      if (kind == ShuffleKind::kDown) from = lane + o.operand >= first + o.width ? lane : lane + o.operand;
      if (kind == ShuffleKind::kXor && from >= first + o.width) from = lane;
      if (!(mask >> from & 1)) {
        report(Kind::kCollective,
               "lane " + std::to_string(lane) + " asks lane " + std::to_string(from) + ", which is not in the mask,",
               nullptr, &site);
        abandonLaunch();
      }
      o.out = static_cast<ShuffleOperand*>(operands[from])->in;
    }
  });
  return mine.out;
}

unsigned ballot(unsigned mask, bool value, Site site) {
  VoteOperand mine{value, 0};
  together(kCallBallot, mask, site, &mine, [mask](void** operands) {
    unsigned votes = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1 && static_cast<VoteOperand*>(operands[lane])->in) votes |= 1u << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) static_cast<VoteOperand*>(operands[lane])->out = votes;
    }
  });
  return mine.out;
}

unsigned matchAny(unsigned mask, uint64_t bits, Site site) {
  VoteOperand mine{bits, 0};
  together(kCallMatch, mask, site, &mine, [mask](void** operands) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1)) continue;
      auto& o = *static_cast<VoteOperand*>(operands[lane]);
      for (int peer = 0; peer < 32; ++peer) {
        if (mask >> peer & 1 && static_cast<VoteOperand*>(operands[peer])->in == o.in) o.out |= 1u << peer;
      }
    }
  });
  return mine.out;
}

F32x4 mmaM16N8K16(F32x4 c, U32x4 a, uint64_t b, Site site) {
  using Operand = MmaOperand<F32x4>;
  Operand mine{c, a, {static_cast<uint32_t>(b), static_cast<uint32_t>(b >> 32)}};
  together(kCallMma16, ~0u, site, &mine, [](void** operands) {
    float left[16][16], right[16][8];
    machine.work->tensorFlops += 2 * 16 * 8 * 16;
    for (int lane = 0; lane < 32; ++lane) {
      const auto& o = *static_cast<Operand*>(operands[lane]);
      for (int e = 0; e < 2; ++e) {
        for (int r = 0; r < 4; ++r) {
          const Element at = fragmentA(16, lane, r, e);
          left[at.row][at.column] = bfloat(o.a[r] >> (16 * e) & 0xFFFF);
        }
        for (int r = 0; r < 2; ++r) {
          const Element at = fragmentB(16, lane, r, e);
          right[at.row][at.column] = bfloat(o.b[r] >> (16 * e) & 0xFFFF);
        }
      }
    }
    // The hardware's order is its own, but always the same: begin anywhere.
    const int turn = static_cast<int>(machine.options.seed * 7 % 16);
    float sum[16][8] = {};
    for (int step = 0; step < 16; ++step) {
      const int k = (step + turn) % 16;
      for (int m = 0; m < 16; ++m) {
        for (int n = 0; n < 8; ++n) sum[m][n] += left[m][k] * right[k][n];
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      auto& o = *static_cast<Operand*>(operands[lane]);
      for (int r = 0; r < 4; ++r) {
        const Element at = fragmentC(lane, r);
        o.c[r] += sum[at.row][at.column];
      }
    }
  });
  return mine.c;
}

S32x4 mmaM16N8K32(S32x4 c, U32x4 a, uint64_t b, Site site) {
  using Operand = MmaOperand<S32x4>;
  Operand mine{c, a, {static_cast<uint32_t>(b), static_cast<uint32_t>(b >> 32)}};
  together(kCallMma32, ~0u, site, &mine, [](void** operands) {
    int left[16][32], right[32][8];
    machine.work->tensorFlops += 2 * 16 * 8 * 32;
    for (int lane = 0; lane < 32; ++lane) {
      const auto& o = *static_cast<Operand*>(operands[lane]);
      for (int e = 0; e < 4; ++e) {
        for (int r = 0; r < 4; ++r) {
          const Element at = fragmentA(8, lane, r, e);
          left[at.row][at.column] = static_cast<int8_t>(o.a[r] >> (8 * e));
        }
        for (int r = 0; r < 2; ++r) {
          const Element at = fragmentB(8, lane, r, e);
          right[at.row][at.column] = static_cast<int8_t>(o.b[r] >> (8 * e));
        }
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      auto& o = *static_cast<Operand*>(operands[lane]);
      for (int r = 0; r < 4; ++r) {
        const Element at = fragmentC(lane, r);
        uint32_t sum = static_cast<uint32_t>(o.c[r]);
        for (int k = 0; k < 32; ++k) sum += static_cast<uint32_t>(left[at.row][k] * right[k][at.column]);
        o.c[r] = static_cast<int32_t>(sum);
      }
    }
  });
  return mine.c;
}

U32x4 ldmatrix(const void* row, int matrices, bool transposed, Site site) {
  struct Operand {
    const char* row;
    U32x4 out;
  };
  Operand mine{static_cast<const char*>(row), {}};
  const int own = static_cast<int>(machine.current->id % 32);
  if (own < matrices * 8) {
    const Inside inside;
    if (!machine.shared.holds(row)) {
      report(Kind::kWild, "ldmatrix of a row outside of shared memory", nullptr, &site);
      abandonLaunch();
    }
    if (!touch(row, 16, false, true, __builtin_return_address(0))) abandonLaunch();
  }
  together(kCallMatrix, ~0u, site, &mine, [=](void** operands) {
    for (int i = 0; i < matrices; ++i) {
      unsigned banks = 0;  // groups of four banks, 16 bytes
      for (int r = 0; r < 8; ++r) {
        const unsigned group =
            1u << (reinterpret_cast<uintptr_t>(static_cast<Operand*>(operands[i * 8 + r])->row) / 16 % 8);
        machine.stats.matrixConflicts += (banks & group) != 0;
        banks |= group;
      }
      machine.stats.matrixRows += 8;
      for (int lane = 0; lane < 32; ++lane) {
        uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          const Element at = fragmentMatrix(transposed, lane, e);
          std::memcpy(&pair[e], static_cast<Operand*>(operands[i * 8 + at.row])->row + at.column * 2, 2);
        }
        static_cast<Operand*>(operands[lane])->out[i] = static_cast<uint32_t>(pair[1]) << 16 | pair[0];
      }
    }
  });
  return mine.out;
}

// Nothing may lean on these bits: they are up to `units` off in the last place either way. The same for the same argument, as
// on a card, and others with each seed. Next to zero or to infinity the same number of units would be another sign or no number.
float inexact(float y, uint32_t argument, int units) {
  if (!std::isnormal(y)) return y;
  const uint64_t mixed = (argument + machine.options.seed * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
  const int32_t off = static_cast<int32_t>((mixed >> 40) % static_cast<uint64_t>(2 * units + 1)) - units;
  const float moved = __builtin_bit_cast(float, __builtin_bit_cast(int32_t, y) + off);
  return std::isfinite(moved) ? moved : y;
}

float exp2Approximate(float x) {
  const float y = inexact(std::exp2(x), __builtin_bit_cast(uint32_t, x), 2);
  return std::fpclassify(y) == FP_SUBNORMAL ? 0.0f : y;
}

}  // namespace mlit::emulation
