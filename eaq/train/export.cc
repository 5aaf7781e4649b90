#include "eaq/train/export.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "eaq/checkpoint/save_model.h"

namespace eaq {

absl::Status ExportModel(const ParameterLayout& layout, absl::Span<const float> params, const std::string& folder) {
  if (static_cast<int64_t>(params.size()) != layout.size)
    return absl::InvalidArgumentError(
        absl::StrCat("export: expected ", layout.size, " parameters, found ", params.size()));
  const ModelConfig& c = layout.config;
  const int64_t d = c.hidden_size, f = c.expert_width, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const auto vec = [&](int64_t offset, int64_t size) {
    return offset < 0 ? std::vector<float>()
                      : std::vector<float>(params.begin() + offset, params.begin() + offset + size);
  };
  const auto matrix = [&](int64_t offset, int64_t rows, int64_t cols) {
    Matrix m(rows, cols);
    std::copy_n(params.begin() + offset, rows * cols, m.view().data);
    return m;
  };
  std::vector<LayerParams> layers;
  for (int l = 0; l < c.num_layers; ++l) {
    const ParameterLayout::Layer& y = layout.layers[l];
    LayerParams layer;
    layer.layer = l;
    layer.input_norm = vec(y.input_norm, d);
    layer.post_norm = vec(y.post_norm, d);
    layer.q_norm = vec(y.q_norm, q);
    layer.k_norm = vec(y.k_norm, kv);
    const auto put = [&](Role role, int expert, int64_t offset, int64_t rows, int64_t cols) {
      layer.linears[LinearId{.layer = l, .role = role, .expert = expert}].weight = matrix(offset, rows, cols);
    };
    const auto put_swiglu = [&](Role gate, Role up, Role down, int expert, int64_t gate_up, int64_t down_at,
                                int64_t w) {
      put(gate, expert, gate_up, w, d);
      put(up, expert, gate_up + w * d, w, d);
      put(down, expert, down_at, d, w);
    };
    put(Role::kQ, -1, y.qkv, q, d);
    put(Role::kK, -1, y.qkv + q * d, kv, d);
    put(Role::kV, -1, y.qkv + (q + kv) * d, kv, d);
    put(Role::kO, -1, y.o, d, q);
    if (y.router < 0) {
      put_swiglu(Role::kGate, Role::kUp, Role::kDown, -1, y.common_gate_up, y.common_down, y.common_width);
    } else {
      put(Role::kRouter, -1, y.router, c.num_experts, d);
      for (int e = 0; e < c.num_experts; ++e)
        put_swiglu(Role::kGate, Role::kUp, Role::kDown, e, y.gate_up + e * 2 * f * d, y.down + e * d * f, f);
      if (y.common_width > 0)
        put_swiglu(Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, -1, y.common_gate_up, y.common_down,
                   y.common_width);
    }
    layers.push_back(std::move(layer));
  }
  OuterParams outer;
  outer.embedding = matrix(layout.embedding, c.vocab_size, d);
  outer.final_norm = vec(layout.final_norm, d);
  return SaveModel(folder, c, layers, outer, DType::kBF16);
}

}  // namespace eaq
