// mlit_mpi.so: exchanges as messages between two ranks, which wait by looking, so that a run can be cancelled and a rank that waits
// leaves its processor to others.
#include <mpi.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "ranks/mpi/table.h"

namespace mlit {
namespace {

constexpr int kTag = 7;
constexpr int kEagerLooks = 2000;  // before a wait begins to sleep between looks
constexpr auto kBetweenLooks = std::chrono::microseconds(50);

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw Error(ErrorCode::kDeviceUnavailable, std::string(call) + " failed: " + text, {{"call", call}});
}

class MpiExchange final : public Exchange {
 public:
  MpiExchange() {
    int there = 0;
    check(MPI_Initialized(&there), "MPI_Initialized");
    if (there) throw Error(ErrorCode::kDeviceUnavailable, "this process has joined its ranks before", {});
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(world_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(world_, &size_), "MPI_Comm_size");
  }

  int32_t rank() const override { return rank_; }
  int32_t size() const override { return size_; }

  std::string description() const override {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
    int length = 0;
    MPI_Get_library_version(text, &length);
    const std::string all(text, static_cast<size_t>(length));
    return "MPI (" + all.substr(0, all.find_first_of(",\n")) + ")";
  }

  void exchange(const std::byte* from, std::span<const RankPart> sends, std::byte* to,
                std::span<const RankPart> receives, const std::atomic<bool>* cancel) override {
    std::vector<MPI_Request> requests;
    std::vector<int> senders;
    for (int q = 0; q < size_; ++q) {
      const RankPart& part = receives[static_cast<size_t>(q)];
      if (q == rank_ || part.bytes == 0) continue;
      senders.push_back(q);
      requests.emplace_back();
      check(MPI_Irecv(to + part.offset, static_cast<int>(part.bytes), MPI_BYTE, q, kTag, world_, &requests.back()),
            "MPI_Irecv");
    }
    for (int q = 0; q < size_; ++q) {
      const RankPart& part = sends[static_cast<size_t>(q)];
      if (q == rank_ || part.bytes == 0) continue;
      requests.emplace_back();
      check(MPI_Isend(from + part.offset, static_cast<int>(part.bytes), MPI_BYTE, q, kTag, world_, &requests.back()),
            "MPI_Isend");
    }
    std::vector<MPI_Status> statuses(requests.size());
    int done = 0;
    for (int looks = 0; !done; ++looks) {
      if (cancel != nullptr && *cancel) throw Error(ErrorCode::kCancelled, "cancelled");
      check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, statuses.data()), "MPI_Testall");
      if (looks >= kEagerLooks)
        std::this_thread::sleep_for(kBetweenLooks);
      else
        std::this_thread::yield();
    }
    checkLengths(senders, receives, statuses);
  }

  void leave() override { check(MPI_Finalize(), "MPI_Finalize"); }

 private:
  // A message that is shorter than what is waited for would be taken without a word.
  static void checkLengths(const std::vector<int>& senders, std::span<const RankPart> receives,
                           const std::vector<MPI_Status>& statuses) {
    for (size_t i = 0; i < senders.size(); ++i) {
      const int q = senders[i];
      int bytes = 0;
      check(MPI_Get_count(&statuses[i], MPI_BYTE, &bytes), "MPI_Get_count");
      if (static_cast<size_t>(bytes) == receives[static_cast<size_t>(q)].bytes) continue;
      throw Error(ErrorCode::kDeviceUnavailable, "rank " + std::to_string(q) + " is at another place of the run",
                  {{"rank", std::to_string(q)}});
    }
  }

  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
};

Exchange* join() { return new MpiExchange; }

}  // namespace
}  // namespace mlit

extern "C" __attribute__((visibility("default"))) const mlit::MpiTable* mlit_mpi_init() {
  static const mlit::MpiTable table = {mlit::kMpiTableVersion, MLIT_MPI_INTERFACE, mlit::join};
  return &table;
}
