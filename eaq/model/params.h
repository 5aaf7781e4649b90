// The parameters of a model as plain editable numbers, one decoder layer at a time. Loaders produce them, transforms
// edit them, `BuildLayer` (layer.h) turns them into something that runs.
#ifndef EAQ_MODEL_PARAMS_H_
#define EAQ_MODEL_PARAMS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/online.h"
#include "eaq/model/routing_policy.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct LinearParams {
  Matrix weight;            // [out, in]
  std::vector<float> bias;  // empty or [out]
  // What its input goes through first, the weight being made for that; null: nothing. Linears that read the same rows
  // and have the same transform share the object.
  std::shared_ptr<const OnlineTransform> online;
};

struct LayerParams {
  int layer = 0;
  std::vector<float> input_norm;  // [hidden]
  std::vector<float> post_norm;   // [hidden], before the feed-forward
  std::vector<float> q_norm;      // empty, or as ModelConfig::qk_norm says
  std::vector<float> k_norm;
  // Not 0: queries and keys go through a Hadamard transform in every block of so many channels of a head after RoPE;
  // their products stay as they are (QuaRot, DuQuant).
  int64_t qk_hadamard = 0;
  // What the mixture leaves out; null: nothing. The linears of experts that are gone stay in the map, for their shapes.
  std::shared_ptr<const RoutingPolicy> routing;
  std::map<LinearId, LinearParams> linears;  // ordered: iteration order is part of determinism
};

// Everything outside the decoder layers.
struct OuterParams {
  Matrix embedding;               // [vocab, hidden]
  std::vector<float> final_norm;  // [hidden]
  Matrix head;                    // [vocab, hidden]; empty when tied to the embedding
};

// Where parameters come from. Layers are loaded on demand, so that one resident layer is enough.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual const ModelConfig& config() const = 0;
  virtual absl::StatusOr<LayerParams> LoadLayer(int layer) const = 0;
  virtual absl::StatusOr<OuterParams> LoadOuter() const = 0;
  // SHA-256 over the names, shapes, dtypes and bytes of all tensors and the configuration: the model's identity.
  virtual const std::string& hash() const = 0;
};

}  // namespace eaq

#endif  // EAQ_MODEL_PARAMS_H_
