// Two halves take turns: the host fills one again when what was in it has been sent, and the copy stream when it has been read.
#include "backend/cuda/backend/inbox.h"

#include <cstring>

namespace mlit::cuda {

namespace {
constexpr size_t kAlignment = 256;
}

Inbox::Inbox(std::byte* at, size_t bytes)
    : halfBytes_(bytes / 2 / kAlignment * kAlignment), host_(static_cast<std::byte*>(allocatePinned(2 * halfBytes_))) {
  for (size_t i = 0; i < 2; ++i) {
    halves_[i].device = at + i * halfBytes_;
    halves_[i].host = host_ + i * halfBytes_;
  }
}

Inbox::~Inbox() { releasePinned(host_); }

void Inbox::turn(Stream& stream) {
  halves_[turn_].read.record(stream);
  turn_ = 1 - turn_;
  Half& half = halves_[turn_];
  half.sent.synchronize();
  copies_.wait(half.read);
  half.used = 0;
}

void Inbox::upload(void* to, const void* from, size_t bytes, Stream& stream) {
  if (halves_[turn_].used + bytes > halfBytes_) turn(stream);
  Half& half = halves_[turn_];
  std::byte *const host = half.host + half.used, *const device = half.device + half.used;
  half.used += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::memcpy(host, from, bytes);
  copyToDevice(device, host, bytes, copies_);
  half.sent.record(copies_);
  stream.wait(half.sent);
  copyOnDevice(to, device, bytes, stream);
}

void Inbox::clear() {
  for (Half& half : halves_) half.used = 0;
}

}  // namespace mlit::cuda
