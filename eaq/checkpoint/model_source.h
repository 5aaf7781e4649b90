// Opens a checkpoint folder in Hugging Face's layout: config.json and safetensors.
//
//   EAQ_ASSIGN_OR_RETURN(auto source, OpenModel("models/ref-s"));
//   EAQ_ASSIGN_OR_RETURN(LayerParams layer, source->LoadLayer(0));   // float32, one layer resident
//
// Opening checks the name, shape and dtype of every tensor against the architecture before any data is touched. Weights
// may be stored as F32, F16 or BF16; experts one tensor each or fused as transformers 5 does.
#ifndef EAQ_CHECKPOINT_MODEL_SOURCE_H_
#define EAQ_CHECKPOINT_MODEL_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/checkpoint/shards.h"
#include "eaq/model/params.h"

namespace eaq {

class CheckpointSource : public ModelSource {
 public:
  static absl::StatusOr<std::shared_ptr<const CheckpointSource>> Open(const std::string& folder);

  const ModelConfig& config() const override { return config_; }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override;
  absl::StatusOr<OuterParams> LoadOuter() const override;
  // Computed at the first call, which reads the whole checkpoint once. Thread-safe.
  const std::string& hash() const override;

  const TensorStore& store() const { return store_; }
  // Tensors that the architecture does not use (ignored), sorted.
  const std::vector<std::string>& unused() const { return unused_; }

 private:
  CheckpointSource() = default;
  absl::Status CheckTensors();
  struct HashState;

  ModelConfig config_;
  TensorStore store_;
  std::vector<std::string> unused_;
  std::shared_ptr<HashState> hash_state_;
};

// What most callers want.
absl::StatusOr<std::shared_ptr<const ModelSource>> OpenModel(const std::string& folder);

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_MODEL_SOURCE_H_
