// Where each parameter of a layer lies in a checkpoint: the tensor names of every family, and the two layouts of the
// experts (one tensor per expert; fused as transformers 5 saves them).
#ifndef EAQ_CHECKPOINT_TENSOR_NAMES_H_
#define EAQ_CHECKPOINT_TENSOR_NAMES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"

namespace eaq {

inline constexpr char kEmbeddingName[] = "model.embed_tokens.weight";
inline constexpr char kFinalNormName[] = "model.norm.weight";
inline constexpr char kHeadName[] = "lm_head.weight";

// "model.layers.3."
std::string LayerPrefix(int layer);

// The tensor that holds a linear's weight. For a fused expert it is the slice [offset, offset + out * in) of a tensor
// of shape SHAPE; otherwise offset is 0 and SHAPE is [out, in].
struct WeightPlace {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
};

// Names as the family publishes them.
std::string WeightName(const ModelConfig& config, const LinearId& id);
std::string BiasName(const ModelConfig& config, const LinearId& id);
// The place in the layout of transformers 5: experts fused into gate_up_proj [E, 2I, H] (gate rows first) and down_proj
// [E, H, I], everything under `mlp`.
WeightPlace FusedPlace(const ModelConfig& config, const LinearId& id, int64_t out, int64_t in);

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_TENSOR_NAMES_H_
