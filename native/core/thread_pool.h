// A small pool of our own instead of OpenMP: it belongs to the one compute thread of the process, ends
// when told to (an addon must be able to stop before Node unloads its environment), and divides work
// statically, so that the same inputs take the same path on every run.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace mlit {

// Number of processors this process may use: the smaller of the affinity mask and the cgroup quota.
int usableProcessors();

// The tightest CPU quota (rounded up) of the control groups, v1 or v2, that membershipFile (/proc/self/cgroup) names
// below mount (/sys/fs/cgroup), parents included; 0 where there is none.
int cgroupProcessors(const std::string& membershipFile, const std::string& mount);

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // threads >= 1; the calling thread is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Runs body(task, thread) for task in [0, tasks): tasks are handed out one by one in order (dynamic), each
  // exactly once. Results must not depend on which thread runs a task. Blocks until all are done. Not re-entrant.
  void run(int64_t tasks, const std::function<void(int64_t task, int thread)>& body);

  // While a flag is given, run() leaves tasks undone once it is true and throws kCancelled. Null, as at the beginning: all
  // are done. The flag is read before each task; never called during a run.
  void watch(const std::atomic<bool>* cancel);
  // What a task that takes longer than a few milliseconds asks on the way: true once the flag is, and then it may return
  // with its work undone.
  bool cancelled() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlit
