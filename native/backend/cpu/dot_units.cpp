// Asked of the processor itself: the compiler's own question does not know these two everywhere.
#include "backend/cpu/dot_units.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>

#include "backend/cpu/amx/dot_amx.h"
#include "backend/cpu/kernels.h"

namespace mlit {
namespace {

constexpr unsigned kAvxVnniBit = 1u << 4;  // CPUID 7.1, EAX

bool hasAvxVnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnniBit) != 0;
}

}  // namespace

const DotKernels* dotUnitOf(const char* isa) {
  if (std::strcmp(isa, "avx512") == 0) return amxDotKernels();
  static const bool there = hasAvxVnni();
  return there && std::strcmp(isa, "avx2") == 0 ? &avxvnni::dotKernels : nullptr;
}

}  // namespace mlit
#else
namespace mlit {

const DotKernels* dotUnitOf(const char*) { return nullptr; }

}  // namespace mlit
#endif
