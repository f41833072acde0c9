// The queue, and the two ways it ends: an environment that leaves, and a process that exits in mid-step (where Node
// runs no cleanup hooks for the main environment, so that exit() itself has to be met).
#include "addon/compute_thread.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "addon/plugin.h"
#include "core/error.h"

namespace mlit::addon {
namespace {

// What exit() waits for a running task at most; tasks look at their cancel flag far more often than that.
constexpr std::chrono::milliseconds kExitPatience{600};

thread_local bool onComputeThread = false;

}  // namespace

ComputeThread& ComputeThread::instance() {
  static ComputeThread* const only = new ComputeThread;
  return *only;
}

void ComputeThread::startLocked() {
  if (started_) return;
  started_ = true;
  std::atexit([] { instance().stopAtExit(); });
  // Signals belong to Node's own threads; the pool's threads inherit this mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([this] { loop(); }).detach();
  } catch (...) {
    started_ = false;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw Error(ErrorCode::kOutOfMemory,
                "the system refused the compute thread: too many threads or too little memory");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void ComputeThread::post(std::unique_ptr<ComputeTask> task) {
  const std::lock_guard guard(lock_);
  startLocked();
  if (task->cancel_) task->number_ = ++task->cancel_->posted;
  queue_.push_back(std::move(task));
  wake_.notifyOne();
}

void ComputeThread::cancel(CancelToken& token) {
  const std::lock_guard guard(lock_);
  token.through = token.posted;
  token.flag = true;
}

void ComputeThread::dispose(std::function<void()> last) {
  if (onComputeThread) {
    last();
    return;
  }
  const std::lock_guard guard(lock_);
  startLocked();
  last_.push_back(std::move(last));
  wake_.notifyOne();
}

void ComputeThread::leave(const void* owner) {
  std::vector<std::unique_ptr<ComputeTask>> dropped;  // destroyed after the lock is given back
  std::unique_lock guard(lock_);
  for (auto& task : queue_) {
    if (task->owner_ == owner) dropped.push_back(std::move(task));
  }
  std::erase_if(queue_, [](const auto& task) { return task == nullptr; });
  if (runningOwner_ == owner && runningCancel_) runningCancel_->flag = true;
  rest_.wait(guard, [&] { return runningOwner_ != owner; });
}

void ComputeThread::stopAtExit() {
  std::unique_lock guard(lock_);
  exiting_ = true;
  if (runningCancel_) runningCancel_->flag = true;
  rest_.waitFor(guard, kExitPatience, [&] { return !busy_; });
}

void ComputeThread::loop() {
  onComputeThread = true;
  pthread_setname_np(pthread_self(), "mlit-compute");
  std::unique_lock guard(lock_);
  for (;;) {
    wake_.wait(guard, [&] { return !exiting_ && (!last_.empty() || !queue_.empty()); });
    busy_ = true;
    if (!last_.empty()) {
      std::vector<std::function<void()>> now = std::move(last_);
      last_.clear();
      guard.unlock();
      for (auto& each : now) each();
      now.clear();
      guard.lock();
    } else {
      std::unique_ptr<ComputeTask> task = std::move(queue_.front());
      queue_.pop_front();
      runningOwner_ = task->owner_;
      runningCancel_ = task->cancel_;
      if (runningCancel_) runningCancel_->flag = task->number_ <= runningCancel_->through;
      guard.unlock();
      task->run();
      ComputeTask& done = *task;
      done.hand(std::move(task));
      guard.lock();
      runningOwner_ = nullptr;
      runningCancel_ = nullptr;
    }
    busy_ = false;
    rest_.notifyAll();
  }
}

std::shared_ptr<Backend> ComputeThread::backend(const std::string& device, int threads, const std::string& isa,
                                                bool integers) {
  const std::string resolved = resolveDevice(device, isa);
  std::weak_ptr<Backend>& kept = backends_[integers ? resolved + " int8" : resolved];
  if (std::shared_ptr<Backend> shared = kept.lock()) {
    if (resolved != "cpu") return shared;
    const std::string description = shared->description();  // "avx512, 2 threads"
    const std::string current = description.substr(0, description.find(','));
    if (isa != "auto" && isa != current) {
      throw Error(ErrorCode::kDeviceUnavailable,
                  "this process computes with " + current + " already, so " + isa +
                      " can't be had: dispose of every model first",
                  {{"isa", isa}, {"current", current}});
    }
    return shared;
  }
  std::shared_ptr<Backend> made = createBackend(resolved, threads, isa, integers);
  kept = made;
  return made;
}

}  // namespace mlit::addon
