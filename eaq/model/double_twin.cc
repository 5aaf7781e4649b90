#include "eaq/model/double_twin.h"

#include <algorithm>
#include <cmath>

#include "eaq/model/rope.h"
#include "eaq/tensor/hadamard.h"
#include "kernels/reference/reference.h"

namespace eaq {
namespace {

namespace ref = kernels::reference;
using ref::Doubles;

template <typename T>
Doubles Wide(const T& values) {
  return Doubles(values.begin(), values.end());
}

Doubles Linear(const TwinLayer& layer, const LinearId& id, Doubles x) {
  const TwinLinear& linear = layer.linears.at(id);
  const int64_t n = static_cast<int64_t>(x.size()) / linear.in;
  if (linear.online != nullptr) linear.online->ApplyToInput(x.data(), n, linear.in);
  Doubles y = ref::Gemm(false, true, n, linear.out, linear.in, x, linear.weight);
  for (int64_t i = 0; !linear.bias.empty() && i < n * linear.out; ++i) y[i] += linear.bias[i % linear.out];
  return y;
}

Doubles QkNormed(const ModelConfig& c, const Doubles& x, const Doubles& gain, int64_t rows) {
  if (c.qk_norm == QkNorm::kNone) return x;
  const int64_t width = static_cast<int64_t>(gain.size());
  return ref::RmsNorm(x, gain, c.rms_norm_eps, static_cast<int64_t>(x.size()) / width, width);
}

Doubles Attend(const ModelConfig& c, const TwinLayer& layer, int l, const Doubles& x, int64_t n) {
  Doubles q = QkNormed(c, Linear(layer, {l, Role::kQ}, x), layer.q_norm, n);
  Doubles k = QkNormed(c, Linear(layer, {l, Role::kK}, x), layer.k_norm, n);
  Doubles v = Linear(layer, {l, Role::kV}, x);
  if (c.clip_qkv) {
    for (Doubles* m : {&q, &k, &v})
      for (double& value : *m) value = std::clamp(value, -*c.clip_qkv, *c.clip_qkv);
  }
  const auto rope = GetRopeTable(c, n);
  const int64_t half = c.head_dim / 2;
  const Doubles cosines(rope->cosines.data(), rope->cosines.data() + n * half),
      sines(rope->sines.data(), rope->sines.data() + n * half);
  q = ref::RotaryHalfSplit(q, cosines, sines, n, c.num_heads, c.head_dim);
  k = ref::RotaryHalfSplit(k, cosines, sines, n, c.num_kv_heads, c.head_dim);
  if (layer.qk_hadamard > 0) {
    for (Doubles* m : {&q, &k})
      for (size_t at = 0; at < m->size(); at += layer.qk_hadamard)
        HadamardTransform(absl::MakeSpan(&(*m)[at], layer.qk_hadamard));
  }
  kernels::AttentionShape shape;
  shape.queries = n;
  shape.heads = c.num_heads;
  shape.kv_heads = c.num_kv_heads;
  shape.head_dim = c.head_dim;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  return Linear(layer, {l, Role::kO}, ref::Attention(shape, q, k, v));
}

Doubles SwiGlu(const TwinLayer& layer, int l, Role gate, Role up, Role down, int expert, const Doubles& x) {
  return Linear(layer, {l, down, expert},
                ref::SiluMul(Linear(layer, {l, gate, expert}, x), Linear(layer, {l, up, expert}, x)));
}

void AddFeedForward(const ModelConfig& c, const TwinLayer& layer, int l, const Doubles& x, int64_t n, Doubles& h,
                    std::vector<int32_t>& chosen) {
  const auto add = [&](int64_t t, double factor, const Doubles& y) {
    for (int64_t j = 0; j < c.hidden_size; ++j) h[t * c.hidden_size + j] += factor * y[j];
  };
  const Doubles logits = c.IsMoe(l) ? Linear(layer, {l, Role::kRouter}, x) : Doubles();
  for (int64_t t = 0; t < n; ++t) {
    const Doubles row(x.begin() + t * c.hidden_size, x.begin() + (t + 1) * c.hidden_size);
    if (!c.IsMoe(l)) {
      add(t, 1, SwiGlu(layer, l, Role::kGate, Role::kUp, Role::kDown, -1, row));
      continue;
    }
    Doubles scores(logits.begin() + t * c.num_experts, logits.begin() + (t + 1) * c.num_experts);
    if (c.router_score == RouterScore::kSoftmax) {
      scores = ref::SoftmaxRows(scores, 1, c.num_experts);
    } else {
      for (double& s : scores) s = 1 / (1 + std::exp(-s));
    }
    const std::vector<int32_t> top = ref::TopK(scores, c.experts_per_token);
    double sum = 0;
    for (const int32_t e : top) sum += scores[e];
    for (const int32_t e : top) {
      chosen.push_back(e);
      add(t, c.routed_scaling * scores[e] / (c.norm_topk_prob ? sum : 1),
          SwiGlu(layer, l, Role::kGate, Role::kUp, Role::kDown, e, row));
    }
    if (c.shared_width == 0) continue;
    const double open =
        c.shared_expert_gated ? 1 / (1 + std::exp(-Linear(layer, {l, Role::kSharedExpertGate}, row)[0])) : 1;
    add(t, open, SwiGlu(layer, l, Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, -1, row));
  }
}

}  // namespace

TwinModel TwinModel::Load(const ModelSource& source) {
  TwinModel twin;
  twin.config = source.config();
  const OuterParams outer = source.LoadOuter().value();
  twin.embedding = Wide(outer.embedding.values());
  twin.head = Wide((outer.head.size() == 0 ? outer.embedding : outer.head).values());
  twin.final_norm = Wide(outer.final_norm);
  for (int l = 0; l < twin.config.num_layers; ++l) {
    const LayerParams params = source.LoadLayer(l).value();
    TwinLayer& layer = twin.layers.emplace_back();
    layer.input_norm = Wide(params.input_norm);
    layer.post_norm = Wide(params.post_norm);
    layer.q_norm = Wide(params.q_norm);
    layer.k_norm = Wide(params.k_norm);
    layer.qk_hadamard = params.qk_hadamard;
    for (const auto& [id, p] : params.linears)
      layer.linears[id] = {p.weight.rows(), p.weight.cols(), Wide(p.weight.values()), Wide(p.bias), p.online};
  }
  return twin;
}

TwinResult RunTwin(const TwinModel& model, absl::Span<const int32_t> ids) {
  const ModelConfig& c = model.config;
  const int64_t n = static_cast<int64_t>(ids.size());
  TwinResult result;
  Doubles h;
  for (const int32_t id : ids) {
    const auto row = model.embedding.begin() + id * c.hidden_size;
    h.insert(h.end(), row, row + c.hidden_size);
  }
  for (int l = 0; l < c.num_layers; ++l) {
    const TwinLayer& layer = model.layers[l];
    const Doubles a = Attend(c, layer, l, ref::RmsNorm(h, layer.input_norm, c.rms_norm_eps, n, c.hidden_size), n);
    for (size_t i = 0; i < h.size(); ++i) h[i] += a[i];
    const Doubles x = ref::RmsNorm(h, layer.post_norm, c.rms_norm_eps, n, c.hidden_size);
    AddFeedForward(c, layer, l, x, n, h, result.experts);
  }
  const Doubles x = ref::RmsNorm(h, model.final_norm, c.rms_norm_eps, n, c.hidden_size);
  result.logits = ref::Gemm(false, true, n, c.vocab_size, c.hidden_size, x, model.head);
  return result;
}

}  // namespace eaq
