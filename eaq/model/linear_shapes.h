// The architecture table: which linears and vectors a decoder layer has, and their shapes. Loaders check against it.
#ifndef EAQ_MODEL_LINEAR_SHAPES_H_
#define EAQ_MODEL_LINEAR_SHAPES_H_

#include <cstdint>
#include <map>
#include <utility>

#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"

namespace eaq {

// The ids of all linears of layer LAYER with their [out, in] shapes.
std::map<LinearId, std::pair<int64_t, int64_t>> LinearShapes(const ModelConfig& config, int layer);

// Whether the linear carries a bias in this family.
bool HasBias(const ModelConfig& config, Role role);

// Lengths of the q_norm and k_norm vectors: 0 without QK norm, head_dim per head, else the whole projection.
int64_t QNormSize(const ModelConfig& config);
int64_t KNormSize(const ModelConfig& config);

// Parameters of the whole model, and those that one token uses (top-k experts only; embedding and head included).
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;
};
ParameterCount CountParameters(const ModelConfig& config);

}  // namespace eaq

#endif  // EAQ_MODEL_LINEAR_SHAPES_H_
