#include "backend/cuda/nccl_exchange.h"

#include <chrono>
#include <thread>

#include "backend/cuda/runtime.h"
#include "core/error.h"

namespace mlit::cuda {
namespace {

constexpr int kEagerLooks = 200;  // at an event, before a wait begins to sleep between looks
constexpr auto kBetweenLooks = std::chrono::microseconds(50);

class NcclExchange final : public Exchange {
 public:
  NcclExchange(const NcclApi& api, std::string version, Backend& backend, int device, const NcclId& id, int32_t rank,
               int32_t size)
      : api_(api), version_(std::move(version)), backend_(backend), device_(device), rank_(rank), size_(size) {
    check(api_.commInitRank(&comm_, size, id, rank), "ncclCommInitRank");
  }
  ~NcclExchange() override {
    if (failed_)
      api_.commAbort(comm_);
    else
      api_.commDestroy(comm_);
  }
  NcclExchange(const NcclExchange&) = delete;
  NcclExchange& operator=(const NcclExchange&) = delete;

  int32_t rank() const override { return rank_; }
  int32_t size() const override { return size_; }
  std::string description() const override { return "NCCL " + version_; }

  void exchange(const std::byte* from, std::span<const RankPart> sends, std::byte* to,
                std::span<const RankPart> receives, const std::atomic<bool>* cancel) override {
    backend_.synchronize();  // what is sent is there, and what is overwritten is used no more
    setDevice(device_);
    failed_ = true;
    if (cancel != nullptr && *cancel) throw Error(ErrorCode::kCancelled, "cancelled");
    check(api_.groupStart(), "ncclGroupStart");
    for (int32_t q = 0; q < size_; ++q) {
      const RankPart& send = sends[static_cast<size_t>(q)];
      const RankPart& receive = receives[static_cast<size_t>(q)];
      if (q == rank_) continue;
      if (send.bytes > 0)
        check(api_.send(from + send.offset, send.bytes, NcclType::kByte, q, comm_, stream_.handle()), "ncclSend");
      if (receive.bytes > 0)
        check(api_.recv(to + receive.offset, receive.bytes, NcclType::kByte, q, comm_, stream_.handle()), "ncclRecv");
    }
    check(api_.groupEnd(), "ncclGroupEnd");
    reached_.record(stream_);
    for (int looks = 0; !reached_.done(); ++looks) {
      if (cancel != nullptr && *cancel) throw Error(ErrorCode::kCancelled, "cancelled");
      NcclResult behind = NcclResult::kSuccess;
      check(api_.commGetAsyncError(comm_, &behind), "ncclCommGetAsyncError");
      if (behind != NcclResult::kInProgress) check(behind, "an exchange");
      if (looks >= kEagerLooks) std::this_thread::sleep_for(kBetweenLooks);
    }
    failed_ = false;
  }

  void leave() override {}  // the processes do it together

 private:
  void check(NcclResult result, const char* call) {
    if (result == NcclResult::kSuccess) return;
    throw Error(ErrorCode::kDeviceUnavailable, std::string("NCCL: ") + call + " failed: " + api_.getErrorString(result),
                {{"call", call}});
  }

  NcclApi api_;
  std::string version_;
  Backend& backend_;
  int device_;
  int32_t rank_, size_;
  NcclComm* comm_ = nullptr;
  Stream stream_;
  Event reached_;
  bool failed_ = false;  // the communicator is in the middle of something
};

}  // namespace

std::unique_ptr<Exchange> joinByNccl(const NcclApi& api, const std::string& version, Backend& backend, int device,
                                     const NcclId& id, int32_t rank, int32_t size) {
  setDevice(device);
  return std::make_unique<NcclExchange>(api, version, backend, device, id, rank, size);
}

}  // namespace mlit::cuda
