// A condition variable over pthreads: std::condition_variable::wait, as g++ 12 and later compile it, asks for the libstdc++ of
// GCC 12, and the package's floor is that of GCC 11 (GLIBCXX_3.4.29).
#pragma once

#include <pthread.h>
#include <time.h>

#include <chrono>
#include <mutex>

namespace mlit {

class Condition {
 public:
  Condition() = default;
  ~Condition() { pthread_cond_destroy(&condition_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void notifyOne() { pthread_cond_signal(&condition_); }
  void notifyAll() { pthread_cond_broadcast(&condition_); }

  // Both give the lock back while they wait, and hold it again when they return.
  template <class Ready>
  void wait(std::unique_lock<std::mutex>& lock, const Ready& ready) {
    while (!ready()) pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }

  // Whether it became ready in time.
  template <class Ready>
  bool waitFor(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds patience, const Ready& ready) {
    timespec until{};
    clock_gettime(CLOCK_MONOTONIC, &until);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(patience);
    until.tv_sec += whole.count();
    until.tv_nsec += (patience - whole).count();
    if (until.tv_nsec >= 1'000'000'000) {
      until.tv_nsec -= 1'000'000'000;
      ++until.tv_sec;
    }
    while (!ready()) {
      if (pthread_cond_clockwait(&condition_, lock.mutex()->native_handle(), CLOCK_MONOTONIC, &until) != 0)
        return ready();
    }
    return true;
  }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace mlit
