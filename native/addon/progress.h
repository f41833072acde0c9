// Carries fractions of long work from the compute thread to a caller's onProgress. What that throws ends the work and
// becomes its error, which is how an AbortSignal stops a load or an export.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "addon/arguments.h"
#include "addon/async.h"

namespace mlit::addon {

class Progress : public std::enable_shared_from_this<Progress> {
 public:
  Progress(Napi::Env env, Napi::Function callback, std::shared_ptr<CancelToken> cancel)
      : channel_(Environment::of(env).channel()), cancel_(std::move(cancel)) {
    NAPI_THROW_IF_FAILED_VOID(env, napi_create_reference(env, callback, 1, &callback_));
  }

  // Of an options object's onProgress; null where there is none. TypeError where it is no function.
  static std::shared_ptr<Progress> ofOptions(Napi::Value options, std::shared_ptr<CancelToken> cancel) {
    const Napi::Value callback = options.As<Napi::Object>().Get("onProgress");
    if (callback.IsUndefined()) return nullptr;
    if (!callback.IsFunction()) throwType(callback, "options.onProgress", "a function or undefined");
    return std::make_shared<Progress>(options.Env(), callback.As<Napi::Function>(), std::move(cancel));
  }

  // What a failed call rejects with: what onProgress threw, or the error itself.
  static auto failure(const std::shared_ptr<Progress>& progress) {
    return [progress](Napi::Env env, const Error& error) -> Napi::Value {
      if (progress) {
        if (const auto thrown = progress->end(env)) return thrown->Value();
      }
      return toJavaScript(env, error);
    };
  }

  // On the compute thread. A hundred calls at most.
  void report(double fraction) {
    if (fraction < 1 && fraction - reported_ < 0.01) return;
    reported_ = fraction;
    channel_->send(std::make_unique<Report>(shared_from_this(), fraction));
  }

  // On the environment's thread, once, when the work has ended: the references must not go on any other.
  std::optional<Napi::Error> end(Napi::Env env) {
    napi_delete_reference(env, callback_);
    callback_ = nullptr;
    if (thrown_ == nullptr) return std::nullopt;
    const std::unique_ptr<Napi::Error> error(thrown_);
    thrown_ = nullptr;
    return *error;
  }

 private:
  struct Report final : Message {
    Report(std::shared_ptr<Progress> progress, double fraction) : progress_(std::move(progress)), fraction_(fraction) {}
    void deliver(Napi::Env env) override { progress_->call(env, fraction_); }
    std::shared_ptr<Progress> progress_;
    double fraction_;
  };

  void call(Napi::Env env, double fraction) {
    if (thrown_ != nullptr || callback_ == nullptr) return;
    napi_value callback = nullptr;
    napi_get_reference_value(env, callback_, &callback);
    try {
      Napi::Function(env, callback).Call({Napi::Number::New(env, fraction)});
    } catch (const Napi::Error& error) {
      thrown_ = new Napi::Error(error);
      ComputeThread::instance().cancel(*cancel_);
    }
  }

  std::shared_ptr<Channel> channel_;
  std::shared_ptr<CancelToken> cancel_;
  napi_ref callback_ = nullptr;
  Napi::Error* thrown_ = nullptr;  // not owned by the destructor, which may run on another thread
  double reported_ = -1;
};

}  // namespace mlit::addon
