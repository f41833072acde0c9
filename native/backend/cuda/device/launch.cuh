// The one way to start a kernel: arguments are converted to the kernel's parameter types here, and a compiler of the host,
// which knows no <<<>>>, takes the same source.
//   launch(kernel<...>, "kernel", grid, block, sharedBytes, stream, arguments...)
#pragma once

#include "backend/cuda/recording.h"
#include "backend/cuda/runtime.h"

#ifdef __CUDACC__
namespace mlit::cuda {

// Opts in to more than 48 KiB of dynamic shared memory where that is asked for (runtime_cuda.cpp).
void launchKernel(const void* kernel, const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
                  void** arguments);

namespace detail {
template <class... P>
void launchNow(void (*kernel)(P...), const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
               P... arguments) {
  void* addresses[] = {static_cast<void*>(&arguments)..., nullptr};
  launchKernel(reinterpret_cast<const void*>(kernel), name, grid, block, sharedBytes, stream, addresses);
}
}  // namespace detail

}  // namespace mlit::cuda
#else
#include "emulation/launch.h"
#endif

namespace mlit::cuda {

namespace detail {
template <class... P>
void launchConverted(void (*kernel)(P...), const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
                     P... arguments) {
  if (Recording* const recording = stream.recording()) {
    recording->note([=](Stream& on) { launchNow<P...>(kernel, name, grid, block, sharedBytes, on, arguments...); },
                    kernel, grid, block, sharedBytes, arguments...);
  } else {
    launchNow<P...>(kernel, name, grid, block, sharedBytes, stream, arguments...);
  }
}
}  // namespace detail

template <class... P, class... A>
void launch(void (*kernel)(P...), const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
            A... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a kernel takes all of its arguments");
  detail::launchConverted<P...>(kernel, name, grid, block, sharedBytes, stream, static_cast<P>(arguments)...);
}

}  // namespace mlit::cuda
