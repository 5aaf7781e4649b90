// A whole model on a device, and the keys and values of one sequence there: text that continues.
//
//   EAQ_ASSIGN_OR_RETURN(auto model, ResidentModel::Create(kind, ends, [&](int l) { return image of layer l; },
//   capacity)); Generate(vocabulary, [&](auto ids, auto logits) { return model->Extend(ids, logits); }, prompt, ...);
//
// All layers stay on the device, unlike DeviceRunner's. Numbers as there: a step gives Model::Extend's up to rounding.
#ifndef EAQ_DEVICE_RESIDENT_MODEL_H_
#define EAQ_DEVICE_RESIDENT_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/device/device_head.h"
#include "eaq/device/layer_image.h"
#include "eaq/device/layer_pass.h"
#include "eaq/model/head.h"
#include "kernels/device/arena.h"
#include "kernels/device/open.h"

namespace eaq {

class ResidentModel {
 public:
  // Of the model with ENDS; IMAGE(l) is asked for once a layer, in order. CAPACITY: tokens of the sequence, at least 1;
  // sizes caches and workspace.
  // FailedPrecondition where there is no such backend here, with what to do (kernels/device/open.h).
  static absl::StatusOr<std::unique_ptr<ResidentModel>> Create(
      kernels::BackendKind kind, const ModelEnds& ends, const std::function<absl::StatusOr<LayerImage>(int)>& image,
      int64_t capacity);
  ~ResidentModel();

  // Appends IDS to the sequence and writes the logits[vocabulary] of the last. InvalidArgument for no ids, ids outside
  // the vocabulary, more than capacity in all, logits of another size: nothing has changed then. After any other error
  // Clear is needed.
  absl::Status Extend(absl::Span<const int32_t> ids, absl::Span<float> logits);
  // An empty sequence again.
  void Clear();

 private:
  struct Layer;
  ResidentModel() = default;

  ModelConfig config_;
  int64_t capacity_ = 0, length_ = 0;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<DeviceHead> head_;
  std::vector<std::unique_ptr<Layer>> layers_;
  kernels::Arena workspace_;
};

}  // namespace eaq

#endif  // EAQ_DEVICE_RESIDENT_MODEL_H_
