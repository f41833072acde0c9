// Sockets that give up when they are told to: waits look at a flag, and whoever is gone is an answer and not a signal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace mlit {

using Deadline = std::chrono::steady_clock::time_point;

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept;

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close();

  // As much as can be had without waiting; -1 where the other end is gone.
  int64_t read(std::byte* to, size_t bytes);
  int64_t write(const std::byte* from, size_t bytes);

 private:
  int fd_ = -1;
};

// Throws kCancelled where the flag is set, then waits some milliseconds at most for one of the sockets to be of use.
void waitFor(const int* fds, const short* events, size_t count, const std::atomic<bool>* cancel);

// Everything, or false: the other end is gone, or the deadline has passed.
bool readAll(Socket& socket, void* to, size_t bytes, const std::atomic<bool>* cancel, Deadline until = Deadline::max());
bool writeAll(Socket& socket, const void* from, size_t bytes, const std::atomic<bool>* cancel);

// Throws kDeviceUnavailable with the reason.
Socket listenAt(const std::string& host, uint16_t port);
// None where nobody listens there (yet). Throws kDeviceUnavailable where the name means nothing.
Socket connectTo(const std::string& host, uint16_t port);
// None where nobody knocks.
Socket acceptFrom(Socket& listening);

}  // namespace mlit
