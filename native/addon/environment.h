// What the addon keeps for each JavaScript environment (the main thread, each worker): the way back to its event loop,
// its error class, its handle classes. Everything here is used on that environment's own thread but for Channel.
#pragma once

#include <napi.h>

#include <array>
#include <memory>
#include <mutex>

#include "addon/compute_thread.h"

namespace mlit::addon {

class HandleState;

// Something to be done on the environment's thread. Destroyed without deliver() where the environment has ended, maybe
// on another thread: a destructor must not touch JavaScript.
class Message {
 public:
  virtual ~Message() = default;
  virtual void deliver(Napi::Env env) = 0;
};

// The compute thread's end of an environment; outlives it.
class Channel {
 public:
  void send(std::unique_ptr<Message> message);

 private:
  friend class Environment;
  std::mutex lock_;
  napi_threadsafe_function function_ = nullptr;  // null once the environment has ended
};

class Environment {
 public:
  enum Class { kModel, kAdapter, kTrainSession, kSampler, kRanks, kClasses };

  static void attach(Napi::Env env);
  static Environment& of(napi_env env);

  const std::shared_ptr<Channel>& channel() const { return channel_; }
  // The event loop stays alive while work is pending, and only then.
  void begin();
  void end();

  Napi::FunctionReference errorClass;
  std::array<Napi::FunctionReference, kClasses> classes;
  std::shared_ptr<HandleState> constructing;  // what the constructor called next is to wrap; JavaScript can't set it

 private:
  explicit Environment(napi_env env) : env_(env) {}
  void close();

  napi_env env_;
  std::shared_ptr<Channel> channel_ = std::make_shared<Channel>();
  int64_t pending_ = 0;
};

}  // namespace mlit::addon
