// One thread of the process computes, for the main environment and every worker alike: the backend and its pool have
// one owner, work is served first come first served, and neither the event loop nor libuv's pool is ever blocked.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/condition.h"

namespace mlit::addon {

// Cancels what was posted before cancel() and nothing that is posted after it. The flag is what native code reads.
struct CancelToken {
  std::atomic<bool> flag{false};
  uint64_t posted = 0;   // tasks posted so far        (both under ComputeThread's lock)
  uint64_t through = 0;  // tasks up to this number are cancelled
};

class ComputeTask {
 public:
  ComputeTask(const void* owner, std::shared_ptr<CancelToken> cancel) : owner_(owner), cancel_(std::move(cancel)) {}
  virtual ~ComputeTask() = default;
  ComputeTask(const ComputeTask&) = delete;
  ComputeTask& operator=(const ComputeTask&) = delete;

  virtual void run() noexcept = 0;                                    // on the compute thread
  virtual void hand(std::unique_ptr<ComputeTask> self) noexcept = 0;  // on the compute thread, after run()

 private:
  friend class ComputeThread;
  const void* owner_;  // the environment that waits for it
  std::shared_ptr<CancelToken> cancel_;
  uint64_t number_ = 0;
};

class ComputeThread {
 public:
  // Never destroyed: a thread may still be inside when the process's static objects go.
  static ComputeThread& instance();

  void post(std::unique_ptr<ComputeTask> task);
  void cancel(CancelToken& token);
  // Runs it on the compute thread ahead of all tasks; at once when called there. For freeing what lives on the backend.
  void dispose(std::function<void()> last);
  // An environment ends: its queued tasks are dropped, its running one is cancelled and waited for.
  void leave(const void* owner);

  // On the compute thread only: the backend that all models of a device share, made with these options where there is none. Once
  // made, the processor's number of threads stays; another instruction set is refused (kDeviceUnavailable) while a model uses it.
  // integers: of the processor's backend of integer products, which is another.
  std::shared_ptr<Backend> backend(const std::string& device, int threads, const std::string& isa,
                                   bool integers = false);

 private:
  ComputeThread() = default;
  void startLocked();
  void loop();
  void stopAtExit();

  std::mutex lock_;
  Condition wake_, rest_;
  std::deque<std::unique_ptr<ComputeTask>> queue_;
  std::vector<std::function<void()>> last_;
  bool started_ = false;
  bool exiting_ = false;
  bool busy_ = false;
  const void* runningOwner_ = nullptr;
  std::shared_ptr<CancelToken> runningCancel_;
  std::map<std::string, std::weak_ptr<Backend>> backends_;  // by resolved device
};

// An object that is destroyed on the compute thread, whichever thread lets go of it last.
template <class T>
std::shared_ptr<T> computeOwned(std::unique_ptr<T> object) {
  return std::shared_ptr<T>(object.release(),
                            [](T* last) { ComputeThread::instance().dispose([last] { delete last; }); });
}

}  // namespace mlit::addon
