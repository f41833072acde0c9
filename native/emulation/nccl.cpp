#include "emulation/nccl.h"

#include <condition_variable>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "emulation/emulator.h"
#include "emulation/memory.h"
#include "emulation/streams.h"

namespace mlit::emulation {
namespace {

using cuda::NcclComm;
using cuda::NcclId;
using cuda::NcclResult;
using cuda::NcclType;

std::mutex all;
std::condition_variable moved;

// The ranks that share an id, and what is on its way between two of them, by how many went before it.
struct World {
  int size = 0, come = 0;
  bool broken = false;  // one has aborted
  std::map<std::tuple<int, int, uint64_t>, std::vector<char>> onTheWay;
};
std::map<std::string, World> worlds;
size_t alive = 0;
uint64_t made = 0;

struct Transfer {
  NcclComm* comm;
  bool sends;
  char* at;
  size_t bytes;
  int other;
  StreamQueue* stream;
};
thread_local int depth = 0;
thread_local std::vector<Transfer> group;

// The rank's turn passes to others until this is true; false where that will never be. What is true already is so for a rank that
// wakes after another has aborted, too.
template <class Condition>
bool lend(const World& world, const Condition& condition) {
  std::unique_lock held(all, std::adopt_lock);
  moved.notify_all();
  moved.wait(held, [&] { return world.broken || condition(); });
  held.release();
  return condition();
}

}  // namespace
}  // namespace mlit::emulation

namespace mlit::cuda {

struct NcclComm {
  emulation::World* world;
  int rank;
  std::map<std::pair<int, bool>, uint64_t> counts;  // of transfers with a rank in a direction
};

}  // namespace mlit::cuda

namespace mlit::emulation {
namespace {

NcclResult getVersion(int* version) {
  *version = 23007;
  return NcclResult::kSuccess;
}

const char* errorString(NcclResult result) { return result == NcclResult::kSystemError ? "a rank is gone" : "misuse"; }

NcclResult uniqueId(NcclId* id) {
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->bytes, &++made, sizeof made);
  return NcclResult::kSuccess;
}

NcclResult commInitRank(NcclComm** comm, int ranks, NcclId id, int rank) {
  World& world = worlds[std::string(id.bytes, sizeof id.bytes)];
  if (rank < 0 || rank >= ranks || (world.come > 0 && world.size != ranks)) return NcclResult::kInvalidUsage;
  world.size = ranks;
  ++world.come;
  if (!lend(world, [&] { return world.come == world.size; })) return NcclResult::kSystemError;
  *comm = new NcclComm{&world, rank, {}};
  ++alive;
  return NcclResult::kSuccess;
}

NcclResult commDestroy(NcclComm* comm) {
  delete comm;
  --alive;
  return NcclResult::kSuccess;
}

NcclResult commAbort(NcclComm* comm) {
  comm->world->broken = true;
  moved.notify_all();
  return commDestroy(comm);
}

NcclResult asyncError(NcclComm* comm, NcclResult* error) {
  *error = comm->world->broken ? NcclResult::kSystemError : NcclResult::kSuccess;
  return NcclResult::kSuccess;
}

NcclResult groupStart() {
  ++depth;
  return NcclResult::kSuccess;
}

NcclResult add(NcclComm* comm, bool sends, void* at, size_t bytes, NcclType type, int other, void* stream) {
  if (depth == 0 || type != NcclType::kByte || other < 0 || other >= comm->world->size || stream == nullptr)
    return NcclResult::kInvalidUsage;
  group.push_back({comm, sends, static_cast<char*>(at), bytes, other, static_cast<StreamQueue*>(stream)});
  return NcclResult::kSuccess;
}

NcclResult send(const void* from, size_t count, NcclType type, int to, NcclComm* comm, void* stream) {
  return add(comm, true, static_cast<char*>(const_cast<void*>(from)), count, type, to, stream);
}

NcclResult receive(void* to, size_t count, NcclType type, int from, NcclComm* comm, void* stream) {
  return add(comm, false, to, count, type, from, stream);
}

// What is sent leaves in the stream's turn; what comes is written in it once it has left the others.
NcclResult groupEnd() {
  if (--depth > 0) return NcclResult::kSuccess;
  const std::vector<Transfer> transfers = std::exchange(group, {});
  for (const Transfer& each : transfers) {
    if (!each.sends) continue;
    const int own = each.comm->rank;
    std::vector<char>& letter = each.comm->world->onTheWay[{own, each.other, each.comm->counts[{each.other, true}]++}];
    enqueue(each.stream, "ncclSend", [each, &letter] {
      markRead(each.at, each.bytes);
      letter.assign(each.at, each.at + each.bytes);
    });
    waitFor(markOf(each.stream));
  }
  for (const Transfer& each : transfers) {
    if (each.sends) continue;
    World& world = *each.comm->world;
    const auto place = std::tuple(each.other, each.comm->rank, each.comm->counts[{each.other, false}]++);
    const auto hasCome = [&] { return world.onTheWay.contains(place) && !world.onTheWay[place].empty(); };
    if (!lend(world, hasCome)) return NcclResult::kSystemError;
    const std::vector<char> letter = world.onTheWay[place];
    world.onTheWay.erase(place);
    if (letter.size() != each.bytes) {
      report(Kind::kLibrary,
             "ncclRecv of " + std::to_string(each.bytes) + " bytes meets a send of " + std::to_string(letter.size()),
             nullptr);
      return NcclResult::kInvalidUsage;
    }
    enqueue(each.stream, "ncclRecv", [each, letter] {
      markWritten(each.at, each.bytes);
      std::memcpy(each.at, letter.data(), letter.size());
    });
  }
  moved.notify_all();
  return NcclResult::kSuccess;
}

}  // namespace

const cuda::NcclApi& ncclApi() {
  static const cuda::NcclApi api = {getVersion, errorString, uniqueId, commInitRank, commDestroy, commAbort,
                                    asyncError, groupStart,  groupEnd, send,         receive};
  return api;
}

std::unique_lock<std::mutex> cards() { return std::unique_lock(all); }

size_t ncclCommunicators() { return alive; }

}  // namespace mlit::emulation
