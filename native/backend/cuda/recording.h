// Work that is written down instead of enqueued. It is known byte by byte, every kernel with its shape and all of its arguments, so
// that the host can tell whether it is the same as before: a graph is only launched where what was asked for is what it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend/cuda/runtime.h"

namespace mlit::cuda {

// How much of a kernel's parameter says something: all of it. Lists within a parameter have their own (kernels/slices.h).
template <class T>
size_t tellingBytes(const T& of) {
  return sizeof of;
}

// Work that is no kernel of ours.
enum class Other : uint64_t { kCopy, kFill, kProduct };

class Recording {
 public:
  // parts: what makes this work differ from other work. They have no padding, or what is the same would seem to differ (the
  // emulator looks at every kernel's parameters).
  template <class... Parts>
  void note(std::function<void(Stream&)> work, const Parts&... parts) {
    static_assert((std::is_trivially_copyable_v<Parts> && ...), "compared as bytes");
    const size_t bytes = (tellingBytes(parts) + ...);
    append(&bytes, sizeof bytes);
    (append(&parts, tellingBytes(parts)), ...);
    work_.push_back(std::move(work));
  }
  void enqueueAll(Stream& stream) const {
    for (const auto& work : work_) work(stream);
  }
  void clear() {
    bytes_.clear();
    work_.clear();
  }
  bool empty() const { return work_.empty(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }  // two with the same bytes do the same

 private:
  void append(const void* from, size_t bytes) {
    const auto* const at = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), at, at + bytes);
  }

  std::vector<std::byte> bytes_;
  std::vector<std::function<void(Stream&)>> work_;
};

// For what can't be written down: enqueues what is, in its place, and the stream records no more.
inline void endRecording(Stream& stream) {
  const Recording* const recording = stream.recording();
  if (recording == nullptr) return;
  stream.record(nullptr);
  recording->enqueueAll(stream);
}

}  // namespace mlit::cuda
