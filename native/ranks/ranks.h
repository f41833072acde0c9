// The ranks of a run as a training session sees them: texts from all to all, and sums of gradients that have the same bytes on every
// rank and in every run, because each element is added up in the order of the ranks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/exchange.h"

namespace mlit {

class Ranks {
 public:
  // chunkFloats: of a sum at once; tests take few.
  explicit Ranks(std::unique_ptr<Exchange> exchange, int64_t chunkFloats = int64_t{1} << 20);
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int32_t rank() const { return exchange_->rank(); }
  int32_t size() const { return exchange_->size(); }
  std::string description() const;

  // What each rank said, in their order.
  std::vector<std::string> gather(const std::string& own);

  // x [n] becomes the sum over ranks of their x, ((x0 + x1) + x2) + …: through the host's memory, or on the card where
  // cards reach each other. Every rank has the whole sum afterwards.
  void sum(Backend& backend, DevF32 x, int64_t n);

  // From here on sums of this backend's memory go through an exchange of the cards' own. `backend` outlives it.
  void useCards(std::shared_ptr<Backend> backend, std::unique_ptr<Exchange> cards);

  void leave();
  // Read while a call waits for other ranks; see Exchange.
  void setCancelFlag(const std::atomic<bool>* cancel) { cancel_ = cancel; }

 private:
  struct Cards;
  // Runs a call on an exchange; what it throws makes every later call throw the same.
  template <class Call>
  void guarded(const Call& call);
  void sumOnHost(Backend& backend, DevF32 x, int64_t n);
  void sumOnCards(DevF32 x, int64_t n);

  std::unique_ptr<Exchange> exchange_;
  int64_t chunkFloats_;
  std::vector<float> own_, received_;
  std::unique_ptr<Cards> cards_;
  const std::atomic<bool>* cancel_ = nullptr;
  std::string broken_;
};

}  // namespace mlit
