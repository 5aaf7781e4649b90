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
  const int64_t d = c.hidden_size, f = c.expert_width;
  const auto vec = [&](int64_t offset) {
    return std::vector<float>(params.begin() + offset, params.begin() + offset + d);
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
    layer.input_norm = vec(y.input_norm);
    layer.post_norm = vec(y.post_norm);
    layer.q_norm = vec(y.q_norm);
    layer.k_norm = vec(y.k_norm);
    const auto put = [&](Role role, int expert, int64_t offset, int64_t rows, int64_t cols) {
      layer.linears[LinearId{.layer = l, .role = role, .expert = expert}].weight = matrix(offset, rows, cols);
    };
    put(Role::kQ, -1, y.qkv, d, d);
    put(Role::kK, -1, y.qkv + d * d, d, d);
    put(Role::kV, -1, y.qkv + 2 * d * d, d, d);
    put(Role::kO, -1, y.o, d, d);
    put(Role::kRouter, -1, y.router, c.num_experts, d);
    for (int e = 0; e < c.num_experts; ++e) {
      put(Role::kGate, e, y.gate_up + e * 2 * f * d, f, d);
      put(Role::kUp, e, y.gate_up + e * 2 * f * d + f * d, f, d);
      put(Role::kDown, e, y.down + e * d * f, d, f);
    }
    layers.push_back(std::move(layer));
  }
  OuterParams outer;
  outer.embedding = matrix(layout.embedding, c.vocab_size, d);
  outer.final_norm = vec(layout.final_norm);
  return SaveModel(folder, c, layers, outer, DType::kBF16);
}

}  // namespace eaq
