// Ops that come again and again, launched as one. What a stretch of ops enqueues is written down first; the second time that the
// same bytes come they are captured, and from then on the host launches one graph for them. A graph is never launched for
// anything but what it holds, so a change of shapes, adapters or addresses needs no telling: it is other work, with its own graph.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "backend/cuda/recording.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

class RepeatedWork {
 public:
  // Calls ops(), which enqueues on the stream, and sees to it that it runs. Where ops() throws nothing of it runs, but for what
  // had to be enqueued because it can't be written down.
  void run(Stream& stream, const std::function<void()>& ops);

 private:
  static constexpr size_t kMostGraphs = 8, kMostSeen = 16;

  struct Known {
    std::vector<std::byte> bytes;
    Graph graph;
  };

  void launch(Stream& stream);
  bool cameBefore();

  Recording now_;
  std::deque<Known> known_;    // the latest launched first
  std::deque<uint64_t> seen_;  // hashes of what came and has no graph; the latest first
  bool refused_ = false;       // a capture failed where launching by itself did not: no graphs any more
};

}  // namespace mlit::cuda
