// Queue, addresses and weights of the test backend.
#include "test/host_backend_checks.h"

#include <algorithm>
#include <cstring>

namespace mlit::test {
namespace {

constexpr uint64_t kGuard = 1 << 16;  // between allocations: a pointer that runs over finds nothing

}  // namespace

// --- memory -----------------------------------------------------------------------------------------------------------

HostBackend::~HostBackend() {
  freeReleased();
  for (const auto& [address, allocation] : allocations_) {
    inner_->release(DevicePtr<std::byte>(allocation.memory), allocation.bytes);
  }
}

void HostBackend::freeReleased() {
  for (const Allocation& allocation : std::exchange(released_, {})) {
    inner_->release(DevicePtr<std::byte>(allocation.memory), allocation.bytes);
  }
}

DevicePtr<std::byte> HostBackend::allocate(size_t bytes) {
  const auto memory = inner_->allocate(bytes);
  std::memset(memory.raw(), 0xFF, bytes);  // NaN as floats
  const uint64_t address = nextAddress_;
  nextAddress_ += (bytes + 2 * kGuard - 1) / kGuard * kGuard;
  allocations_[address] = {memory.raw(), bytes};
  return DevicePtr<std::byte>(reinterpret_cast<std::byte*>(address));
}

void HostBackend::release(DevicePtr<std::byte> memory, size_t bytes) {
  if (!memory) return;
  const auto found = allocations_.find(reinterpret_cast<uint64_t>(memory.raw()));
  if (found == allocations_.end()) refuse("release", "not the start of a live allocation");
  if (found->second.bytes != bytes) refuse("release", "allocated with another size");
  released_.push_back(found->second);  // ops that wait may still use it
  allocations_.erase(found);
}

HostBackend::Place HostBackend::place(const void* address, const char* what) const {
  const uint64_t at = reinterpret_cast<uint64_t>(address);
  auto next = allocations_.upper_bound(at);
  if (next == allocations_.begin()) refuse(what, "not an address of this backend");
  const auto& [start, allocation] = *--next;
  if (at - start > allocation.bytes) refuse(what, "outside of every live allocation");
  return {allocation.memory + (at - start), allocation.bytes - (at - start)};
}

void HostBackend::upload(DevicePtr<std::byte> to, const void* from, size_t bytes) {
  const auto real = array(to, static_cast<int64_t>(bytes), "upload");
  enqueue([this, real, from, bytes] { inner_->upload(real, from, bytes); });
}

void HostBackend::download(void* to, DevicePtr<const std::byte> from, size_t bytes) {
  const auto real = array(from, static_cast<int64_t>(bytes), "download");
  if (bytes > 0) std::memset(to, 0xFF, bytes);
  enqueue([this, to, real, bytes] { inner_->download(to, real, bytes); });
}

void HostBackend::zero(DevicePtr<std::byte> at, size_t bytes) {
  const auto real = array(at, static_cast<int64_t>(bytes), "zero");
  enqueue([this, real, bytes] { inner_->zero(real, bytes); });
}

void HostBackend::copy(DevicePtr<std::byte> to, DevicePtr<const std::byte> from, size_t bytes) {
  const auto realTo = array(to, static_cast<int64_t>(bytes), "copy to");
  const auto realFrom = array(from, static_cast<int64_t>(bytes), "copy from");
  enqueue([this, realTo, realFrom, bytes] { inner_->copy(realTo, realFrom, bytes); });
}

void HostBackend::synchronize() {
  const auto ops = std::exchange(queue_, {});
  try {
    for (const auto& op : ops) {
      if (opsLeft_-- == 0) *flagToSet_ = true;
      ++opsRun_;
      op();
    }
  } catch (...) {
    freeReleased();
    throw;
  }
  inner_->synchronize();
  freeReleased();
}

// --- weights and linear -------------------------------------------------------------------------------------------------

const HostBackend::Weight& HostBackend::weightAt(WeightId weight) const {
  const auto found = weights_.find(weight.index);
  if (found == weights_.end()) refuse("weight", "no such weight");
  return found->second;
}

WeightId HostBackend::createWeight(int64_t out, int64_t in, WeightFormat format) {
  const WeightId id = inner_->createWeight(out, in, format);
  weights_[id.index] = {out, in};
  return id;
}

void HostBackend::setWeightRows(WeightId weight, int64_t firstRow, int64_t count, const float* host) {
  const Weight shape = weightAt(weight);
  if (firstRow < 0 || count < 0 || firstRow + count > shape.out) refuse("setWeightRows", "rows outside of the weight");
  enqueue([this, weight, firstRow, count, values = std::vector<float>(host, host + count * shape.in)] {
    inner_->setWeightRows(weight, firstRow, count, values.data());
  });
}

void HostBackend::refreshWeightRows(WeightId weight, int64_t firstRow, int64_t count, DevConstF32 rows) {
  const Weight shape = weightAt(weight);
  if (firstRow < 0 || count < 0 || firstRow + count > shape.out)
    refuse("refreshWeightRows", "rows outside of the weight");
  const auto real = matrix(rows, count, shape.in, shape.in, "refreshWeightRows rows");
  enqueue([=, this] { inner_->refreshWeightRows(weight, firstRow, count, real); });
}

void HostBackend::destroyWeight(WeightId weight) {
  weightAt(weight);
  synchronize();  // the inner backend may give the index out again at once
  weights_.erase(weight.index);
  inner_->destroyWeight(weight);
}

void HostBackend::gatherWeightRows(WeightId weight, DevConstI32 ids, int64_t n, float scale, DevF32 out) {
  const Weight shape = weightAt(weight);
  const auto realIds = array(ids, n, "gatherWeightRows ids");
  const auto realOut = matrix(out, n, shape.in, shape.in, "gatherWeightRows out");
  enqueue([=, this] {
    checkBelow(realIds, n, shape.out, "gatherWeightRows ids");
    poison(realOut, n, shape.in, shape.in);
    inner_->gatherWeightRows(weight, realIds, n, scale, realOut);
  });
}

std::shared_ptr<HostBackend::Groups> HostBackend::realGroups(std::span<const LoraGroup> groups, int64_t rows,
                                                             int64_t out, int64_t in) const {
  auto real = std::make_shared<Groups>();
  for (const LoraGroup& group : groups) {
    if (group.rowBegin < 0 || group.rowBegin > group.rowEnd || group.rowEnd > rows)
      refuse("LoraGroup", "rows outside of the call");
    LoraGroup copied = group;
    copied.a = matrix(group.a, group.rankTotal, in, in, "LoraGroup a");
    copied.dA = matrix(group.dA, group.rankTotal, in, in, "LoraGroup dA", true);
    std::vector<LoraSegment> segments(group.segments.begin(), group.segments.end());
    for (LoraSegment& segment : segments) {
      const int64_t width = segment.outEnd - segment.outBegin;
      if (segment.outBegin < 0 || width < 0 || segment.outEnd > out)
        refuse("LoraSegment", "columns outside of the weight");
      if (segment.rankBegin < 0 || segment.rankBegin + segment.rank > group.rankTotal)
        refuse("LoraSegment", "ranks outside of the group");
      segment.bT = matrix(segment.bT, segment.rank, width, width, "LoraSegment bT");
      segment.dbT = matrix(segment.dbT, segment.rank, width, width, "LoraSegment dbT", true);
    }
    if (group.dropout.probability > 0) {
      copied.dropout.records = array(group.dropout.records, rows, "LoraDropout records");
      copied.dropout.positions = array(group.dropout.positions, rows, "LoraDropout positions");
    }
    real->rank = std::max<int64_t>(real->rank, group.rankTotal);
    real->segments.push_back(std::move(segments));
    real->groups.push_back(copied);
  }
  for (size_t i = 0; i < real->groups.size(); ++i) real->groups[i].segments = real->segments[i];
  return real;
}

void HostBackend::linearForward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevReal y, int64_t ldy,
                                std::span<const LoraGroup> groups, DevReal p) {
  const Weight shape = weightAt(weight);
  const auto real = realGroups(groups, rows, shape.out, shape.in);
  const auto realX = matrix(x, rows, ldx, shape.in, "linearForward x");
  const auto realY = matrix(y, rows, ldy, shape.out, "linearForward y");
  const auto realP = array(p, rows * real->rank, "linearForward p");
  enqueue([=, this] {
    poison(realY, rows, ldy, shape.out);
    poison(realP, rows * real->rank);
    inner_->linearForward(weight, realX, ldx, rows, realY, ldy, real->groups, realP);
  });
}

void HostBackend::linearBackward(WeightId weight, DevConstReal x, int64_t ldx, int64_t rows, DevConstReal dy,
                                 int64_t lddy, DevReal dx, int64_t lddx, bool accumulate,
                                 std::span<const LoraGroup> groups, DevReal p, DevReal u) {
  const Weight shape = weightAt(weight);
  const auto real = realGroups(groups, rows, shape.out, shape.in);
  const auto realX = matrix(x, rows, ldx, shape.in, "linearBackward x", groups.empty());
  const auto realDy = matrix(dy, rows, lddy, shape.out, "linearBackward dy");
  const auto realDx = matrix(dx, rows, lddx, shape.in, "linearBackward dx", true);
  const auto realP = array(p, rows * real->rank, "linearBackward p");
  const auto realU = array(u, rows * real->rank, "linearBackward u");
  enqueue([=, this] {
    if (!accumulate) poison(realDx, rows, lddx, shape.in);
    poison(realP, rows * real->rank);
    poison(realU, rows * real->rank);
    inner_->linearBackward(weight, realX, ldx, rows, realDy, lddy, realDx, lddx, accumulate, real->groups, realP,
                           realU);
  });
}

}  // namespace mlit::test
