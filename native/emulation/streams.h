// Streams as queues that run late: an op may run when all that is ordered before it has, in an order drawn among those that may.
#pragma once

#include <deque>
#include <functional>

#include "emulation/machine.h"

namespace mlit::emulation {

struct StreamQueue;

struct EventMark {
  bool recorded = false;
  bool captured = false;  // recorded while its stream was being captured: a place in a graph, not in time
  Clock clock;
};

StreamQueue* createStream();
void closeStream(StreamQueue* stream);
void closeAllStreams();
// A graph: what a stream would have run, made anew for each launch.
struct Captured {
  const char* name;
  bool counts;  // as a launch
  std::function<std::function<void()>()> make;
};
// counts: in stats().launches, once for each time that it is enqueued.
void enqueue(StreamQueue* stream, const char* name, std::function<void()> work, bool counts = false);
// The same where something is looked at on enqueuing: make() gives the work.
void enqueueMade(StreamQueue* stream, const char* name, std::function<std::function<void()>()> make);
// From now on what is enqueued goes there instead; null: no more.
void captureTo(StreamQueue* stream, std::vector<Captured>* list);
bool captures(const StreamQueue* stream);
void launchCaptured(StreamQueue* stream, const std::vector<Captured>& list);
void orderAfter(StreamQueue* stream, const EventMark& event);
EventMark markOf(const StreamQueue* stream);
// The host waits until the mark's ops have run: what it enqueues afterwards comes after them.
void waitFor(const EventMark& mark);
// Whether they have. Asking lets some work run, so that asking again and again comes to an end.
bool isOver(const EventMark& mark);
EventMark markOfAll();

}  // namespace mlit::emulation
