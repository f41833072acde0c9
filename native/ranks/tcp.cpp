// The star. A rank sends rank 0 all that it has for others in one frame, and gets one back with all that the others had for it; a
// frame from rank 0 that says instead who is gone reaches everybody, so that each can name the rank that was lost.
#include "ranks/tcp.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "ranks/socket.h"

namespace mlit {
namespace {

constexpr std::array<char, 8> kMagic = {'m', 'l', 'i', 't', 'r', 'n', 'k', '1'};
constexpr auto kHelloPatience = std::chrono::seconds(5);
constexpr auto kBetweenTries = std::chrono::milliseconds(50);
constexpr uint64_t kLargestFrame = uint64_t{1} << 32;

struct Hello {
  std::array<char, 8> magic = kMagic;
  int32_t rank = 0, size = 0;
};

[[noreturn]] void lost(int32_t rank) {
  throw Error(ErrorCode::kDeviceUnavailable, "rank " + std::to_string(rank) + " is gone",
              {{"rank", std::to_string(rank)}});
}

[[noreturn]] void refuse(const TcpPlace& place, const std::string& why) {
  throw Error(ErrorCode::kDeviceUnavailable,
              "the ranks did not come together at " + place.host + ":" + std::to_string(place.port) + ": " + why,
              {{"host", place.host}, {"port", std::to_string(place.port)}});
}

// What goes between two ranks in one direction.
struct Frame {
  std::vector<std::byte> bytes;
  size_t done = 0;
};

class TcpExchange final : public Exchange {
 public:
  TcpExchange(const TcpPlace& place, std::vector<Socket> sockets)
      : rank_(place.rank), size_(place.size), sockets_(std::move(sockets)) {}

  int32_t rank() const override { return rank_; }
  int32_t size() const override { return size_; }
  std::string description() const override { return "TCP"; }

  void exchange(const std::byte* from, std::span<const RankPart> sends, std::byte* to,
                std::span<const RankPart> receives, const std::atomic<bool>* cancel) override {
    if (rank_ == 0)
      serve(from, sends, to, receives, cancel);
    else
      ask(from, sends, to, receives, cancel);
  }

  void leave() override {
    const std::vector<RankPart> nothing(static_cast<size_t>(size_));
    exchange(nullptr, nothing, nullptr, nothing, nullptr);
    sockets_.clear();
  }

 private:
  // A rank's frame: for each rank the length of its part, then the parts that are not its own. Rank 0's answer: who is gone (-1:
  // nobody), then the parts.
  void ask(const std::byte* from, std::span<const RankPart> sends, std::byte* to, std::span<const RankPart> receives,
           const std::atomic<bool>* cancel) {
    Socket& center = sockets_[0];
    std::vector<uint64_t> lengths;
    for (const RankPart& part : sends) lengths.push_back(part.bytes);
    bool there = writeAll(center, lengths.data(), lengths.size() * sizeof(uint64_t), cancel);
    for (int32_t q = 0; there && q < size_; ++q) {
      if (q != rank_) there = writeAll(center, from + sends[index(q)].offset, sends[index(q)].bytes, cancel);
    }
    int64_t gone = -1;
    there = readAll(center, &gone, sizeof gone, cancel);  // also where writing failed: it may say why
    if (there && gone >= 0) lost(static_cast<int32_t>(gone));
    for (int32_t q = 0; there && q < size_; ++q) {
      if (q != rank_) there = readAll(center, to + receives[index(q)].offset, receives[index(q)].bytes, cancel);
    }
    if (!there) lost(0);
  }

  void serve(const std::byte* from, std::span<const RankPart> sends, std::byte* to, std::span<const RankPart> receives,
             const std::atomic<bool>* cancel) {
    std::vector<std::vector<uint64_t>> lengths(static_cast<size_t>(size_));
    std::vector<Frame> came(static_cast<size_t>(size_)), go(static_cast<size_t>(size_));
    for (int32_t q = 1; q < size_; ++q) came[index(q)].bytes.resize(static_cast<size_t>(size_) * sizeof(uint64_t));
    move(came, POLLIN, cancel);
    for (int32_t q = 1; q < size_; ++q) {
      Frame& frame = came[index(q)];
      lengths[index(q)].resize(static_cast<size_t>(size_));
      std::memcpy(lengths[index(q)].data(), frame.bytes.data(), frame.bytes.size());
      uint64_t total = 0;
      for (int32_t p = 0; p < size_; ++p) {
        const uint64_t length = p == q ? 0 : lengths[index(q)][index(p)];
        if (length > kLargestFrame || (p == 0 && length != receives[index(q)].bytes))
          fail(q, cancel, "rank " + std::to_string(q) + " is at another place of the run than rank 0");
        total += length;
      }
      frame.bytes.assign(total, std::byte{0});
      frame.done = 0;
    }
    move(came, POLLIN, cancel);
    const int64_t nobody = -1;
    for (int32_t p = 1; p < size_; ++p)
      append(go[index(p)], reinterpret_cast<const std::byte*>(&nobody), sizeof nobody);
    for (int32_t p = 1; p < size_; ++p) append(go[index(p)], from + sends[index(p)].offset, sends[index(p)].bytes);
    for (int32_t q = 1; q < size_; ++q) {
      const std::byte* at = came[index(q)].bytes.data();
      for (int32_t p = 0; p < size_; ++p) {
        if (p == q) continue;
        const uint64_t length = lengths[index(q)][index(p)];
        if (p == 0 && length > 0) std::memcpy(to + receives[index(q)].offset, at, length);
        if (p != 0) append(go[index(p)], at, length);
        at += length;
      }
    }
    move(go, POLLOUT, cancel);
  }

