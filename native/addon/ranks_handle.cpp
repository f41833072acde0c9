// Ranks: what a process of several that train together knows of the others. Every call waits for the others' same call.
#include "addon/arguments.h"
#include "addon/mpi.h"
#include "addon/plugin.h"
#include "addon/states.h"
#include "addon/values.h"
#include "ranks/tcp.h"

namespace mlit::addon {
namespace {

using State = std::shared_ptr<RanksState>;

Napi::Value gather(const Napi::CallbackInfo& info, const State& state) {
  return runAsync(
      info.Env(), state->cancel,
      [state, own = textArgument(info[0], "text")] {
        Ranks& ranks = require(state->ranks, RanksState::kName);
        ranks.setCancelFlag(&state->cancel->flag);
        return ranks.gather(own);
      },
      [](Napi::Env env, const std::vector<std::string>& texts) {
        Napi::Array values = Napi::Array::New(env, texts.size());
        for (uint32_t i = 0; i < texts.size(); ++i) values.Set(i, texts[i]);
        return values;
      });
}

Napi::Value leave(const Napi::CallbackInfo& info, const State& state) {
  return runAsync(
      info.Env(), state->cancel,
      [state] {
        require(state->ranks, RanksState::kName).leave();
        return Nothing{};
      },
      [](Napi::Env env, Nothing) { return env.Undefined(); });
}

// What a rank tells the others, and whether all could.
constexpr const char* kCan = "+";
constexpr const char* kCant = "-";

std::string whyNot(const std::vector<std::string>& texts) {
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    if (texts[rank].starts_with(kCant)) return "rank " + std::to_string(rank) + ": " + texts[rank].substr(1);
  }
  return "";
}

// All ranks' cards reach each other from here on, or the reason why they don't, and gradients go through the host's memory.
std::string joinCards(Ranks& ranks, const std::string& device) {
  const Plugin& plugin = Plugin::cuda();
  const int32_t index = cudaIndex(device);
  const std::string reason = index < 0 ? "it computes on the processor" : plugin.whyNoRanks();
  std::string said = reason.empty() ? kCan : kCant + reason;
  if (reason.empty() && ranks.rank() == 0) said += plugin.makeRanksId();
  const std::vector<std::string> texts = ranks.gather(said);
  if (std::string why = whyNot(texts); !why.empty()) return why;
  const std::shared_ptr<Backend> backend = ComputeThread::instance().backend(device, 0, "auto");
  std::unique_ptr<Exchange> cards;
  std::string failed;
  try {
    cards = plugin.joinRanks(*backend, index, texts[0].substr(1), ranks.rank(), ranks.size());
  } catch (const Error& error) {
    failed = error.what();
  }
  std::string why = whyNot(ranks.gather(failed.empty() ? kCan : kCant + failed));
  if (why.empty()) ranks.useCards(backend, std::move(cards));
  return why;
}

Napi::Value useCards(const Napi::CallbackInfo& info, const State& state) {
  return runAsync(
      info.Env(), state->cancel,
      [state, device = textArgument(info[0], "device")] {
        Ranks& ranks = require(state->ranks, RanksState::kName);
        ranks.setCancelFlag(&state->cancel->flag);
        return joinCards(ranks, device);
      },
      [](Napi::Env env, const std::string& why) { return Napi::String::New(env, why); });
}

}  // namespace

Napi::Value ranksWhyNot(const Napi::CallbackInfo& info) {
  Napi::Object value = Napi::Object::New(info.Env());
  value.Set("mpi", whyNotMpi());
  value.Set("nccl", Plugin::cuda().whyNoRanks());
  return value;
}

Napi::Value joinRanks(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const OptionsReader reader(info[0], "place");
  const bool mpi = reader.oneOf("by", {"mpi", "tcp"}) == 0;
  TcpPlace place;
  if (!mpi) {
    place.host = reader.text("host");
    place.port = static_cast<uint16_t>(reader.integer("port", 1, 65535));
    place.size = reader.int32("size", 1);
    place.rank = static_cast<int32_t>(reader.integer("rank", 0, place.size - 1));
    place.patience = std::chrono::milliseconds(reader.integer("patienceMs", 1, kMaxSafeInteger));
  }
  const State state = computeOwned(std::make_unique<RanksState>());
  return runAsync(
      env, state->cancel,
      [state, mpi, place] {
        state->ranks = std::make_shared<Ranks>(mpi ? joinByMpi() : joinByTcp(place, &state->cancel->flag));
        return Nothing{};
      },
      [state](Napi::Env target, Nothing) {
        // Read here although it is the compute thread's: nothing else knows the state yet.
        const Ranks& ranks = *state->ranks;
        Napi::Object handle = wrap(target, state);
        setReadOnly(handle, "rank", Napi::Number::New(target, ranks.rank()));
        setReadOnly(handle, "size", Napi::Number::New(target, ranks.size()));
        setReadOnly(handle, "description", Napi::String::New(target, ranks.description()));
        return handle;
      });
}

void defineRanks(Napi::Env env, Environment& environment) {
  defineClass<RanksState>(env, environment,
                          {
                              method("gather", asyncMethod<RanksState, gather>),
                              method("useCards", asyncMethod<RanksState, useCards>),
                              method("leave", asyncMethod<RanksState, leave>),
                          });
}

}  // namespace mlit::addon
