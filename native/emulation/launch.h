// launch() on the emulator: the arguments wait as a tuple until the stream comes to run the kernel.
#pragma once

#include <functional>
#include <memory>
#include <tuple>
#include <utility>

#include "backend/cuda/runtime.h"

namespace mlit::emulation {

void enqueueKernel(const char* name, cuda::Dim3 grid, cuda::Dim3 block, size_t sharedBytes, cuda::Stream& stream,
                   std::shared_ptr<void> arguments, void (*thunk)(void*));

// Reads the tuple for each thread: host memory, which a kernel itself may not touch.
template <class... P>
struct KernelCall {
  void (*kernel)(P...);
  std::tuple<P...> arguments;

  template <size_t... I>
  __attribute__((no_sanitize("thread"))) static void unpack(KernelCall* call, std::index_sequence<I...>) {
    call->kernel(std::get<I>(call->arguments)...);
  }
  __attribute__((no_sanitize("thread"))) static void run(void* self) {
    unpack(static_cast<KernelCall*>(self), std::index_sequence_for<P...>());
  }
};

}  // namespace mlit::emulation

namespace mlit::cuda {

template <class... P, class... A>
void launch(void (*kernel)(P...), const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
            A... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a kernel takes all of its arguments");
  using Call = emulation::KernelCall<P...>;
  emulation::enqueueKernel(name, grid, block, sharedBytes, stream,
                           std::make_shared<Call>(Call{kernel, {static_cast<P>(arguments)...}}), &Call::run);
}

}  // namespace mlit::cuda
