// The packed copy that the model computes with is the only one: rows are gathered from it, which for float32 is exact.
#include <numeric>

#include "core/error.h"
#include "export/weight_rows.h"

namespace mlit {

namespace {

class ResidentRows final : public WeightRows {
 public:
  explicit ResidentRows(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  ~ResidentRows() override {
    if (bytes_ > 0) model_->backend().release(scratch_, bytes_);
  }

  const ModelConfig& config() const override { return model_->config(); }
  const std::string& path() const override { return model_->path(); }
  DType storedType() const override { return DType::kF32; }

  void read(const ExportTensor& tensor, int64_t first, int64_t count, float* out) override {
    Backend& backend = model_->backend();
    if (!tensor.isMatrix()) {
      backend.download(out, vector(tensor).as<const std::byte>(),
                       static_cast<size_t>(tensor.columns()) * sizeof(float));
      return backend.synchronize();
    }
    const auto [weight, begin] = matrix(tensor);
    const size_t ids = (static_cast<size_t>(count) * sizeof(int32_t) + 255) / 256 * 256;
    const size_t values = static_cast<size_t>(count * tensor.columns()) * sizeof(float);
    reserve(ids + values);
    std::vector<int32_t> rows(static_cast<size_t>(count));
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(begin + first));
    const DevicePtr<std::byte> at = scratch_ + static_cast<int64_t>(ids);
    backend.upload(scratch_, rows.data(), rows.size() * sizeof(int32_t));
    backend.gatherWeightRows(weight, scratch_.as<const int32_t>(), count, 1, at.as<float>());
    backend.download(out, at, values);
    backend.synchronize();
  }

 private:
  void reserve(size_t bytes) {
    if (bytes <= bytes_) return;
    if (bytes_ > 0) model_->backend().release(scratch_, bytes_);
    bytes_ = 0;
    scratch_ = model_->backend().allocate(bytes);
    bytes_ = bytes;
  }

  const LayerWeights& layer(const ExportTensor& tensor) const {
    return model_->layers()[static_cast<size_t>(tensor.layer)];
  }

  DevConstF32 vector(const ExportTensor& tensor) const {
    switch (tensor.part) {
      case TensorPart::kFinalNorm:
        return model_->finalNorm();
      case TensorPart::kAttentionNorm:
        return layer(tensor).attentionNorm;
      case TensorPart::kMlpNorm:
        return layer(tensor).mlpNorm;
      case TensorPart::kPostAttentionNorm:
        return layer(tensor).postAttentionNorm;
      case TensorPart::kPostMlpNorm:
        return layer(tensor).postMlpNorm;
      case TensorPart::kQNorm:
        return layer(tensor).qNorm;
      case TensorPart::kKNorm:
        return layer(tensor).kNorm;
      case TensorPart::kQBias:
        return layer(tensor).qkvBias;
      case TensorPart::kKBias:
        return layer(tensor).qkvBias + config().queryDim();
      case TensorPart::kVBias:
        return layer(tensor).qkvBias + config().queryDim() + config().kvDim();
      default:
        throw Error(ErrorCode::kInternal, tensor.name + " is no vector of the model");
    }
  }

  // The stacked weight that holds a matrix, and the row of it where the matrix begins.
  std::pair<WeightId, int64_t> matrix(const ExportTensor& tensor) const {
    const ModelConfig& c = config();
    switch (tensor.part) {
      case TensorPart::kEmbedding:
        return {model_->embedding(), 0};
      case TensorPart::kHead:
        return {model_->head(), 0};
      case TensorPart::kQ:
        return {layer(tensor).qkv, 0};
      case TensorPart::kK:
        return {layer(tensor).qkv, c.queryDim()};
      case TensorPart::kV:
        return {layer(tensor).qkv, c.queryDim() + c.kvDim()};
      case TensorPart::kO:
        return {layer(tensor).o, 0};
      case TensorPart::kGate:
        return {layer(tensor).gateUp, 0};
      case TensorPart::kUp:
        return {layer(tensor).gateUp, c.feedForward};
      case TensorPart::kDown:
        return {layer(tensor).down, 0};
      default:
        throw Error(ErrorCode::kInternal, tensor.name + " is no matrix of the model");
    }
  }

  std::shared_ptr<const Model> model_;
  DevicePtr<std::byte> scratch_;
  size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<WeightRows> residentRows(std::shared_ptr<const Model> model) {
  return std::make_unique<ResidentRows>(std::move(model));
}

}  // namespace mlit
