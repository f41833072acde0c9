// Which of the compiled instruction sets this processor gets. Chosen once, at run time, because one package serves
// every machine of its kind.
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/weights.h"
#include "core/error.h"

namespace mlit {
namespace {

#define MLIT_KERNEL_TABLE(isa)                                                                                 \
  KernelTable {                                                                                                \
#isa, &isa::gemmKernels, &isa::rowKernels, &isa::attentionKernels, &isa::lossKernels, &isa::sampleKernels, \
        &isa::optimizerKernels                                                                                 \
  }

// Widest first.
#if defined(__x86_64__)
const KernelTable kTables[] = {MLIT_KERNEL_TABLE(avx512), MLIT_KERNEL_TABLE(avx2)};

bool hasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

bool processorHas(const KernelTable& table) {
  __builtin_cpu_init();
  if (std::strcmp(table.isa, "avx2") == 0) return hasAvx2();
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
const KernelTable kTables[] = {MLIT_KERNEL_TABLE(neon)};

bool processorHas(const KernelTable&) { return true; }
#endif

}  // namespace

const KernelTable& kernelTable(const char* isa) {
  const bool automatic = std::strcmp(isa, "auto") == 0;
  std::string known;
  for (const KernelTable& table : kTables) {
    const bool has = processorHas(table);
    if ((automatic || std::strcmp(isa, table.isa) == 0) && has) return table;
    known += (known.empty() ? "" : ", ") + std::string(table.isa) + (has ? "" : " (not on this processor)");
  }
  throw Error(ErrorCode::kDeviceUnavailable,
              automatic ? "this processor has none of the instruction sets compiled in: " + known
                        : "instruction set '" + std::string(isa) + "' is not available; compiled in: " + known,
              {{"isa", isa}});
}

void CpuBackend::AlignedFree::operator()(float* memory) const { std::free(memory); }

CpuBackend::CpuBackend(int threads, const KernelTable& kernels) : kernels_(kernels), pool_(threads) {
  for (int thread = 0; thread < threads; ++thread) {
    auto* memory = static_cast<float*>(std::aligned_alloc(4096, kThreadScratchBytes));
    if (memory == nullptr)
      throw Error(ErrorCode::kOutOfMemory, "no memory for the scratch of " + std::to_string(threads) + " threads");
    scratch_.emplace_back(memory);
  }
}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::name() const { return "cpu"; }

std::string CpuBackend::description() const {
  return std::string(kernels_.isa) + ", " + std::to_string(pool_.threads()) +
         (pool_.threads() == 1 ? " thread" : " threads");
}

size_t CpuBackend::fixedBytes() const { return kThreadScratchBytes * scratch_.size(); }

std::unique_ptr<Backend> createCpuBackend(int threads, const std::string& isa) {
  if (threads < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "threads must be 0 (all usable processors) or more, got " + std::to_string(threads));
  }
  return std::make_unique<CpuBackend>(threads == 0 ? usableProcessors() : threads, kernelTable(isa.c_str()));
}

}  // namespace mlit
