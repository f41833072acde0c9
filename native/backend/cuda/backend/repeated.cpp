// Which work has a graph, and which is to get one.
#include "backend/cuda/backend/repeated.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace mlit::cuda {

void RepeatedWork::run(Stream& stream, const std::function<void()>& ops) {
  now_.clear();
  stream.record(&now_);
  try {
    ops();
  } catch (...) {
    stream.record(nullptr);
    throw;
  }
  if (stream.recording() == nullptr) return;  // it could not be written down to its end: it is enqueued
  stream.record(nullptr);
  if (!now_.empty()) launch(stream);
}

void RepeatedWork::launch(Stream& stream) {
  const auto found =
      std::find_if(known_.begin(), known_.end(), [&](const Known& each) { return each.bytes == now_.bytes(); });
  if (found != known_.end()) {
    std::rotate(known_.begin(), found, found + 1);
    known_.front().graph.launch(stream);
    return;
  }
  if (!refused_ && cameBefore()) {
    std::optional<Graph> graph;
    try {
      graph.emplace(stream, [&] { now_.enqueueAll(stream); });
    } catch (const Error&) {
      refused_ = true;  // should the device itself have failed, what follows says so
    }
    if (graph) {
      if (known_.size() == kMostGraphs) known_.pop_back();
      known_.push_front({now_.bytes(), std::move(*graph)});
      known_.front().graph.launch(stream);
      return;
    }
  }
  now_.enqueueAll(stream);
}

bool RepeatedWork::cameBefore() {
  const std::vector<std::byte>& bytes = now_.bytes();
  const uint64_t hash =
      std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});  // only a hint
  const auto found = std::find(seen_.begin(), seen_.end(), hash);
  if (found != seen_.end()) {
    seen_.erase(found);
    return true;
  }
  seen_.push_front(hash);
  if (seen_.size() > kMostSeen) seen_.pop_back();
  return false;
}

}  // namespace mlit::cuda
