// Opening and closing an environment. The thread-safe function is made before the cleanup hook is added, because hooks
// run last in, first out: ours has to end all use of the function before Node takes it away.
#include "addon/environment.h"

#include "addon/handles.h"

namespace mlit::addon {
namespace {

void deliver(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env == nullptr) return;
  try {
    message->deliver(Napi::Env(env));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
}

}  // namespace

void Channel::send(std::unique_ptr<Message> message) {
  const std::lock_guard guard(lock_);
  if (function_ == nullptr) return;
  if (napi_call_threadsafe_function(function_, message.get(), napi_tsfn_nonblocking) == napi_ok) message.release();
}

void Environment::attach(Napi::Env env) {
  auto* self = new Environment(env);
  const napi_status stored = napi_set_instance_data(
      env, self, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);
  NAPI_THROW_IF_FAILED_VOID(env, stored);
  const napi_status made =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "mlit"), 0, 1, nullptr, nullptr,
                                      nullptr, deliver, &self->channel_->function_);
  NAPI_THROW_IF_FAILED_VOID(env, made);
  napi_unref_threadsafe_function(env, self->channel_->function_);
  napi_add_env_cleanup_hook(
      env, [](void* data) { static_cast<Environment*>(data)->close(); }, self);
  defineModel(env, *self);
  defineAdapter(env, *self);
  defineTrainSession(env, *self);
  defineSampler(env, *self);
  defineRanks(env, *self);
}

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::begin() {
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, channel_->function_);
}

void Environment::end() {
  if (--pending_ == 0) napi_unref_threadsafe_function(env_, channel_->function_);
}

void Environment::close() {
  ComputeThread::instance().leave(this);
  const std::lock_guard guard(channel_->lock_);
  napi_release_threadsafe_function(channel_->function_, napi_tsfn_abort);
  channel_->function_ = nullptr;
}

}  // namespace mlit::addon
