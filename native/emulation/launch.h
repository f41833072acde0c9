// launch() on the emulator: the arguments wait as a tuple until the stream comes to run the kernel.
#pragma once

#include <functional>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/cuda/runtime.h"

namespace mlit::emulation {

// A kernel with its arguments: what calls it, or its address and its parameters for one that was made from PTX.
struct Call {
  std::shared_ptr<void> arguments;
  void (*thunk)(void*);
  const void* kernel;
  std::vector<const void*> parameters;
  std::vector<size_t> parameterBytes;
};
void enqueueKernel(const char* name, cuda::Dim3 grid, cuda::Dim3 block, size_t sharedBytes, cuda::Stream& stream,
                   Call call);

// Reads the tuple for each thread: host memory, which a kernel itself may not touch.
template <class... P>
struct KernelCall {
  void (*kernel)(P...);
  std::tuple<P...> arguments;

  template <size_t... I>
  __attribute__((no_sanitize("thread"))) static void unpack(KernelCall* call, std::index_sequence<I...>) {
    call->kernel(std::get<I>(call->arguments)...);
  }
  std::vector<const void*> addresses() const {
    return std::apply([](const P&... each) { return std::vector<const void*>{static_cast<const void*>(&each)...}; },
                      arguments);
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
  using Kernel = emulation::KernelCall<P...>;
  auto call = std::make_shared<Kernel>(Kernel{kernel, {static_cast<P>(arguments)...}});
  std::vector<const void*> parameters = call->addresses();
  emulation::enqueueKernel(
      name, grid, block, sharedBytes, stream,
      {std::move(call), &Kernel::run, reinterpret_cast<const void*>(kernel), std::move(parameters), {sizeof(P)...}});
}

}  // namespace mlit::cuda
