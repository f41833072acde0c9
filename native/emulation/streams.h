// Streams as queues that run late: an op may run when all that is ordered before it has, in an order drawn among those that may.
#pragma once

#include <deque>
#include <functional>

#include "emulation/machine.h"

namespace mlit::emulation {

struct StreamQueue;

struct EventMark {
  bool recorded = false;
  Clock clock;
};

StreamQueue* createStream();
void closeStream(StreamQueue* stream);
void closeAllStreams();
void enqueue(StreamQueue* stream, const char* name, std::function<void()> work);
void orderAfter(StreamQueue* stream, const EventMark& event);
EventMark markOf(const StreamQueue* stream);
// The host waits until the mark's ops have run: what it enqueues afterwards comes after them.
void waitFor(const EventMark& mark);
// Whether they have. Asking lets some work run, so that asking again and again comes to an end.
bool isOver(const EventMark& mark);
EventMark markOfAll();

}  // namespace mlit::emulation
