// The primitives: forward, backward and score over the body and the head, with the sums that callers divide by.
#include "train/session.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/dropout.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "train/session_impl.h"

namespace mlit {

namespace {

std::vector<AdapterSpec> specsOf(const std::vector<std::shared_ptr<Adapter>>& adapters) {
  std::vector<AdapterSpec> specs;
  for (const auto& adapter : adapters) specs.push_back(adapter->layout().spec());
  return specs;
}

std::vector<std::shared_ptr<Adapter>> checked(const Model& model, std::vector<std::shared_ptr<Adapter>> adapters,
                                              const TrainOptions& options) {
  if (options.full && !adapters.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "a session that tunes the model in full takes no adapters, got " + std::to_string(adapters.size()),
                {{"field", "adapters"}});
  }
  if (!options.slots.empty() && (!adapters.empty() || options.full || !options.training)) {
    throw Error(
        ErrorCode::kInvalidArgument,
        "a session with slots trains the adapters that are put into them: it takes no list of adapters, and neither "
        "full nor training = false",
        {{"field", "slots"}});
  }
  if (options.full && !options.training) {
    throw Error(ErrorCode::kInvalidArgument, "a session that only scores has nothing to tune: leave full out",
                {{"field", "full"}});
  }
  // In bf16 the model is a shadow of the parameters, which are float32 in any case; only where products are in bf16 anyway.
  const bool shadowed = model.format() == WeightFormat::kBF16 && model.backend().activationType() == ElementType::kBF16;
  if (options.full && model.format() != WeightFormat::kF32 && !shadowed) {
    throw Error(ErrorCode::kInvalidArgument,
                "full tuning needs the model's weights in float32 (on a card in bfloat16 or float32); load " +
                    model.path() + " with dtype f32",
                {{"field", "dtype"}, {"expected", "f32"}});
  }
  for (size_t i = 0; i < adapters.size(); ++i) {
    const std::string name = "adapters[" + std::to_string(i) + "]";
    if (!adapters[i]) throw Error(ErrorCode::kInvalidArgument, name + " is null", {{"field", name}});
    if (adapters[i]->model().get() != &model) {
      throw Error(ErrorCode::kInvalidArgument, name + " belongs to another model", {{"field", name}});
    }
    if (std::find(adapters.begin(), adapters.begin() + static_cast<int64_t>(i), adapters[i]) !=
        adapters.begin() + static_cast<int64_t>(i)) {
      throw Error(ErrorCode::kInvalidArgument, name + " is in the list twice", {{"field", name}});
    }
  }
  adapters.resize(adapters.size() + options.slots.size());
  return adapters;
}

void uploadTo(Backend& backend, DevicePtr<std::byte> to, const void* from, size_t count) {
  backend.upload(to, from, count * 4);
}

bool sameInputs(const Batch& a, const Batch& b) {
  return a.tokens == b.tokens && a.positions == b.positions && a.rows == b.rows && a.targets == b.targets &&
         a.weights == b.weights;
}

TrainOptions decided(TrainOptions options, const BackendSizes& backend) {
  if (options.logitsBytes == 0) options.logitsBytes = backend.logitsBytes();
  return options;
}

size_t backendBytes(const ModelConfig& config, const BackendSizes& backend, const TrainOptions& options,
                    const std::vector<AdapterSpec>& adapters, const SessionBuffers& buffers) {
  const bool logits = buffers.lossRows == 0 || anyOnHead(config, adapters);
  return backend.fixedBytes() +
         productBytes(config, backend, options.maxTokens, logits ? buffers.chunkRows : 0, options.training);
}

MemoryPlan withArena(MemoryPlan plan, const Arena& arena) {
  plan.insert(plan.end(), arena.items().begin(), arena.items().end());
  return plan;
}

}  // namespace

