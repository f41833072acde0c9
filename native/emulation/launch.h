// launch() on the emulator: the arguments wait as a tuple until the stream comes to run the kernel.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
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

// Whether bytes of a parameter may be anything: a recording compares all of them.
template <class P>
bool hasPadding() {
  alignas(P) unsigned char bytes[sizeof(P)];
  std::memset(bytes, 0xFF, sizeof bytes);
  __builtin_clear_padding(reinterpret_cast<P*>(bytes));
  return std::any_of(std::begin(bytes), std::end(bytes), [](unsigned char byte) { return byte == 0; });
}
void reportPadding(const char* kernel);

}  // namespace mlit::emulation

namespace mlit::cuda::detail {

template <class... P>
void launchNow(void (*kernel)(P...), const char* name, Dim3 grid, Dim3 block, size_t sharedBytes, Stream& stream,
               P... arguments) {
  static const bool padded = (emulation::hasPadding<P>() || ...);
  if (padded) emulation::reportPadding(name);
  using Kernel = emulation::KernelCall<P...>;
  auto call = std::make_shared<Kernel>(Kernel{kernel, {arguments...}});
  std::vector<const void*> parameters = call->addresses();
  emulation::enqueueKernel(
      name, grid, block, sharedBytes, stream,
      {std::move(call), &Kernel::run, reinterpret_cast<const void*>(kernel), std::move(parameters), {sizeof(P)...}});
}

}  // namespace mlit::cuda::detail
