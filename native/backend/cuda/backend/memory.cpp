// A card's memory, and waiting for it. Uploads and downloads pass through page-locked memory of fixed size; a wait looks at the
// cancel flag, because kernels cannot.
#include <chrono>
#include <thread>

#include "backend/cuda/backend/backend_impl.h"
#include "core/error.h"

namespace mlit::cuda {

namespace {

constexpr int kEagerLooks = 200;  // at an event, before a wait begins to sleep between looks
constexpr size_t kAlignment = 256;
constexpr auto kBetweenLooks = std::chrono::microseconds(50);

}  // namespace

CudaBackend::CudaBackend(int device, const CublasLtApi& cublasLt)
    : on_(device),
      card_(deviceProperties(device)),
      workspace_(WeightWorkspace{}.bytes()),
      lengthsRoom_(kLengthsBytes),
      aheadRoom_(kAheadBytes),
      inboxRoom_(kInboxBytes),
      inbox_(inboxRoom_.at(), inboxRoom_.bytes()),
      staging_(kStagingBytes),
      weights_(cublasLt, workspace_.at()) {}

void CudaBackend::OnDevice::hereIfAlive() const noexcept {
  try {
    here();
  } catch (const Error&) {
    // What is released is released all the same.
  }
}

CudaBackend::~CudaBackend() {
  on_.hereIfAlive();
  try {
    stream_.synchronize();  // copies may still read page-locked memory
  } catch (const Error&) {
    // A device that failed runs nothing any more.
  }
}

std::string CudaBackend::name() const { return "cuda"; }

std::string CudaBackend::description() const {
  return card_.name + ", compute capability " + std::to_string(card_.major) + "." + std::to_string(card_.minor) + ", " +
         std::to_string(card_.processors) + " processors";
}

size_t CudaBackend::fixedBytes() const { return cudaFixedBytes(); }

size_t CudaBackend::logitsBytes() const {
  on_.here();
  return cudaLogitsBytes(static_cast<int64_t>(memoryInfo().totalBytes));
}

int64_t CudaBackend::deviceBytes() const {
  on_.here();
  return static_cast<int64_t>(memoryInfo().freeBytes + fixedBytes());
}

DevicePtr<std::byte> CudaBackend::workspace(size_t bytes) {
  if (bytes > workspace_.bytes()) {
    throw Error(ErrorCode::kInternal, "an op wants " + std::to_string(bytes) + " bytes of a workspace of " +
                                          std::to_string(workspace_.bytes()));
  }
  return DevicePtr<std::byte>(workspace_.at());
}

DevicePtr<std::byte> CudaBackend::allocate(size_t bytes) {
  on_.here();
  return DevicePtr<std::byte>(static_cast<std::byte*>(cuda::allocate(bytes)));
}

void CudaBackend::release(DevicePtr<std::byte> memory, size_t) {
  on_.hereIfAlive();
  cuda::release(memory.raw());
}

void CudaBackend::upload(DevicePtr<std::byte> to, const void* from, size_t bytes) {
  on_.here();
  if (busy_ && inbox_.takes(bytes)) {
    inbox_.upload(to.raw(), from, bytes, stream_);
  } else {
    staging_.upload(to.raw(), from, bytes, stream_);  // at once, where the device has nothing else to do
  }
}

void CudaBackend::download(void* to, DevicePtr<const std::byte> from, size_t bytes) {
  orForget([&] {
    on_.here();
    staging_.download(to, from.raw(), bytes, stream_);
  });
}

void CudaBackend::orForget(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    staging_.forget();
    throw;
  }
}

void CudaBackend::zero(DevicePtr<std::byte> at, size_t bytes) {
  if (bytes > 0) fill(at.raw(), 0, bytes, next());
}

void CudaBackend::copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) {
  if (bytes > 0) copyOnDevice(to.raw(), from.raw(), bytes, next());
}

void CudaBackend::synchronize() {
  orForget([&] {
    on_.here();
    if (cancelled_ == nullptr) {
      stream_.synchronize();
    } else {
      reached_.record(stream_);
      for (int looks = 0; !reached_.done(); ++looks) {
        if (*cancelled_) cancel();
        if (looks >= kEagerLooks) std::this_thread::sleep_for(kBetweenLooks);
      }
    }
  });
  staging_.deliver();
  inbox_.clear();
  busy_ = false;
}

void CudaBackend::watchCancel(const std::atomic<bool>* flag) { cancelled_ = flag; }

void CudaBackend::repeated(const std::function<void()>& ops) {
  aheadUsed_ = 0;
  repeated_.run(stream_, ops);
}

DevicePtr<const std::byte> CudaBackend::sentAhead(const void* from, size_t bytes) {
  if (bytes > aheadRoom_.bytes()) {
    throw Error(ErrorCode::kInternal,
                "an op sends " + std::to_string(bytes) + " bytes ahead; at most " + std::to_string(aheadRoom_.bytes()));
  }
  if (aheadUsed_ + bytes > aheadRoom_.bytes())
    endRecording(stream_);  // what is read there is enqueued before the next is sent
  Recording* const recording = stream_.recording();
  if (recording == nullptr) aheadUsed_ = 0;
  std::byte* const to = aheadRoom_.at() + aheadUsed_;
  aheadUsed_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  stream_.record(nullptr);
  try {
    staging_.upload(to, from, bytes, next());
  } catch (...) {
    stream_.record(recording);
    throw;
  }
  stream_.record(recording);
  return DevicePtr<const std::byte>(to);
}

Stream& CudaBackend::next() {
  if (cancelled_ != nullptr && *cancelled_) cancel();
  on_.here();
  busy_ = true;
  return stream_;
}

// What runs on the device goes on: everything that is enqueued later comes after it, and memory is released after it.
void CudaBackend::cancel() {
  staging_.forget();
  throw Error(ErrorCode::kCancelled, "cancelled");
}

}  // namespace mlit::cuda
