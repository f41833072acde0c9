// Why tickets carry the number of their run: a worker that wakes late must not take a task of the next run by
// mistake, and run() must not wait for sleepers that have nothing to do. A run is over when its tasks are.
#include "core/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

namespace mlit {
namespace {

constexpr auto kSpin = std::chrono::microseconds(50);
constexpr int64_t kMaxTasks = 0x7fffffff;
constexpr uint32_t kClosed = 0xffffffffu;  // a ticket index that no run can hand out

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() or until the bound has passed; says whether it became ready.
template <class Ready>
bool spinUntil(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

int affinityProcessors() {
  // The mask may be larger than cpu_set_t on big machines: grow it until the kernel accepts it.
  for (int count = CPU_SETSIZE; count <= (1 << 20); count *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(count));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(count));
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int processors = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok && processors > 0) return processors;
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

bool readLine(const std::string& path, std::string& line) {
  std::ifstream file(path);
  return file && std::getline(file, line);
}

// Quota over period, rounded up; 0 where there is no limit.
int quotaProcessors(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return 0;
  const double processors = quota / period;
  const int whole = static_cast<int>(std::min(processors, 1e6));
  return std::max(1, static_cast<double>(whole) < processors ? whole + 1 : whole);
}

int limitAt(const std::string& folder, bool v2) {
  std::string line;
  if (v2) {
    if (!readLine(folder + "/cpu.max", line)) return 0;
    std::istringstream in(line);
    std::string quota;
    double period = 100000;
    in >> quota >> period;
    if (quota.empty() || quota == "max") return 0;
    return quotaProcessors(std::strtod(quota.c_str(), nullptr), period);
  }
  std::string period;
  if (!readLine(folder + "/cpu.cfs_quota_us", line) || !readLine(folder + "/cpu.cfs_period_us", period)) return 0;
  return quotaProcessors(std::strtod(line.c_str(), nullptr), std::strtod(period.c_str(), nullptr));
}

}  // namespace

int cgroupProcessors(const std::string& membershipFile, const std::string& mount) {
  std::ifstream memberships(membershipFile);
  std::string line;
  int limit = 0;
  while (std::getline(memberships, line)) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers(",");
    controllers.append(line, first + 1, second - first - 1).append(",");
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    const std::string root = v2 ? mount : mount + "/cpu";
    // A parent's quota binds its children too. In a container the path may not exist below the mount: its root does.
    for (;;) {
      const int here = limitAt(root + path, v2);
      if (here > 0) limit = limit == 0 ? here : std::min(limit, here);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return limit;
}

int usableProcessors() {
  const int affinity = affinityProcessors();
  const int limit = cgroupProcessors("/proc/self/cgroup", "/sys/fs/cgroup");
  return limit > 0 ? std::min(affinity, limit) : affinity;
}

struct ThreadPool::Impl {
  using Body = std::function<void(int64_t, int)>;

  alignas(64) std::atomic<uint64_t> ticket{kClosed};  // run number << 32 | next task, or kClosed
  std::atomic<const Body*> body{nullptr};
  std::atomic<int64_t> tasks{0};
  alignas(64) std::atomic<int32_t> remaining{0};
  alignas(64) std::atomic<int32_t> wake{0};  // changes with every run and at the end: what sleepers wait on
  std::atomic<bool> stop{false};
  const std::atomic<bool>* cancel = nullptr;  // written between runs only, read by who holds a task
  std::atomic<bool> undone{false};            // of this run: a task was left because of it
  std::mutex failureLock;
  std::exception_ptr failure;
  std::vector<std::thread> workers;

  bool cancelled() {
    if (cancel == nullptr || !cancel->load(std::memory_order_relaxed)) return false;
    undone.store(true, std::memory_order_relaxed);
    return true;
  }

  void take(int thread) {
    uint64_t now = ticket.load(std::memory_order_acquire);
    for (;;) {
      const uint32_t task = static_cast<uint32_t>(now);
      if (task == kClosed) return;
      // These two may already belong to the next run; then the exchange below fails, because this run was closed.
      const Body* work = body.load(std::memory_order_relaxed);
      if (task >= tasks.load(std::memory_order_relaxed)) return;
      if (!ticket.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      try {
        if (!cancelled()) (*work)(task, thread);
      } catch (...) {
        const std::lock_guard<std::mutex> guard(failureLock);
        if (!failure) failure = std::current_exception();
      }
      if (remaining.fetch_sub(1, std::memory_order_acq_rel) == 1) remaining.notify_all();
      now = ticket.load(std::memory_order_acquire);
    }
  }

  void work(int thread) {
    int32_t seen = 0;
    for (;;) {
      const auto changed = [&] { return wake.load(std::memory_order_acquire) != seen; };
      if (!spinUntil(changed)) wake.wait(seen, std::memory_order_acquire);
      seen = wake.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      take(thread);
    }
  }

  void signal() {
    wake.fetch_add(1, std::memory_order_acq_rel);
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads < 1) {
    throw Error(ErrorCode::kInvalidArgument, "threads must be at least 1, got " + std::to_string(threads));
  }
  // Signals belong to the threads of the host program.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (int thread = 1; thread < threads; ++thread) {
      impl_->workers.emplace_back([impl = impl_.get(), thread] { impl->work(thread); });
    }
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    impl_->stop.store(true, std::memory_order_release);
    impl_->signal();
    for (std::thread& worker : impl_->workers) worker.join();
    throw Error(ErrorCode::kOutOfMemory, "the system refused to start " + std::to_string(threads) + " threads");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->signal();
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::watch(const std::atomic<bool>* cancel) { impl_->cancel = cancel; }

bool ThreadPool::cancelled() const { return impl_->cancelled(); }

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(int64_t tasks, const std::function<void(int64_t task, int thread)>& body) {
  if (tasks <= 0) return;
  Impl& impl = *impl_;
  const auto refuseUndone = [&] {
    if (impl.undone.exchange(false, std::memory_order_relaxed))
      throw Error(ErrorCode::kCancelled, "the work was cancelled");
  };
  if (tasks == 1 || impl.workers.empty()) {
    impl.undone.store(false, std::memory_order_relaxed);
    for (int64_t task = 0; task < tasks && !impl.cancelled(); ++task) body(task, 0);
    refuseUndone();
    return;
  }
  if (tasks > kMaxTasks)
    throw Error(ErrorCode::kInternal, "too many tasks for one parallel run: " + std::to_string(tasks));

  const uint64_t run = (impl.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  impl.body.store(&body, std::memory_order_relaxed);
  impl.tasks.store(tasks, std::memory_order_relaxed);
  impl.remaining.store(static_cast<int32_t>(tasks), std::memory_order_relaxed);
  impl.undone.store(false, std::memory_order_relaxed);
  impl.ticket.store(run << 32, std::memory_order_release);
  impl.signal();
  impl.take(0);

  const auto done = [&] { return impl.remaining.load(std::memory_order_acquire) == 0; };
  if (!spinUntil(done)) {
    for (int32_t left; (left = impl.remaining.load(std::memory_order_acquire)) != 0;) {
      impl.remaining.wait(left, std::memory_order_acquire);
    }
  }
  impl.ticket.store(run << 32 | kClosed, std::memory_order_release);
  if (impl.failure) std::rethrow_exception(std::exchange(impl.failure, nullptr));
  refuseUndone();
}

}  // namespace mlit
