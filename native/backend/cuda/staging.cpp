// Pieces of a half are given out in order; a half is used again only after the copies of its last turn have run.
#include "backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace mlit::cuda {

namespace {
constexpr size_t kAlignment = 256;
}

Staging::Staging(size_t bytes)
    : halfBytes_(bytes / 2 / kAlignment * kAlignment),
      memory_(static_cast<unsigned char*>(allocatePinned(2 * halfBytes_))) {
  for (int i = 0; i < 2; ++i) halves_[i].at = memory_ + static_cast<size_t>(i) * halfBytes_;
}

Staging::~Staging() { releasePinned(memory_); }

void Staging::handOut(Half& half) {
  for (const Arrival& arrival : half.arrivals) std::memcpy(arrival.to, arrival.from, arrival.bytes);
  half.arrivals.clear();
  half.used = 0;
}

void Staging::turn(Stream& stream) {
  halves_[turn_].left.record(stream);
  turn_ = 1 - turn_;
  halves_[turn_].left.synchronize();
  handOut(halves_[turn_]);
}

unsigned char* Staging::take(size_t& bytes, Stream& stream) {
  if (halves_[turn_].used >= halfBytes_) turn(stream);
  Half& half = halves_[turn_];
  bytes = std::min(bytes, halfBytes_ - half.used);
  unsigned char* const at = half.at + half.used;
  half.used += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return at;
}

void Staging::upload(void* to, const void* from, size_t bytes, Stream& stream) {
  for (size_t done = 0; done < bytes;) {
    size_t piece = bytes - done;
    unsigned char* const at = take(piece, stream);
    std::memcpy(at, static_cast<const unsigned char*>(from) + done, piece);
    copyToDevice(static_cast<unsigned char*>(to) + done, at, piece, stream);
    done += piece;
  }
}

void Staging::download(void* to, const void* from, size_t bytes, Stream& stream) {
  for (size_t done = 0; done < bytes;) {
    size_t piece = bytes - done;
    unsigned char* const at = take(piece, stream);
    copyToHost(at, static_cast<const unsigned char*>(from) + done, piece, stream);
    halves_[turn_].arrivals.push_back({static_cast<unsigned char*>(to) + done, at, piece});
    done += piece;
  }
}

void Staging::deliver() {
  handOut(halves_[1 - turn_]);
  handOut(halves_[turn_]);
}

void Staging::forget() {
  for (Half& half : halves_) half.arrivals.clear();
  halves_[turn_].used = halfBytes_;  // its copies may still run: not before the next turn
}

}  // namespace mlit::cuda
