// What is behind each handle. Native parts are touched on the compute thread only; what JavaScript may ask for at any
// time is published beside them.
#pragma once

#include <atomic>
#include <limits>
#include <map>
#include <memory>
#include <variant>
#include <vector>

#include "addon/handles.h"
#include "backend/profiled/profiled_backend.h"
#include "model/adapter.h"
#include "ranks/ranks.h"
#include "sample/engine.h"
#include "train/session.h"

namespace mlit::addon {

class ModelState final : public HandleState {
 public:
  static constexpr auto kClass = Environment::kModel;
  static constexpr const char* kName = "Model";
  static constexpr uint64_t kTag = 0x6d2a7c51e0934f1bu;
  void release() override { model = nullptr, profiled = nullptr; }

  std::shared_ptr<Model> model;
  std::shared_ptr<ProfiledBackend> profiled;  // its backend, where it was loaded with a profile
};

class AdapterState final : public HandleState {
 public:
  static constexpr auto kClass = Environment::kAdapter;
  static constexpr const char* kName = "Adapter";
  static constexpr uint64_t kTag = 0x0f83b9d5a1644ce7u;
  void release() override { adapter = nullptr; }

  std::shared_ptr<Adapter> adapter;
};

class TrainSessionState final : public HandleState {
 public:
  static constexpr auto kClass = Environment::kTrainSession;
  static constexpr const char* kName = "TrainingSession";
  static constexpr uint64_t kTag = 0xc4519e2fb6d8470cu;
  void release() override { session = nullptr, profiled = nullptr; }
  void publish();  // on the compute thread, after every call

  std::unique_ptr<TrainSession> session;
  std::shared_ptr<ProfiledBackend> profiled;  // the Model's
  std::vector<std::atomic<int64_t>> steps;    // one an adapter, sized before the handle is seen
  std::atomic<bool> gradientsPending{false};
};

class RanksState final : public HandleState {
 public:
  static constexpr auto kClass = Environment::kRanks;
  static constexpr const char* kName = "Ranks";
  static constexpr uint64_t kTag = 0x91b7e05a3cd8264du;
  void release() override { ranks = nullptr; }

  std::shared_ptr<Ranks> ranks;
};

class SamplerState final : public HandleState {
 public:
  static constexpr auto kClass = Environment::kSampler;
  static constexpr const char* kName = "Sampler";
  static constexpr uint64_t kTag = 0x5b70e1c94d2a4886u;
  void release() override { engine = nullptr, profiled = nullptr; }

  void publish();  // on the compute thread, after every step

  std::unique_ptr<SampleEngine> engine;
  std::shared_ptr<ProfiledBackend> profiled;  // the Model's
  std::atomic<int64_t> computedTokens{0};
  std::atomic<int64_t> sharedTokens{0};
  int32_t vocabulary = 0;
  int32_t contextLength = 0;
  int64_t cacheTokens = 0;
  int32_t adapters = 0;

  // What follows belongs to the environment's thread: requests come while a step is running and wait here for the next
  // step(), which takes them along. The engine knows them by numbers of ours, so that a caller's id is free again as soon
  // as its request has ended or was cancelled.
  struct Cancel {
    int64_t number;
  };
  using Order = std::variant<SampleRequest, Cancel>;
  static constexpr int64_t kWaiting = std::numeric_limits<int64_t>::max();
  struct Live {
    int64_t id;    // the caller's
    int64_t step;  // the step that took it along, or kWaiting
  };
  std::vector<Order> orders;
  std::map<int64_t, Live> live;         // by our number: requests that have not ended
  std::map<int64_t, int64_t> numberOf;  // by the caller's id
  int64_t nextNumber = 0;
  int64_t steps = 0;

  void forget(int64_t number);
};

// The states of an array of living handles; their native adapters are looked up later, on the compute thread.
std::vector<std::shared_ptr<AdapterState>> adaptersArgument(Napi::Value value, const std::string& name);
std::vector<std::shared_ptr<Adapter>> nativeAdapters(const std::vector<std::shared_ptr<AdapterState>>& states,
                                                     const Model& model);

// The four asynchronous creations of a Model's children, each in the file of what it makes.
Napi::Value createAdapter(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model);
Napi::Value loadAdapter(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model);
Napi::Value createTrainSession(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model);
Napi::Value createSampler(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model);
// What a profiled model's backend has noted since the last time.
Napi::Value takeProfile(const Napi::CallbackInfo& info, const std::shared_ptr<ModelState>& model);
Napi::Value loadModel(const Napi::CallbackInfo& info);
Napi::Value joinRanks(const Napi::CallbackInfo& info);
Napi::Value ranksWhyNot(const Napi::CallbackInfo& info);

template <class State>
std::shared_ptr<State> newChild(const std::shared_ptr<ModelState>& model) {
  std::shared_ptr<State> child = computeOwned(std::make_unique<State>());
  model->addChild(child);
  return child;
}

}  // namespace mlit::addon