TrainSession::Impl::Impl(std::shared_ptr<Model> m, std::vector<std::shared_ptr<Adapter>> a, const TrainOptions& o)
    : model(std::move(m)),
      adapters(checked(*model, std::move(a), o)),
      options(decided(o, model->backend())),
      use(model, o.full ? ModelUse::Kind::kTuning : ModelUse::Kind::kShared),
      body(model, adapters, buffers, o),
      head(model, adapters, buffers) {
  const ModelConfig& c = model->config();
  Backend& backend = model->backend();
  const std::vector<AdapterSpec> specs = hasSlots() ? options.slots : specsOf(adapters);
  const ElementType activation = backend.activationType();
  Arena counting(activation);
  placeBuffers(counting, c, specs, options, backend, model->format());
  returnFreedMemory();
  memory = std::make_unique<DeviceBlock>(backend, counting.bytes());
  Arena arena(activation, memory->at());
  buffers = placeBuffers(arena, c, specs, options, backend, model->format());
  size_t adapterBytes = 0;
  for (const auto& adapter : adapters)
    if (adapter) adapterBytes += static_cast<size_t>(adapter->layout().parameterCount()) * sizeof(float);
  plan = withArena({{"backend", backendBytes(c, backend, options, specs, buffers)},
                    {"base", model->bytes()},
                    {"adapter", adapterBytes}},
                   arena);

  const std::vector<float> global = ropeTable(c.rope, c.headDim, buffers.positionCount);
  const std::vector<float> local =
      c.window > 0 ? ropeTable(c.ropeLocal, c.headDim, buffers.positionCount) : std::vector<float>();
  uploadTo(backend, buffers.rope.as<std::byte>(), global.data(), global.size());
  if (!local.empty()) uploadTo(backend, buffers.ropeLocal.as<std::byte>(), local.data(), local.size());
  if (options.full) {
    full.emplace(model, buffers.parameters, buffers.rows, options.maxTokens);
    fullGradients.emplace(*model, *full, buffers);
    body.setFullGradients(&*fullGradients);
    head.setFullGradients(&*fullGradients);
  }
  if (hasSlots()) {
    trained.resize(adapters.size());
    buffers.gradients.resize(adapters.size());
    buffers.m.resize(adapters.size());
    buffers.v.resize(adapters.size());
    slotMemory.resize(adapters.size());
  } else {
    trained = trainedVectors(*model, adapters, full);
  }
  pending.assign(trained.size(), hasSlots() ? 0 : 1);
  dirty.assign(trained.size(), 0);
  steps.assign(trained.size(), 0);
  seeds.assign(trained.size(), options.seed);
  limits = {
      options.maxTokens, buffers.targetRows, buffers.positionCount, c.vocabulary, static_cast<int32_t>(trained.size()),
      !options.full};
  if (options.training && !hasSlots()) {
    for (size_t i = 0; i < trained.size(); ++i) {
      const size_t bytes = static_cast<size_t>(trained[i].count) * sizeof(float);
      backend.zero(buffers.m[i].as<std::byte>(), bytes);
      backend.zero(buffers.v[i].as<std::byte>(), bytes);
    }
  }
  arrived.reserve(static_cast<size_t>(buffers.targetRows));  // what a call that failed has asked for may still come
  zeroGradients();
  cleanGradients();
  backend.synchronize();  // the tables above are this function's
}

TrainSession::Impl::~Impl() {
  try {
    model->backend().synchronize();  // a cancelled call may have left copies waiting that read this session's arrays
  } catch (const Error&) {
    // Nothing can be told from a destructor; the memory is given back all the same.
  }
}

void TrainSession::Impl::requireTraining(const char* call) const {
  if (options.training) return;
  throw Error(ErrorCode::kInvalidArgument,
              std::string(call) + " needs a session with training = true; this one only scores",
              {{"field", "training"}});
}

size_t TrainSession::Impl::trainedIndex(int32_t adapter) const {
  if (adapter < 0 || static_cast<size_t>(adapter) >= trained.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "there is no adapter " + std::to_string(adapter) + ": this session " +
                    (full ? "tunes the model itself, as number 0" : "has " + std::to_string(adapters.size())),
                {{"field", "adapter"}});
  }
  return static_cast<size_t>(adapter);
}

void TrainSession::Impl::checkLogprobsSpan(std::span<const float> logprobs, size_t tokens) const {
  if (logprobs.size() == tokens) return;
  throw Error(ErrorCode::kInvalidArgument,
              "logprobs has room for " + std::to_string(logprobs.size()) + " values, expected one a token, " +
                  std::to_string(tokens),
              {{"field", "logprobs"}});
}

