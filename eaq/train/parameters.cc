#include "eaq/train/parameters.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"

namespace eaq {

ParameterLayout::ParameterLayout(const ModelConfig& c) : config(c) {
  const int64_t d = c.hidden_size;
  const double out_std = 0.02 / std::sqrt(2.0 * c.num_layers);
  const auto add = [&](std::string name, int64_t n, bool decay, double std) {
    groups.push_back({std::move(name), size, n, decay, std == 0, std});
    size += n;
    return groups.back().offset;
  };
  embedding = add("embedding", c.vocab_size * d, false, 0.02);
  for (int64_t l = 0; l < c.num_layers; ++l) {
    const auto name = [&](const char* what) { return absl::StrCat("L", l, ".", what); };
    Layer y;
    y.input_norm = add(name("input_norm"), d, false, 0);
    y.post_norm = add(name("post_norm"), d, false, 0);
    const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
    y.qkv = add(name("qkv"), (q + 2 * kv) * d, true, 0.02);
    const bool qk_norm = c.qk_norm != QkNorm::kNone, mixture = c.IsMoe(l);
    y.q_norm = qk_norm ? add(name("q_norm"), q, false, 0) : -1;
    y.k_norm = qk_norm ? add(name("k_norm"), kv, false, 0) : -1;
    y.o = add(name("o"), d * q, true, out_std);
    y.router = mixture ? add(name("router"), c.num_experts * d, true, 0.02) : -1;
    y.gate_up = mixture ? add(name("gate_up"), c.num_experts * 2 * c.expert_width * d, true, 0.02) : -1;
    y.down = mixture ? add(name("down"), c.num_experts * d * c.expert_width, true, out_std) : -1;
    y.common_width = mixture ? c.shared_width : c.dense_width;
    const bool common = y.common_width > 0;
    const char* which = mixture ? "shared" : "dense";
    y.common_gate_up =
        common ? add(name(absl::StrCat(which, "_gate_up").c_str()), 2 * y.common_width * d, true, 0.02) : -1;
    y.common_down = common ? add(name(absl::StrCat(which, "_down").c_str()), d * y.common_width, true, out_std) : -1;
    layers.push_back(y);
  }
  final_norm = add("final_norm", d, false, 0);
}

namespace {

absl::Status Unknown(absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("the trainer does not know this architecture: expected ", expected));
}

absl::Status CheckAttention(const ModelConfig& c) {
  if (c.num_kv_heads < 1 || c.num_heads % c.num_kv_heads != 0) return Unknown("heads divisible by KV heads");
  if (c.head_dim < 2 || c.head_dim % 2 != 0) return Unknown("an even head_dim");
  if (c.qk_norm == QkNorm::kPerHead) return Unknown("full-width QK norm or none");
  if (c.attention_bias || c.attention_output_bias || c.sliding_window > 0 || c.clip_qkv || c.llama3_rope)
    return Unknown("no biases, sliding window, clip_qkv or stretched rotary frequencies");
  return absl::OkStatus();
}

absl::Status CheckMixture(const ModelConfig& c) {
  if (c.router_score != RouterScore::kSoftmax || c.routed_scaling != 1)
    return Unknown("a softmax router without scaling");
  if (c.num_experts < 2 || c.num_experts > kMaxTrainExperts || c.experts_per_token < 1 ||
      c.experts_per_token > std::min(c.num_experts, kMaxTrainTopK))
    return Unknown(absl::StrCat("2 to ", kMaxTrainExperts, " experts, top-k of at most ", kMaxTrainTopK));
  if (c.shared_width > 0 && c.shared_expert_gated) return Unknown("a shared expert without a gate");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTrainable(const ModelConfig& c) {
  if (c.vocab_size < 1 || c.hidden_size < 1 || c.num_layers < 1 || c.num_heads < 1 || c.expert_width < 1)
    return Unknown("positive sizes");
  if (!c.tie_word_embeddings) return Unknown("tied embeddings");
  if (!c.dense_layers.empty() && c.dense_width < 1) return Unknown("a width of the dense layers");
  if (static_cast<int64_t>(c.dense_layers.size()) >= c.num_layers) return Unknown("at least one mixture layer");
  if (absl::Status status = CheckAttention(c); !status.ok()) return status;
  return CheckMixture(c);
}

absl::Status CheckTrainableLayer(const ModelConfig& c, int layer) {
  if (c.hidden_size < 1 || c.num_heads < 1) return Unknown("positive sizes");
  if (absl::Status status = CheckAttention(c); !status.ok()) return status;
  if (c.IsMoe(layer)) return CheckMixture(c);
  return c.dense_width < 1 ? Unknown("a width of the dense layers") : absl::OkStatus();
}

ParameterLayout SingleLayerLayout(ModelConfig config, int layer) {
  const bool mixture = config.IsMoe(layer);
  config.vocab_size = 0, config.num_layers = 1, config.dense_layers.clear();
  if (!mixture) config.num_experts = 0, config.experts_per_token = 0;
  return ParameterLayout(config);
}

std::map<LinearId, int64_t> LinearOffsets(const ParameterLayout& single, int layer) {
  const ModelConfig& c = single.config;
  const ParameterLayout::Layer& o = single.layers[0];
  const int64_t d = c.hidden_size, f = c.expert_width, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  std::map<LinearId, int64_t> at;
  at[{layer, Role::kQ}] = o.qkv;
  at[{layer, Role::kK}] = o.qkv + q * d;
  at[{layer, Role::kV}] = o.qkv + (q + kv) * d;
  at[{layer, Role::kO}] = o.o;
  const bool mixture = o.router >= 0;
  if (o.common_width > 0) {
    at[{layer, mixture ? Role::kSharedGate : Role::kGate}] = o.common_gate_up;
    at[{layer, mixture ? Role::kSharedUp : Role::kUp}] = o.common_gate_up + o.common_width * d;
    at[{layer, mixture ? Role::kSharedDown : Role::kDown}] = o.common_down;
  }
  if (!mixture) return at;
  at[{layer, Role::kRouter}] = o.router;
  for (int e = 0; e < c.num_experts; ++e) {
    at[{layer, Role::kGate, e}] = o.gate_up + e * 2 * f * d;
    at[{layer, Role::kUp, e}] = o.gate_up + (e * 2 + 1) * f * d;
    at[{layer, Role::kDown, e}] = o.down + e * d * f;
  }
  return at;
}

std::vector<float> FlattenLayer(const ParameterLayout& single, const LayerParams& params) {
  const ParameterLayout::Layer& layer = single.layers[0];
  std::vector<float> flat(single.size, 0.0f);
  const auto put = [&](const std::vector<float>& values, int64_t at) {
    if (at >= 0) std::copy(values.begin(), values.end(), flat.begin() + at);
  };
  put(params.input_norm, layer.input_norm);
  put(params.post_norm, layer.post_norm);
  put(params.q_norm, layer.q_norm);
  put(params.k_norm, layer.k_norm);
  for (const auto& [id, at] : LinearOffsets(single, params.layer)) {
    const Matrix& w = params.linears.at(id).weight;
    std::copy_n(w.data(), w.size(), flat.begin() + at);
  }
  return flat;
}

Buffer<float> InitialParameters(const ParameterLayout& layout, uint64_t seed) {
  Buffer<float> params(layout.size);
  for (const ParameterGroup& group : layout.groups) {
    Rng rng(seed, absl::StrCat("train/init/", group.name));
    for (int64_t i = 0; i < group.size; ++i)
      params[group.offset + i] = group.is_norm ? 1.0f : static_cast<float>(group.init_std * rng.Normal());
  }
  return params;
}

}  // namespace eaq
