// Which of the compiled instruction sets this processor gets. Chosen once, at run time, because one package serves
// every machine of its kind.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dot_units.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {
namespace {

#define MLIT_KERNEL_TABLE(isa)                                                                              \
  KernelTable {                                                                                             \
#isa, &isa::gemmKernels, &isa::dotKernels, &isa::rowKernels, &isa::attentionKernels, &isa::lossKernels, \
        &isa::sampleKernels, &isa::optimizerKernels, &isa::dropoutKernels                                   \
  }

// What the kernels of each instruction set were compiled for (CMakeLists.txt); widest first.
#if defined(__x86_64__)
const KernelTable kTables[] = {MLIT_KERNEL_TABLE(avx512), MLIT_KERNEL_TABLE(avx2)};
constexpr const char* kFloor =
    "mlit-native needs an x86-64 processor with AVX2 (Intel Haswell of 2013, AMD Zen of 2017, or later)";

// The first feature of the set that the processor, or the system under it, does not have; null where all are there.
const char* lacking(const KernelTable& table) {
#define MLIT_NEEDS(feature) \
  if (!__builtin_cpu_supports(feature)) return feature
  __builtin_cpu_init();
  MLIT_NEEDS("avx2");
  MLIT_NEEDS("fma");
  MLIT_NEEDS("bmi");
  MLIT_NEEDS("bmi2");
  MLIT_NEEDS("popcnt");
#ifndef __clang__  // does not know these two by name before its version 16
  MLIT_NEEDS("f16c");
  MLIT_NEEDS("lzcnt");
#endif
  if (std::strcmp(table.isa, "avx2") == 0) return nullptr;
  MLIT_NEEDS("avx512f");
  MLIT_NEEDS("avx512bw");
  MLIT_NEEDS("avx512dq");
  MLIT_NEEDS("avx512vl");
  MLIT_NEEDS("avx512cd");
  MLIT_NEEDS("avx512vnni");
#undef MLIT_NEEDS
  return nullptr;
}
#elif defined(__aarch64__)
const KernelTable kTables[] = {MLIT_KERNEL_TABLE(neon)};
constexpr const char* kFloor = "mlit-native needs an ARMv8-A processor";

const char* lacking(const KernelTable&) { return nullptr; }
#endif

}  // namespace

const KernelTable& kernelTable(const char* isa) {
  const bool automatic = std::strcmp(isa, "auto") == 0;
  std::string known, floor;
  for (const KernelTable& table : kTables) {
    const char* missing = lacking(table);
    if ((automatic || std::strcmp(isa, table.isa) == 0) && missing == nullptr) return table;
    known += (known.empty() ? "" : ", ") + std::string(table.isa) +
             (missing == nullptr ? "" : " (this processor has no " + std::string(missing) + ")");
    if (missing != nullptr) floor = missing;
  }
  throw Error(ErrorCode::kDeviceUnavailable,
              automatic ? "this processor is too old: it has no " + floor + ", and " + kFloor
                        : "instruction set '" + std::string(isa) + "' is not available; compiled in: " + known,
              {{"isa", isa}});
}

void CpuBackend::AlignedFree::operator()(void* memory) const { std::free(memory); }

CpuBackend::CpuBackend(int threads, const KernelTable& kernels, bool integers)
    : kernels_(kernels),
      dot_(dotUnitOf(kernels.isa) != nullptr ? *dotUnitOf(kernels.isa) : *kernels.dot),
      pool_(threads),
      integers_(integers) {
  for (int thread = 0; thread < threads; ++thread) {
    std::unique_ptr<float[], AlignedFree> memory(static_cast<float*>(std::aligned_alloc(4096, kThreadScratchBytes)));
    if (!memory)
      throw Error(ErrorCode::kOutOfMemory, "no memory for the scratch of " + std::to_string(threads) + " threads");
    scratch_.push_back(std::move(memory));
  }
}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::name() const { return "cpu"; }

std::string CpuBackend::description() const {
  return std::string(kernels_.isa) + (integers_ ? std::string(", int8 by ") + dot_.unit : "") + ", " +
         std::to_string(pool_.threads()) + (pool_.threads() == 1 ? " thread" : " threads");
}

size_t CpuBackend::fixedBytes() const { return kThreadScratchBytes * scratch_.size(); }

std::unique_ptr<Backend> createCpuBackend(int threads, const std::string& isa, bool integers) {
  if (threads < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "threads must be 0 (all usable processors) or more, got " + std::to_string(threads));
  }
  return std::make_unique<CpuBackend>(threads == 0 ? usableProcessors() : threads, kernelTable(isa.c_str()), integers);
}

}  // namespace mlit