// Who each row is, for the masks of the step that each adapter is in.
void TrainSession::Impl::prepareDropout(const PackedBatch& packed) {
  if (options.full) return;  // there is no adapter that could drop anything
  const bool any = std::any_of(packed.adapters.begin(), packed.adapters.end(), [&](int32_t adapter) {
    return adapter >= 0 && adapters[static_cast<size_t>(adapter)]->layout().spec().dropout > 0;
  });
  if (!any) return;
  if (batch.records.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "batch: records is empty, expected the number of each document's record within its step: an adapter "
                "with dropout draws its masks by it",
                {{"field", "records"}});
  }
  dropoutKeys.clear();
  for (size_t i = 0; i < steps.size(); ++i) dropoutKeys.push_back(dropoutKey(seeds[i], steps[i] + 1));
  Backend& backend = model->backend();
  uploadTo(backend, buffers.records.as<std::byte>(), batch.records.data(), batch.records.size());
  uploadTo(backend, buffers.rowRecords.as<std::byte>(), batch.rowRecords.data(), batch.rowRecords.size());
  uploadTo(backend, buffers.rowPositions.as<std::byte>(), batch.rowPositions.data(), batch.rowPositions.size());
  batch.all.dropout = {dropoutKeys, buffers.records, buffers.positions};
  batch.supervised.dropout = {dropoutKeys, buffers.rowRecords, buffers.rowPositions};
}

void TrainSession::Impl::sendInputs(const Batch& of) {
  Backend& backend = model->backend();
  uploadTo(backend, buffers.tokens.as<std::byte>(), of.tokens.data(), of.tokens.size());
  uploadTo(backend, buffers.positions.as<std::byte>(), of.positions.data(), of.positions.size());
  uploadTo(backend, buffers.rows.as<std::byte>(), of.rows.data(), of.rows.size());
  uploadTo(backend, buffers.targets.as<std::byte>(), of.targets.data(), of.targets.size());
  uploadTo(backend, buffers.weights.as<std::byte>(), of.weights.data(), of.weights.size());
}

// Into the places of the batch at hand, whose ops are all enqueued: uploads keep their order with them.
void TrainSession::Impl::sendAhead(const PackedBatch& next, Supervision supervision) {
  try {
    readBatch(next, limits, supervision, ahead);
  } catch (const Error&) {
    return;  // it is refused when its turn comes
  }
  if (ahead.rows.empty()) return;
  sendInputs(ahead);
  isAhead = true;
}

bool TrainSession::Impl::runBody(const PackedBatch& packed, Supervision supervision, bool dropout) {
  readBatch(packed, limits, supervision, batch);
  if (hasSlots()) {
    for (const int32_t adapter : packed.adapters)
      if (adapter >= 0) filledIndex(adapter);
  }
  activationsKept = false;
  if (batch.rows.empty()) return false;
  if (!std::exchange(isAhead, false) || !sameInputs(batch, ahead)) sendInputs(batch);
  if (dropout) prepareDropout(packed);
  body.forward(batch);
  return true;
}

void TrainSession::Impl::askForLogprobs() {
  arrived.resize(batch.rows.size());
  model->backend().download(arrived.data(), buffers.logprobs.as<const std::byte>(), arrived.size() * sizeof(float));
}

const std::vector<float>& TrainSession::Impl::arrivedLogprobs() const {
  for (size_t i = 0; i < arrived.size(); ++i) {
    if (std::isfinite(arrived[i])) continue;
    const std::string row = std::to_string(batch.rows[i]);
    throw Error(ErrorCode::kNotFinite, "the loss of row " + row + " of the batch is not finite", {{"row", row}});
  }
  return arrived;
}

void TrainSession::Impl::scatterLogprobs(std::span<const float> bySupervised, std::span<float> byRow) const {
  std::fill(byRow.begin(), byRow.end(), 0.0f);
  for (size_t i = 0; i < bySupervised.size(); ++i) byRow[static_cast<size_t>(batch.rows[i])] = bySupervised[i];
}

StepSums TrainSession::Impl::told(std::span<float> logprobs) const {
  if (!hasSlots()) arrivedLogprobs();
  if (!logprobs.empty()) scatterLogprobs(arrived, logprobs);
  StepSums sums = this->sums(arrived);
  if (!hasSlots()) return sums;
  sums.notFinite.assign(trained.size() + 1, -1);
  for (size_t i = 0; i < arrived.size(); ++i) {
    int32_t& first = sums.notFinite[static_cast<size_t>(batch.owners[i])];
    if (first < 0 && !std::isfinite(arrived[i])) first = batch.rows[i];
  }
  return sums;
}

