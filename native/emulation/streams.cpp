// Streams, their clocks and the order in which work runs.
#include "emulation/streams.h"

#include <algorithm>
#include <list>

#include "emulation/memory.h"

namespace mlit::emulation {

struct Op {
  const char* name;
  Clock clock;  // what is over when it begins
  std::function<void()> work;
};
struct StreamQueue {
  uint32_t index = 0;
  Clock clock;  // of the next op
  std::deque<Op> ops;
  std::vector<Captured>* captured = nullptr;
};

namespace {

std::list<StreamQueue> streams;
uint32_t created = 0;  // streams so far
Clock hostClock;       // what the host has waited for
Clock done;            // ops of each stream that have run

uint32_t entry(const Clock& clock, size_t i) { return i < clock.size() ? clock[i] : 0; }
void join(Clock& into, const Clock& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}
bool reached(const Clock& clock) {
  for (size_t i = 0; i < clock.size(); ++i) {
    if (entry(done, i) < clock[i]) return false;
  }
  return true;
}

void run(StreamQueue& stream) {
  Op op = std::move(stream.ops.front());
  stream.ops.pop_front();
  if (++machine.op >= (uint64_t{1} << kOpBits)) {
    machine.op = 1;
    forgetHistory();
  }
  machine.opName = op.name;
  machine.work = &machine.stats.work[op.name];
  machine.opNames[machine.op] = op.name;
  machine.opStream[machine.op] = stream.index;
  machine.opPlace[machine.op] = entry(done, stream.index) + 1;
  machine.clock = std::move(op.clock);
  machine.self = pack({machine.op, 0, 0, 0, 0, kOneThread});
  op.work();
  if (done.size() <= stream.index) done.resize(stream.index + 1);
  ++done[stream.index];
}

// One op of those that may run; false where there is none.
bool runOne() {
  std::vector<StreamQueue*> able;
  for (StreamQueue& s : streams) {
    if (!s.ops.empty() && reached(s.ops.front().clock)) able.push_back(&s);
  }
  if (able.empty()) return false;
  run(*able[machine.draw(able.size())]);
  return true;
}

}  // namespace

StreamQueue* createStream() {
  StreamQueue& stream = streams.emplace_back();
  stream.index = created++;
  return &stream;
}

void closeStream(StreamQueue* stream) {
  waitFor(markOf(stream));
  streams.remove_if([stream](const StreamQueue& s) { return &s == stream; });
}

void closeAllStreams() {
  streams.clear();
  created = 0;
  done.clear();
  hostClock.clear();
}

namespace {

void place(StreamQueue* stream, const Captured& each) {
  if (stream->captured) return stream->captured->push_back(each);
  if (each.counts) ++machine.stats.launches[each.name];
  join(stream->clock, hostClock);
  stream->ops.push_back({each.name, stream->clock, each.make()});
  if (stream->clock.size() <= stream->index) stream->clock.resize(stream->index + 1);
  ++stream->clock[stream->index];
}

}  // namespace

void enqueue(StreamQueue* stream, const char* name, std::function<void()> work, bool counts) {
  place(stream, {name, counts, [work = std::move(work)] { return work; }});
}

void enqueueMade(StreamQueue* stream, const char* name, std::function<std::function<void()>()> make) {
  place(stream, {name, false, std::move(make)});
}

void captureTo(StreamQueue* stream, std::vector<Captured>* list) { stream->captured = list; }
bool captures(const StreamQueue* stream) { return stream->captured != nullptr; }

void launchCaptured(StreamQueue* stream, const std::vector<Captured>& list) {
  for (const Captured& each : list) place(stream, each);
}

void orderAfter(StreamQueue* stream, const EventMark& event) { join(stream->clock, event.clock); }

EventMark markOf(const StreamQueue* stream) { return {true, captures(stream), stream->clock}; }

EventMark markOfAll() {
  EventMark mark{true, false, {}};
  for (const StreamQueue& s : streams) join(mark.clock, s.clock);
  return mark;
}

void waitFor(const EventMark& mark) {
  openDevice(true);
  while (!reached(mark.clock)) {
    if (!runOne()) break;  // cannot be: an op waits only for earlier ones
  }
  openDevice(false);
  join(hostClock, mark.clock);
}

bool isOver(const EventMark& mark) {
  openDevice(true);
  runOne();
  openDevice(false);
  if (!reached(mark.clock)) return false;
  join(hostClock, mark.clock);
  return true;
}

}  // namespace mlit::emulation
