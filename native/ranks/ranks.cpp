// Sums and gathers out of exchanges. A sum is cut into one slice a rank: each rank gets everybody's piece of its own slice, adds
// them up, and gives the result to all; so a rank sends and receives twice the vector at most, however many there are.
#include "ranks/ranks.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace mlit {
namespace {

constexpr uint64_t kLargestText = uint64_t{1} << 28;

constexpr int64_t kAlignedFloats = 64;  // 256 bytes: a card's kernels read slices in wide pieces

// Slice q of `count` floats, cut for `ranks` ranks; the last ones may be shorter, or empty.
struct Slices {
  Slices(int64_t n, int32_t ranks) : count(n), length((n + ranks - 1) / ranks) {
    length = (length + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
  }
  int64_t first(int32_t q) const { return std::min(q * length, count); }
  int64_t size(int32_t q) const { return std::min((q + 1) * length, count) - first(q); }
  int64_t count, length;
};

RankPart floats(int64_t offset, int64_t count) {
  return {static_cast<size_t>(offset) * sizeof(float), static_cast<size_t>(count) * sizeof(float)};
}

// What goes where: first every rank's piece of slice q to q, each into a place of its own; then the sums of slices to all.
struct SumParts {
  SumParts(const Slices& slices, int32_t own, int32_t ranks) {
    for (int32_t q = 0; q < ranks; ++q) {
      pieces.push_back(floats(slices.first(q), slices.size(q)));
      places.push_back(floats(q * slices.length, slices.size(own)));
      sums.push_back(floats(slices.first(own), slices.size(own)));
    }
  }
  std::vector<RankPart> pieces, places, sums;
};

std::byte* bytesOf(void* at) { return static_cast<std::byte*>(at); }
const std::byte* bytesOf(const void* at) { return static_cast<const std::byte*>(at); }

}  // namespace

struct Ranks::Cards {
  std::shared_ptr<Backend> backend;
  std::unique_ptr<Exchange> exchange;
  DevicePtr<std::byte> received;
  size_t bytes = 0;
  ~Cards() {
    exchange.reset();
    backend->release(received, bytes);
  }
};

Ranks::Ranks(std::unique_ptr<Exchange> exchange, int64_t chunkFloats)
    : exchange_(std::move(exchange)), chunkFloats_(chunkFloats) {
  const Slices slices(chunkFloats_, size());
  own_.resize(static_cast<size_t>(chunkFloats_));
  received_.resize(static_cast<size_t>(slices.length * size()));
}

Ranks::~Ranks() = default;

std::string Ranks::description() const {
  return exchange_->description() + (cards_ ? ", gradients by " + cards_->exchange->description() : "");
}

template <class Call>
void Ranks::guarded(const Call& call) {
  if (!broken_.empty()) throw Error(ErrorCode::kDeviceUnavailable, broken_, {{"rank", std::to_string(rank())}});
  try {
    call();
  } catch (const std::exception& error) {
    broken_ = std::string("the ranks of this run are out of step: ") + error.what();
    throw;
  }
}

std::vector<std::string> Ranks::gather(const std::string& own) {
  const auto n = static_cast<size_t>(size());
  const auto me = static_cast<size_t>(rank());
  std::vector<std::string> texts(n);
  guarded([&] {
    const uint64_t length = own.size();
    std::vector<uint64_t> lengths(n, length);
    std::vector<RankPart> sends(n, RankPart{0, sizeof length}), receives(n);
    for (size_t q = 0; q < n; ++q) receives[q] = {q * sizeof length, sizeof length};
    exchange_->exchange(bytesOf(&length), sends, bytesOf(lengths.data()), receives, cancel_);
    size_t total = 0;
    for (size_t q = 0; q < n; ++q) {
      if (lengths[q] > kLargestText)
        throw Error(ErrorCode::kInternal,
                    "rank " + std::to_string(q) + " announced a text of " + std::to_string(lengths[q]) + " bytes");
      receives[q] = {total, lengths[q]};
      total += lengths[q];
      sends[q] = {0, own.size()};
    }
    std::string all(total, '\0');
    exchange_->exchange(bytesOf(own.data()), sends, bytesOf(all.data()), receives, cancel_);
    for (size_t q = 0; q < n; ++q) texts[q] = q == me ? own : all.substr(receives[q].offset, receives[q].bytes);
  });
  return texts;
}

void Ranks::sum(Backend& backend, DevF32 x, int64_t n) {
  if (size() == 1) return;
  guarded([&] {
    if (cards_ && cards_->backend.get() == &backend)
      sumOnCards(x, n);
    else
      sumOnHost(backend, x, n);
  });
}

void Ranks::sumOnHost(Backend& backend, DevF32 x, int64_t n) {
  const int32_t me = rank();
  for (int64_t first = 0; first < n; first += chunkFloats_) {
    const Slices slices(std::min(chunkFloats_, n - first), size());
    const SumParts parts(slices, me, size());
    const size_t bytes = static_cast<size_t>(slices.count) * sizeof(float);
    backend.download(own_.data(), (x + first).as<const std::byte>(), bytes);
    backend.synchronize();
    exchange_->exchange(bytesOf(own_.data()), parts.pieces, bytesOf(received_.data()), parts.places, cancel_);
    float* const sums = own_.data() + slices.first(me);
    std::memcpy(received_.data() + me * slices.length, sums, static_cast<size_t>(slices.size(me)) * sizeof(float));
    for (int64_t i = 0; i < slices.size(me); ++i) {
      float sum = received_[static_cast<size_t>(i)];
      for (int32_t q = 1; q < size(); ++q) sum += received_[static_cast<size_t>(q * slices.length + i)];
      sums[i] = sum;
    }
    exchange_->exchange(bytesOf(own_.data()), parts.sums, bytesOf(own_.data()), parts.pieces, cancel_);
    backend.upload((x + first).as<std::byte>(), own_.data(), bytes);
    backend.synchronize();
  }
}

void Ranks::sumOnCards(DevF32 x, int64_t n) {
  const int32_t me = rank();
  Backend& backend = *cards_->backend;
  const DevF32 received = cards_->received.as<float>();
  for (int64_t first = 0; first < n; first += chunkFloats_) {
    const Slices slices(std::min(chunkFloats_, n - first), size());
    const SumParts parts(slices, me, size());
    std::byte* const at = (x + first).as<std::byte>().raw();
    cards_->exchange->exchange(at, parts.pieces, cards_->received.raw(), parts.places, cancel_);
    const DevF32 sums = x + first + slices.first(me);
    const int64_t count = slices.size(me);
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    backend.copy((received + me * slices.length).as<std::byte>(), sums.as<const std::byte>(), bytes);
    if (count > 0) {
      backend.copy(sums.as<std::byte>(), received.as<const std::byte>(), bytes);
      for (int32_t q = 1; q < size(); ++q) backend.add(sums, received + q * slices.length, count);
    }
    cards_->exchange->exchange(at, parts.sums, at, parts.pieces, cancel_);
  }
}

void Ranks::useCards(std::shared_ptr<Backend> backend, std::unique_ptr<Exchange> cards) {
  const size_t bytes = static_cast<size_t>(Slices(chunkFloats_, size()).length * size()) * sizeof(float);
  auto made = std::make_unique<Cards>();
  made->received = backend->allocate(bytes);
  made->bytes = bytes;
  made->backend = std::move(backend);
  made->exchange = std::move(cards);
  cards_ = std::move(made);
}

void Ranks::leave() {
  cards_.reset();
  guarded([&] { exchange_->leave(); });
}

}  // namespace mlit
