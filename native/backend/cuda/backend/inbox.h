// Uploads that arrive while the device computes. What is sent goes by a stream of its own into device memory of this inbox's, and
// from there to its place in the order of the ops: an upload of a step that is yet to come crosses the bus beside the one that runs.
#pragma once

#include <cstddef>

#include "backend/cuda/runtime.h"

namespace mlit::cuda {

class Inbox {
 public:
  // at: device memory of so many bytes, the inbox's own; as much of the host's is locked for it.
  Inbox(std::byte* at, size_t bytes);
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  bool takes(size_t bytes) const { return bytes <= halfBytes_; }
  // Of what it takes: from is free on return, to is written in the stream's order.
  void upload(void* to, const void* from, size_t bytes, Stream& stream);
  // The stream has been waited for: everything is free again.
  void clear();

 private:
  struct Half {
    std::byte* device = nullptr;
    std::byte* host = nullptr;
    size_t used = 0;
    Event sent;  // what was put into it last has left the host
    Event read;  // what was taken out of it last has reached its place
  };

  void turn(Stream& stream);

  size_t halfBytes_;
  Half halves_[2];
  Stream copies_;
  std::byte* host_;  // last: what is made before it cleans up after itself
  int turn_ = 0;
};

}  // namespace mlit::cuda
