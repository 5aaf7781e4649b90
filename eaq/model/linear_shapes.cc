#include "eaq/model/linear_shapes.h"

namespace eaq {

std::map<LinearId, std::pair<int64_t, int64_t>> LinearShapes(const ModelConfig& c, int layer) {
  std::map<LinearId, std::pair<int64_t, int64_t>> shapes;
  const int64_t h = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  shapes[{layer, Role::kQ}] = {q, h};
  shapes[{layer, Role::kK}] = {kv, h};
  shapes[{layer, Role::kV}] = {kv, h};
  shapes[{layer, Role::kO}] = {h, q};
  if (!c.IsMoe(layer)) {
    shapes[{layer, Role::kGate}] = {c.dense_width, h};
    shapes[{layer, Role::kUp}] = {c.dense_width, h};
    shapes[{layer, Role::kDown}] = {h, c.dense_width};
    return shapes;
  }
  shapes[{layer, Role::kRouter}] = {c.num_experts, h};
  for (int e = 0; e < c.num_experts; ++e) {
    shapes[{layer, Role::kGate, e}] = {c.expert_width, h};
    shapes[{layer, Role::kUp, e}] = {c.expert_width, h};
    shapes[{layer, Role::kDown, e}] = {h, c.expert_width};
  }
  if (c.shared_width > 0) {
    shapes[{layer, Role::kSharedGate}] = {c.shared_width, h};
    shapes[{layer, Role::kSharedUp}] = {c.shared_width, h};
    shapes[{layer, Role::kSharedDown}] = {h, c.shared_width};
    if (c.shared_expert_gated) shapes[{layer, Role::kSharedExpertGate}] = {1, h};
  }
  return shapes;
}

bool HasBias(const ModelConfig& c, Role role) {
  if (role == Role::kO) return c.attention_output_bias;
  return c.attention_bias && (role == Role::kQ || role == Role::kK || role == Role::kV);
}

int64_t QNormSize(const ModelConfig& c) {
  if (c.qk_norm == QkNorm::kNone) return 0;
  return c.qk_norm == QkNorm::kPerHead ? c.head_dim : c.num_heads * c.head_dim;
}

int64_t KNormSize(const ModelConfig& c) {
  if (c.qk_norm == QkNorm::kNone) return 0;
  return c.qk_norm == QkNorm::kPerHead ? c.head_dim : c.num_kv_heads * c.head_dim;
}

ParameterCount CountParameters(const ModelConfig& c) {
  ParameterCount count;
  const int64_t ends = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2) + c.hidden_size;
  count.total = count.active = ends;
  for (int layer = 0; layer < c.num_layers; ++layer) {
    const int64_t norms = 2 * c.hidden_size + QNormSize(c) + KNormSize(c);
    count.total += norms;
    count.active += norms;
    for (const auto& [id, shape] : LinearShapes(c, layer)) {
      const int64_t size = shape.first * shape.second + (HasBias(c, id.role) ? shape.first : 0);
      count.total += size;
      if (id.expert < c.experts_per_token) count.active += size;  // -1 for what every token uses
    }
  }
  return count;
}

}  // namespace eaq
