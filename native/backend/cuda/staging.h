// The host's small data on its way to the device and back. A copy that neither makes the host wait nor leans on how long the
// caller keeps its memory has to go through page-locked memory; this is that memory, in two halves that take turns.
#pragma once

#include <cstddef>
#include <vector>

#include "backend/cuda/runtime.h"

namespace mlit::cuda {

class Staging {
 public:
  explicit Staging(size_t bytes);  // page-locked
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // from is free on return.
  void upload(void* to, const void* from, size_t bytes, Stream& stream);
  // to is written by deliver(), or before.
  void download(void* to, const void* from, size_t bytes, Stream& stream);
  // The stream has been waited for: hands out what came, and everything is free again.
  void deliver();
  // What has not been delivered never will be; copies that are under way go on.
  void forget();

 private:
  struct Arrival {
    void* to;
    const unsigned char* from;
    size_t bytes;
  };
  struct Half {
    unsigned char* at = nullptr;
    size_t used = 0;
    Event left;  // recorded when the other half's turn began
    std::vector<Arrival> arrivals;
  };

  // The next piece of at most `bytes`, and how large it is.
  unsigned char* take(size_t& bytes, Stream& stream);
  static void handOut(Half& half);
  void turn(Stream& stream);

  size_t halfBytes_;
  Half halves_[2];
  unsigned char* memory_;  // last: what is made before it cleans up after itself
  int turn_ = 0;
};

}  // namespace mlit::cuda