StepSums TrainSession::Impl::sums(std::span<const float> logprobs) const {
  StepSums sums{std::vector<double>(trained.size() + 1, 0.0), std::vector<double>(trained.size() + 1, 0.0)};
  for (size_t i = 0; i < logprobs.size(); ++i) {
    const auto owner = static_cast<size_t>(batch.owners[i]);
    sums.loss[owner] -= static_cast<double>(batch.weights[i]) * static_cast<double>(logprobs[i]);
    sums.weight[owner] += static_cast<double>(batch.weights[i]);
  }
  return sums;
}

void TrainSession::Impl::markPending() {
  cleanGradients();
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const auto owner = static_cast<size_t>(batch.owners[i]);
    if (owner < pending.size() && batch.weights[i] != 0) pending[owner] = 1;
  }
}

// Says only that they are nothing: a whole model's take a while to overwrite, and who cancels does not wait for it.
void TrainSession::Impl::zeroGradients(size_t begin, size_t many) {
  for (size_t i = begin; i < begin + many; ++i) {
    dirty[i] |= pending[i];
    pending[i] = 0;
  }
}

void TrainSession::Impl::cleanGradients() {
  if (std::none_of(dirty.begin(), dirty.end(), [](uint8_t each) { return each != 0; })) return;
  for (size_t i = 0; i < buffers.gradients.size(); ++i) {
    if (!dirty[i] || trained[i].count == 0) continue;
    const size_t bytes = static_cast<size_t>(trained[i].count) * sizeof(float);
    model->backend().zero(buffers.gradients[i].as<std::byte>(), bytes);
  }
  model->backend().synchronize();
  std::fill(dirty.begin(), dirty.end(), uint8_t{0});
}

void TrainSession::Impl::discard() {
  activationsKept = isAhead = false;
  zeroGradients();
}

void TrainSession::Impl::parametersChanged() {
  activationsKept = false;  // they belong to what the parameters were
  if (full) full->refresh();
  model->weightsChanged();
}

TrainSession::TrainSession(std::shared_ptr<Model> model, std::vector<std::shared_ptr<Adapter>> adapters,
                           const TrainOptions& options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(adapters), options)) {}

TrainSession::~TrainSession() = default;

MemoryPlan TrainSession::plan(const ModelConfig& config, const BackendSizes& backend,
                              const std::vector<AdapterSpec>& adapters, const TrainOptions& options,
                              WeightFormat format) {
  Arena counting(backend.activationType());
  const SessionBuffers placed = placeBuffers(counting, config, adapters, decided(options, backend), backend, format);
  size_t adapterBytes = 0;
  for (const AdapterSpec& spec : adapters)
    adapterBytes += static_cast<size_t>(AdapterLayout(config, spec).parameterCount()) * sizeof(float);
  return withArena({{"backend", backendBytes(config, backend, options, adapters, placed)},
                    {"base", Model::plannedBytes(config, backend, format)},
                    {"adapter", adapterBytes}},
                   counting);
}

StepSums TrainSession::forwardBackward(const PackedBatch& packed, std::span<float> logprobs, const PackedBatch* next) {
  Impl& s = *impl_;
  s.requireTraining("forwardBackward");
  if (!logprobs.empty()) s.checkLogprobsSpan(logprobs, packed.tokens.size());
  return s.guarded([&] {
    s.arrived.clear();
    const Supervision supervision = logprobs.empty() ? Supervision::kWeighted : Supervision::kTargets;
    if (s.runBody(packed, supervision, true)) {
      const bool weighted =
          std::any_of(s.batch.weights.begin(), s.batch.weights.end(), [](float weight) { return weight != 0; });
      if (weighted) s.markPending();
      s.head.run(s.batch.supervised, weighted ? Head::Gradients::kOfFinal : Head::Gradients::kNone, s.body);
      s.askForLogprobs();
      if (weighted) s.body.backward(s.batch);
      if (next != nullptr) s.sendAhead(*next, supervision);
      s.model->backend().synchronize();  // once: a device works through the whole step by itself
    }
    StepSums sums = s.told(logprobs);
    for (size_t i = 0; i < s.trained.size() && s.hasSlots(); ++i)
      if (sums.notFinite[i] >= 0) s.zeroGradients(i, 1);
    return sums;
  });
}

