#include "eaq/train/parameters.h"

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
    y.qkv = add(name("qkv"), 3 * d * d, true, 0.02);
    y.q_norm = add(name("q_norm"), d, false, 0);
    y.k_norm = add(name("k_norm"), d, false, 0);
    y.o = add(name("o"), d * d, true, out_std);
    y.router = add(name("router"), c.num_experts * d, true, 0.02);
    y.gate_up = add(name("gate_up"), c.num_experts * 2 * c.expert_width * d, true, 0.02);
    y.down = add(name("down"), c.num_experts * d * c.expert_width, true, out_std);
    layers.push_back(y);
  }
  final_norm = add("final_norm", d, false, 0);
}

absl::Status CheckTrainable(const ModelConfig& c) {
  const auto fail = [](absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat("the trainer does not know this architecture: expected ", expected));
  };
  if (c.vocab_size < 1 || c.hidden_size < 1 || c.num_layers < 1 || c.num_heads < 1 || c.expert_width < 1)
    return fail("positive sizes");
  if (!c.tie_word_embeddings) return fail("tied embeddings");
  if (c.num_kv_heads != c.num_heads) return fail("num_key_value_heads == num_attention_heads");
  if (c.hidden_size % (2 * c.num_heads) != 0) return fail("hidden_size divisible by 2 heads");
  if (c.head_dim * c.num_heads != c.hidden_size) return fail("head_dim * heads == hidden_size");
  if (c.qk_norm != QkNorm::kFullWidth) return fail("full-width QK norm");
  if (c.router_score != RouterScore::kSoftmax || !c.norm_topk_prob) return fail("softmax router, norm_topk_prob");
  if (c.num_experts < 2 || c.num_experts > 64 || c.experts_per_token < 1 || c.experts_per_token > c.num_experts ||
      c.experts_per_token > 8)
    return fail("2 to 64 experts, top-k of at most 8");
  if (c.attention_bias || c.shared_width > 0 || !c.dense_layers.empty() || c.sliding_window > 0 || c.clip_qkv)
    return fail("no biases, shared experts, dense layers, sliding window or clip_qkv");
  return absl::OkStatus();
}

std::vector<float> InitialParameters(const ParameterLayout& layout, uint64_t seed) {
  std::vector<float> params(layout.size);
  for (const ParameterGroup& group : layout.groups) {
    Rng rng(seed, absl::StrCat("train/init/", group.name));
    for (int64_t i = 0; i < group.size; ++i)
      params[group.offset + i] = group.is_norm ? 1.0f : static_cast<float>(group.init_std * rng.Normal());
  }
  return params;
}

}  // namespace eaq
