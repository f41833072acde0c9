// The seam between code compiled for every processor and code compiled once per instruction set: a table of
// function pointers. Only files of kernels/ see vector types; only dispatch.cpp knows how many tables there are.
#pragma once

namespace mlit {

// Each is defined by kernels/<name>.h and filled in by kernels/<name>.cpp, once per instruction set.
struct GemmKernels;
struct DotKernels;
struct RowKernels;
struct AttentionKernels;
struct LossKernels;
struct SampleKernels;
struct OptimizerKernels;
struct DropoutKernels;

struct KernelTable {
  const char* isa;
  const GemmKernels* gemm;
  const DotKernels* dot;
  const RowKernels* rows;
  const AttentionKernels* attention;
  const LossKernels* loss;
  const SampleKernels* sample;
  const OptimizerKernels* optimizer;
  const DropoutKernels* dropout;
};

// What one instruction set exports; kernels/*.cpp define these inside namespace mlit::MLIT_ISA_NAMESPACE.
#define MLIT_DECLARE_KERNELS(isa)                 \
  namespace isa {                                 \
  extern const GemmKernels gemmKernels;           \
  extern const DotKernels dotKernels;             \
  extern const RowKernels rowKernels;             \
  extern const AttentionKernels attentionKernels; \
  extern const LossKernels lossKernels;           \
  extern const SampleKernels sampleKernels;       \
  extern const OptimizerKernels optimizerKernels; \
  extern const DropoutKernels dropoutKernels;     \
  }

#if defined(__x86_64__)
MLIT_DECLARE_KERNELS(avx2)
MLIT_DECLARE_KERNELS(avx512)
namespace avxvnni {
extern const DotKernels dotKernels;  // products of bytes alone (dot_units.h)
}
#elif defined(__aarch64__)
MLIT_DECLARE_KERNELS(neon)
#endif

// isa: "auto" takes the widest that this processor has; otherwise a name. Throws kDeviceUnavailable.
const KernelTable& kernelTable(const char* isa);

}  // namespace mlit
