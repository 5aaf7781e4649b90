#include "eaq/device/resident_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct ResidentModel::Layer {
  LayerPlan plan;
  kernels::Arena memory;
  uint8_t* bytes = nullptr;
  DeviceCache cache;
};

absl::StatusOr<std::unique_ptr<ResidentModel>> ResidentModel::Create(
    kernels::BackendKind kind, const ModelEnds& ends, const std::function<absl::StatusOr<LayerImage>(int)>& image,
    int64_t capacity) {
  if (capacity < 1)
    return absl::InvalidArgumentError(absl::StrCat("room for ", capacity, " tokens; expected 1 or more"));
  std::unique_ptr<ResidentModel> model(new ResidentModel);
  model->config_ = ends.config();
  model->capacity_ = capacity;
  const kernels::BackendStatus opened = kernels::OpenBackend(kind, &model->backend_);
  if (!opened.ok()) return absl::FailedPreconditionError(opened.text());
  if (model->backend_->device() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the backend \"", kernels::Name(kind), "\" has no device; expected emulation or cuda"));
  }
  kernels::Device& device = *model->backend_->device();
  const bool checked = device.checked();
  EAQ_ASSIGN_OR_RETURN(model->head_, DeviceHead::Create(*model->backend_, ends));
  const int64_t width = model->config_.num_kv_heads * model->config_.head_dim;
  for (int l = 0; l < model->config_.num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(const LayerImage made, image(l));
    Layer& layer = *model->layers_.emplace_back(std::make_unique<Layer>());
    layer.plan = made.plan;
    const auto bytes = static_cast<int64_t>(made.bytes.size());
    EAQ_RETURN_IF_ERROR(AsStatus(layer.memory.CreateFor(&device, "layer", checked, [&](auto take) {
      take(layer.bytes, "weights", bytes);
      take(layer.cache.keys, "keys", capacity * width);
      take(layer.cache.values, "values", capacity * width);
    })));
    std::vector<uint8_t> placed(bytes);
    PlaceImage(made, layer.bytes, placed.data());
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(layer.bytes, placed.data(), bytes)));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(model->workspace_.Create(
      &device, "workspace", LayerPass::WorkspaceBytes(model->config_, capacity, checked), checked)));
  return model;
}

ResidentModel::~ResidentModel() {
  workspace_.Release();
  layers_.clear();  // before the device
  head_.reset();
}

void ResidentModel::Clear() {
  length_ = 0;
  for (const auto& layer : layers_) layer->cache.length = 0;
}

absl::Status ResidentModel::Extend(absl::Span<const int32_t> ids, absl::Span<float> logits) {
  const auto count = static_cast<int64_t>(ids.size());
  if (count < 1 || length_ + count > capacity_ || static_cast<int64_t>(logits.size()) != config_.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(count, " tokens after ", length_, ", logits for ", logits.size(),
                                                   "; expected at least one token, at most ", capacity_,
                                                   " together, and logits for ", config_.vocab_size));
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= config_.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("token ", id, "; expected 0 to ", config_.vocab_size - 1));
    }
  }
  Matrix hidden(count, config_.hidden_size);
  EAQ_RETURN_IF_ERROR(head_->Embed(ids, hidden.view()));
  for (const auto& layer : layers_) {
    LayerPass pass(*backend_, config_, layer->plan, layer->bytes, workspace_, /*observe_inputs=*/false);
    EAQ_RETURN_IF_ERROR(
        Annotate(pass.Continue(hidden.view(), layer->cache), absl::StrCat("layer ", layer->plan.layer)));
    EAQ_RETURN_IF_ERROR(AsStatus(workspace_.Reset()));
    EAQ_RETURN_IF_ERROR(AsStatus(layer->memory.Check()));
  }
  length_ += count;
  return head_->Logits(hidden.const_view().Rows(count - 1, 1), MatrixView(logits.data(), 1, config_.vocab_size));
}

}  // namespace eaq
