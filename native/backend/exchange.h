// How the ranks of a run reach each other: one operation, which everything that ranks say to each other is made of. It is
// implemented over sockets (tcp), MPI (a plug-in, mpi/) and NCCL (in the CUDA plug-in, for memory of cards).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace mlit {

// A piece of a buffer that goes to, or comes from, one rank.
struct RankPart {
  size_t offset = 0, bytes = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t size() const = 0;
  virtual std::string description() const = 0;  // "MPI (Open MPI v4.1.4)", "TCP"

  // Sends part sends[q] of `from` to every other rank q, and what they send comes into receives[q] of `to`; the own parts are left
  // alone. sends[q] there and receives[own rank] here have one length. All ranks call in the same order. Parts that are sent
  // may overlap; `from` and `to` may be one buffer where no part that comes overlaps one that goes.
  // Ends when everything has been sent and has come. cancel (may be null) is looked at while it waits: kCancelled. A rank that is
  // gone is kDeviceUnavailable with its number as the field "rank". After either the exchange can't be used any more.
  virtual void exchange(const std::byte* from, std::span<const RankPart> sends, std::byte* to,
                        std::span<const RankPart> receives, const std::atomic<bool>* cancel) = 0;

  // Ends it in order, all ranks together. An exchange that is destroyed without it has been left: what the others wait for
  // will not come.
  virtual void leave() = 0;
};

}  // namespace mlit
