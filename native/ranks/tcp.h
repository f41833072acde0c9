// Ranks that meet at an address, as torchrun's MASTER_ADDR and MASTER_PORT name one: a star of sockets around rank 0, which passes
// on what is not for itself. One port is all that has to be open. Nobody is authenticated: for a network that is trusted.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/exchange.h"

namespace mlit {

struct TcpPlace {
  std::string host;  // rank 0's, by name or address
  uint16_t port = 0;
  int32_t rank = 0;
  int32_t size = 1;
  std::chrono::milliseconds patience = std::chrono::minutes(5);  // until all have come
};

// Throws kDeviceUnavailable where the ranks do not come together, kCancelled.
std::unique_ptr<Exchange> joinByTcp(const TcpPlace& place, const std::atomic<bool>* cancel);

}  // namespace mlit
