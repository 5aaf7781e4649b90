// All trainable numbers of a model in one flat array, so that the optimizer, reductions and checkpoints
// are plain loops. [out, in] row-major like everywhere in the house.
//
//   const ParameterLayout layout(config);
//   Buffer<float> params = InitialParameters(layout, seed);   // [layout.size]
#ifndef EAQ_TRAIN_PARAMETERS_H_
#define EAQ_TRAIN_PARAMETERS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eaq/base/buffer.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"

namespace eaq {

// A named stretch of the flat array: one kind of parameter in one layer.
struct ParameterGroup {
  std::string name;  // "embedding", "L2.qkv", "L0.gate_up", ...
  int64_t offset = 0;
  int64_t size = 0;
  bool decay = false;    // weight decay applies: matrices other than the embedding
  bool is_norm = false;  // starts at one
  double init_std = 0;
};

struct ParameterLayout {
  explicit ParameterLayout(const ModelConfig& config);

  struct Layer {
    int64_t input_norm, post_norm;  // [hidden]
    int64_t qkv;                    // [(heads + 2 kv_heads) head_dim, hidden]: q, k, v
    int64_t q_norm, k_norm;         // [heads head_dim], [kv_heads head_dim]; -1 without
    int64_t o;                      // [hidden, heads head_dim]
    int64_t router;                 // [experts, hidden]; this and the next two -1 in a dense layer
    int64_t gate_up;                // per expert [2 width, hidden]: gate, up
    int64_t down;                   // per expert [hidden, width]
    int64_t common_width = 0;       // of what every token passes: the shared expert, or a dense layer's feed-forward
    int64_t common_gate_up;         // [2 common_width, hidden]; -1 without
    int64_t common_down;            // [hidden, common_width]
  };
  ModelConfig config;
  int64_t embedding = 0;   // [vocab, hidden], also the head
  int64_t final_norm = 0;  // [hidden]
  std::vector<Layer> layers;
  std::vector<ParameterGroup> groups;  // in the order of their offsets; together they cover [0, size)
  int64_t size = 0;
};

constexpr int64_t kMaxTrainExperts = 64, kMaxTrainTopK = 8;

// InvalidArgument unless the model is what this trainer can train: tied embeddings, full-width QK norm or none, softmax
// router with top-k renormalised or not, an ungated shared expert or none, dense layers, no biases.
absl::Status CheckTrainable(const ModelConfig& config);

// The same of one decoder layer: the architectures that the passes know, whatever stands around the layer.
absl::Status CheckTrainableLayer(const ModelConfig& config, int layer);

// Layer LAYER of CONFIG alone, as layers[0]: no embedding, a final norm that nothing reads.
ParameterLayout SingleLayerLayout(ModelConfig config, int layer);

// Where every linear of layer LAYER of CONFIG lies in the flat array of that layer's SingleLayerLayout.
std::map<LinearId, int64_t> LinearOffsets(const ParameterLayout& single, int layer);

// The numbers of PARAMS, a layer of the layout's architecture, as the flat array [single.size].
std::vector<float> FlattenLayer(const ParameterLayout& single, const LayerParams& params);

// Normal(0, 0.02) for matrices (o and down divided by sqrt(2 layers), as in GPT-2), ones for norms. Depends on SEED
// alone.
Buffer<float> InitialParameters(const ParameterLayout& layout, uint64_t seed);

}  // namespace eaq

#endif  // EAQ_TRAIN_PARAMETERS_H_
