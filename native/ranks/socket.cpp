#include "ranks/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "core/error.h"

namespace mlit {
namespace {

constexpr int kLookMilliseconds = 20;  // between looks at a cancel flag

// A machine that has vanished says nothing: it counts as gone after a minute.
void tune(int fd) {
  const auto set = [fd](int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 20);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

struct Addresses {
  explicit Addresses(const std::string& host, uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    const int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first);
    if (failed == 0) return;
    throw Error(ErrorCode::kDeviceUnavailable,
                "MASTER_ADDR is '" + host + "', which is no address here: " + gai_strerror(failed), {{"host", host}});
  }
  ~Addresses() { freeaddrinfo(first); }
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  addrinfo* first = nullptr;
};

Socket socketOf(const addrinfo& address) {
  return Socket(socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol));
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void Socket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

int64_t Socket::read(std::byte* to, size_t bytes) {
  const ssize_t got = recv(fd_, to, bytes, 0);
  if (got > 0) return got;
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
}

int64_t Socket::write(const std::byte* from, size_t bytes) {
  const ssize_t put = send(fd_, from, bytes, MSG_NOSIGNAL);
  if (put >= 0) return put;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

void waitFor(const int* fds, const short* events, size_t count, const std::atomic<bool>* cancel) {
  if (cancel != nullptr && *cancel) throw Error(ErrorCode::kCancelled, "cancelled");
  std::vector<pollfd> polled(count);
  for (size_t i = 0; i < count; ++i) polled[i] = {fds[i], events[i], 0};
  poll(polled.data(), count, kLookMilliseconds);
}

bool readAll(Socket& socket, void* to, size_t bytes, const std::atomic<bool>* cancel, Deadline until) {
  auto* at = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const int64_t got = socket.read(at, bytes);
    if (got < 0 || std::chrono::steady_clock::now() > until) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
    if (got > 0) continue;
    const int fd = socket.fd();
    const short events = POLLIN;
    waitFor(&fd, &events, 1, cancel);
  }
  return true;
}

bool writeAll(Socket& socket, const void* from, size_t bytes, const std::atomic<bool>* cancel) {
  const auto* at = static_cast<const std::byte*>(from);
  while (bytes > 0) {
    const int64_t put = socket.write(at, bytes);
    if (put < 0) return false;
    at += put;
    bytes -= static_cast<size_t>(put);
    if (put > 0) continue;
    const int fd = socket.fd();
    const short events = POLLOUT;
    waitFor(&fd, &events, 1, cancel);
  }
  return true;
}

Socket listenAt(const std::string& host, uint16_t port) {
  const Addresses addresses(host, port);
  std::string why = "it has no address";
  for (const addrinfo* each = addresses.first; each != nullptr; each = each->ai_next) {
    Socket made = socketOf(*each);
    const int on = 1;
    setsockopt(made.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (made && bind(made.fd(), each->ai_addr, each->ai_addrlen) == 0 && listen(made.fd(), SOMAXCONN) == 0) {
      fcntl(made.fd(), F_SETFL, fcntl(made.fd(), F_GETFL) | O_NONBLOCK);
      return made;
    }
    why = strerror(errno);
  }
  throw Error(ErrorCode::kDeviceUnavailable,
              "rank 0 can't wait for the others at " + host + ":" + std::to_string(port) + ": " + why +
                  "; MASTER_ADDR has to be an address of rank 0's machine, and MASTER_PORT a port that is free there",
              {{"host", host}, {"port", std::to_string(port)}});
}

Socket connectTo(const std::string& host, uint16_t port) {
  const Addresses addresses(host, port);
  for (const addrinfo* each = addresses.first; each != nullptr; each = each->ai_next) {
    Socket made = socketOf(*each);
    if (made && connect(made.fd(), each->ai_addr, each->ai_addrlen) == 0) {
      tune(made.fd());
      return made;
    }
  }
  return {};
}

Socket acceptFrom(Socket& listening) {
  Socket made(accept4(listening.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  if (made) tune(made.fd());
  return made;
}

}  // namespace mlit