  // Fills, or empties, the frames of all other ranks as they are ready.
  void move(std::vector<Frame>& frames, short events, const std::atomic<bool>* cancel) {
    for (;;) {
      std::vector<int> fds;
      bool moved = false;
      for (int32_t q = 1; q < size_; ++q) {
        Frame& frame = frames[index(q)];
        if (frame.done == frame.bytes.size()) continue;
        std::byte* const at = frame.bytes.data() + frame.done;
        const size_t left = frame.bytes.size() - frame.done;
        const int64_t n = events == POLLIN ? sockets_[index(q)].read(at, left) : sockets_[index(q)].write(at, left);
        if (n < 0) fail(q, cancel, "");
        frame.done += static_cast<size_t>(n);
        moved = moved || n > 0;
        if (frame.done < frame.bytes.size()) fds.push_back(sockets_[index(q)].fd());
      }
      if (fds.empty()) return;
      if (moved) continue;
      const std::vector<short> wanted(fds.size(), events);
      waitFor(fds.data(), wanted.data(), fds.size(), cancel);
    }
  }

  // Tells everybody who is gone.
  [[noreturn]] void fail(int32_t gone, const std::atomic<bool>* cancel, const std::string& why) {
    const int64_t word = gone;
    for (int32_t q = 1; q < size_; ++q) writeAll(sockets_[index(q)], &word, sizeof word, cancel);
    if (why.empty()) lost(gone);
    throw Error(ErrorCode::kDeviceUnavailable, why, {{"rank", std::to_string(gone)}});
  }

  static void append(Frame& frame, const std::byte* from, size_t bytes) {
    if (bytes > 0) frame.bytes.insert(frame.bytes.end(), from, from + bytes);
  }
  static size_t index(int32_t rank) { return static_cast<size_t>(rank); }

  int32_t rank_, size_;
  std::vector<Socket> sockets_;  // rank 0: by rank, its own empty; the others: rank 0's
};

std::vector<Socket> gatherAt(const TcpPlace& place, const std::atomic<bool>* cancel) {
  const Deadline until = std::chrono::steady_clock::now() + place.patience;
  Socket listening = listenAt(place.host, place.port);
  std::vector<Socket> sockets(static_cast<size_t>(place.size));
  for (int32_t came = 1; came < place.size;) {
    const int fd = listening.fd();
    const short events = POLLIN;
    waitFor(&fd, &events, 1, cancel);
    Socket one = acceptFrom(listening);
    Hello hello;
    hello.magic = {};
    if (one && readAll(one, &hello, sizeof hello, cancel, std::chrono::steady_clock::now() + kHelloPatience) &&
        hello.magic == kMagic) {
      if (hello.size != place.size)
        refuse(place, "rank " + std::to_string(hello.rank) + " was told of " + std::to_string(hello.size) +
                          " ranks, rank 0 of " + std::to_string(place.size));
      if (hello.rank < 1 || hello.rank >= place.size || sockets[static_cast<size_t>(hello.rank)])
        refuse(place, "two processes say that they are rank " + std::to_string(hello.rank));
      sockets[static_cast<size_t>(hello.rank)] = std::move(one);
      ++came;
    } else if (std::chrono::steady_clock::now() > until) {
      std::string absent;
      for (int32_t q = 1; q < place.size; ++q) {
        if (!sockets[static_cast<size_t>(q)]) absent += (absent.empty() ? "" : ", ") + std::to_string(q);
      }
      refuse(place, "rank " + absent + " of " + std::to_string(place.size) + " did not come");
    }
  }
  for (int32_t q = 1; q < place.size; ++q) {
    if (!writeAll(sockets[static_cast<size_t>(q)], kMagic.data(), kMagic.size(), cancel)) lost(q);
  }
  return sockets;
}

std::vector<Socket> comeTo(const TcpPlace& place, const std::atomic<bool>* cancel) {
  const Deadline until = std::chrono::steady_clock::now() + place.patience;
  Hello hello;
  hello.rank = place.rank;
  hello.size = place.size;
  for (;;) {
    std::vector<Socket> sockets(1);
    sockets[0] = connectTo(place.host, place.port);
    if (sockets[0]) {
      std::array<char, 8> answer{};
      if (writeAll(sockets[0], &hello, sizeof hello, cancel) &&
          readAll(sockets[0], answer.data(), answer.size(), cancel, until) && answer == kMagic)
        return sockets;
      refuse(place, "rank 0 is not there, has turned rank " + std::to_string(place.rank) +
                        " away, or the port belongs to another program");
    }
    if (cancel != nullptr && *cancel) throw Error(ErrorCode::kCancelled, "cancelled");
    if (std::chrono::steady_clock::now() > until) refuse(place, "rank 0 does not answer");
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace

std::unique_ptr<Exchange> joinByTcp(const TcpPlace& place, const std::atomic<bool>* cancel) {
  std::vector<Socket> sockets = place.rank == 0 ? gatherAt(place, cancel) : comeTo(place, cancel);
  return std::make_unique<TcpExchange>(place, std::move(sockets));
}

}  // namespace mlit
