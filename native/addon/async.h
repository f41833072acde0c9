// A call from JavaScript as two closures: work, on the compute thread, which may not touch JavaScript, and finish, on the
// environment's thread, which turns what work returned into a value.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <utility>

#include "addon/compute_thread.h"
#include "addon/environment.h"
#include "addon/errors.h"

namespace mlit::addon {

struct Nothing {};  // the result of work that has none

template <class Work, class Finish, class Fail>
class AsyncCall final : public ComputeTask, public Message {
 public:
  AsyncCall(Environment& environment, Napi::Promise::Deferred deferred, std::shared_ptr<CancelToken> cancel, Work work,
            Finish finish, Fail fail)
      : ComputeTask(&environment, std::move(cancel)),
        channel_(environment.channel()),
        deferred_(deferred),
        work_(std::move(work)),
        finish_(std::move(finish)),
        fail_(std::move(fail)) {}

  void run() noexcept override {
    try {
      result_.emplace((*work_)());
    } catch (...) {
      error_.emplace(currentError());
    }
    work_.reset();  // what it holds may live on the backend
  }

  void hand(std::unique_ptr<ComputeTask> self) noexcept override {
    // Kept by itself for the time of the call: sending may end this object on either thread.
    const std::shared_ptr<Channel> channel = channel_;
    self.release();
    channel->send(std::unique_ptr<Message>(this));
  }

  void deliver(Napi::Env env) override {
    Environment::of(env).end();
    if (error_) {
      deferred_.Reject(fail_(env, *error_));
      return;
    }
    Napi::Value value;
    try {
      value = finish_(env, *result_);
    } catch (...) {
      deferred_.Reject(currentJavaScriptError(env));
      return;
    }
    deferred_.Resolve(value);
  }

 private:
  using Result = decltype(std::declval<Work&>()());
  std::shared_ptr<Channel> channel_;
  Napi::Promise::Deferred deferred_;
  std::optional<Work> work_;
  Finish finish_;
  Fail fail_;
  std::optional<Result> result_;
  std::optional<Error> error_;
};

template <class Work, class Finish, class Fail>
Napi::Promise runAsync(Napi::Env env, std::shared_ptr<CancelToken> cancel, Work work, Finish finish, Fail fail) {
  Environment& environment = Environment::of(env);
  const auto deferred = Napi::Promise::Deferred::New(env);
  auto call = std::make_unique<AsyncCall<Work, Finish, Fail>>(environment, deferred, std::move(cancel), std::move(work),
                                                              std::move(finish), std::move(fail));
  ComputeThread::instance().post(std::move(call));
  environment.begin();
  return deferred.Promise();
}

template <class Work, class Finish>
Napi::Promise runAsync(Napi::Env env, std::shared_ptr<CancelToken> cancel, Work work, Finish finish) {
  return runAsync(env, std::move(cancel), std::move(work), std::move(finish),
                  [](Napi::Env target, const Error& error) { return toJavaScript(target, error); });
}

// A function of the addon itself. Errors are thrown …
template <auto Function>
napi_value syncFunction(napi_env env, napi_callback_info raw) {
  try {
    const Napi::CallbackInfo info(env, raw);
    return Function(info);
  } catch (...) {
    napi_throw(env, currentJavaScriptError(env));
    return nullptr;
  }
}

inline napi_value rejected(Napi::Env env, Napi::Value reason) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(reason);
  return deferred.Promise();
}

// … or, where it gives a promise, are what that rejects with.
template <auto Function>
napi_value asyncFunction(napi_env env, napi_callback_info raw) {
  try {
    const Napi::CallbackInfo info(env, raw);
    return Function(info);
  } catch (...) {
    return rejected(env, currentJavaScriptError(env));
  }
}

}  // namespace mlit::addon