StepSums TrainSession::score(const PackedBatch& packed, std::span<float> logprobs) {
  Impl& s = *impl_;
  s.checkLogprobsSpan(logprobs, packed.tokens.size());
  try {
    const CancelScope scope(s.model->backend(), s.cancelFlag);
    s.arrived.clear();
    if (s.runBody(packed, Supervision::kTargets, false)) {
      s.head.run(s.batch.supervised, Head::Gradients::kNone, s.body);
      s.askForLogprobs();
      s.model->backend().synchronize();
    }
    return s.told(logprobs);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) s.zeroGradients();  // a score that fails of itself leaves them alone
    throw;
  }
}

void TrainSession::forward(const PackedBatch& packed, std::span<float> logprobs) {
  Impl& s = *impl_;
  s.requireTraining("forward");
  s.checkLogprobsSpan(logprobs, packed.tokens.size());
  s.guarded([&] {
    s.arrived.clear();
    if (s.runBody(packed, Supervision::kTargets, true)) {
      s.head.run(s.batch.supervised, Head::Gradients::kNone, s.body);
      s.askForLogprobs();
      s.model->backend().synchronize();
    }
    s.scatterLogprobs(s.arrivedLogprobs(), logprobs);
    s.activationsKept = true;
  });
}

void TrainSession::backward(std::span<const float> logprobGradients) {
  Impl& s = *impl_;
  s.requireTraining("backward");
  if (!s.activationsKept) {
    throw Error(ErrorCode::kInvalidArgument,
                "backward needs a forward just before it: its activations are not there any more");
  }
  if (logprobGradients.size() != s.batch.tokens.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "logprobGradients has " + std::to_string(logprobGradients.size()) + " values, expected one a token, " +
                    std::to_string(s.batch.tokens.size()),
                {{"field", "logprobGradients"}});
  }
  bool weighted = false;
  for (size_t i = 0; i < s.batch.rows.size(); ++i) {
    const float gradient = logprobGradients[static_cast<size_t>(s.batch.rows[i])];
    if (!std::isfinite(gradient)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "logprobGradients[" + std::to_string(s.batch.rows[i]) + "] is not finite",
                  {{"field", "logprobGradients"}});
    }
    s.batch.weights[i] = -gradient;
    weighted = weighted || gradient != 0;
  }
  s.activationsKept = false;
  if (!weighted) return;
  s.guarded([&] {
    uploadTo(s.model->backend(), s.buffers.weights.as<std::byte>(), s.batch.weights.data(), s.batch.weights.size());
    s.markPending();
    s.head.run(s.batch.supervised, Head::Gradients::kOfFinal, s.body);
    s.body.backward(s.batch);
    s.model->backend().synchronize();
  });
}

void TrainSession::zeroGradients() { impl_->zeroGradients(); }

bool TrainSession::gradientsPending() const {
  return std::any_of(impl_->pending.begin(), impl_->pending.end(), [](uint8_t pending) { return pending != 0; });
}

std::vector<float> TrainSession::gradientsToHost(int32_t adapter) const {
  impl_->requireTraining("gradientsToHost");
  impl_->cleanGradients();
  const size_t i = impl_->filledIndex(adapter);
  std::vector<float> gradients(static_cast<size_t>(impl_->trained[i].count));
  impl_->model->backend().download(gradients.data(), impl_->buffers.gradients[i].as<const std::byte>(),
                                   gradients.size() * sizeof(float));
  impl_->model->backend().synchronize();
  return gradients;
}

std::vector<float> TrainSession::logitsToHost(const PackedBatch& packed) {
  impl_->model->backend().synchronize();
  if (!impl_->runBody(packed, Supervision::kTargets, false)) return {};
  return impl_->head.logitsToHost(impl_->batch.supervised);
}

const std::vector<std::shared_ptr<Adapter>>& TrainSession::adapters() const { return impl_->adapters; }
const std::shared_ptr<Model>& TrainSession::model() const { return impl_->model; }
const MemoryPlan& TrainSession::memory() const { return impl_->plan; }
void TrainSession::setCancelFlag(const std::atomic<bool>* cancel) { impl_->cancelFlag = cancel; }
void TrainSession::setRanks(std::shared_ptr<Ranks> ranks) { impl_->ranks = std::move(ranks); }

}  // namespace mlit
